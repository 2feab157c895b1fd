"""Verdicts are never lost: several people at once, undo, a locked, full, read-only or damaged file."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sgm_core.access.person import local_person
from sgm_core.errors import InputError
from sgm_core.review import artefacts, consensus, database, history, record, undo, verdicts
from sgm_core.review.store import COLUMNS, current_id

ROOT = Path(__file__).resolve().parents[2]


def said(run: str = "r") -> dict[tuple[str, str], str]:
    return {(row.gene, row.reviewer): row.verdict for row in verdicts(run).itertuples()}


def run_python(code: str, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def test_reading_makes_nothing_and_a_verdict_has_all_that_was_given(sgm_home):
    assert verdicts().empty and list(verdicts().columns) == list(COLUMNS)
    assert not list(sgm_home.iterdir())
    record("r", "KIT", "Known AML gene", " Ada  L ", ranking="lift:self-guided", tags=["stem", "a; b"],
           comment=" two\r\nlines ", statistics_version="1-ab")  # fmt: skip
    row = verdicts("r").iloc[0]
    assert row.drop("time").to_dict() == {
        "run": "r", "ranking": "lift:self-guided", "gene": "KIT", "reviewer": "Ada L", "verdict": "known",
        "tags": "stem; a; b", "comment": "two\nlines", "statistics_version": "1-ab",
    }  # fmt: skip
    assert row["time"].endswith("Z") and verdicts("other").empty
    with closing(sqlite3.connect(database.database_path())) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_two_people_on_one_gene_and_one_who_thinks_again():
    record("r", "KIT", "known", "Ada")
    record("r", "KIT", "artefact", "Bo")
    record("r", "KIT", "unclear", "Ada")
    assert said() == {("KIT", "Ada"): "unclear", ("KIT", "Bo"): "artefact"}
    assert list(history("r")["verdict"]) == ["known", "artefact", "unclear"]
    assert undo("r", "Ada").verdict == "unclear"
    assert said() == {("KIT", "Ada"): "known", ("KIT", "Bo"): "artefact"}
    assert undo("r", "Ada").verdict == "known"
    assert undo("r", "Ada") is None, "nobody takes back what another said"
    assert said() == {("KIT", "Bo"): "artefact"}
    assert len(history("r", "KIT")) == 5
    record("r", "KIT", "known", "Ada")
    record("r", "MPO", "plausible", "Ada")
    assert undo("r", "Ada", "KIT").gene == "KIT"
    assert said() == {("KIT", "Bo"): "artefact", ("MPO", "Ada"): "plausible"}


def test_a_verdict_from_another_window_is_not_covered_up():
    seen = current_id("r", "KIT", "Ada")
    record("r", "KIT", "known", "Ada", comment="said on the laptop", seen=seen)
    with pytest.raises(InputError, match="in another window meanwhile, as 'Known AML gene'"):
        record("r", "KIT", "artefact", "Ada", seen=seen)
    record("r", "KIT", "artefact", "Bo", seen=None)
    record("r", "KIT", "artefact", "Ada", seen=current_id("r", "KIT", "Ada"))
    assert said() == {("KIT", "Ada"): "artefact", ("KIT", "Bo"): "artefact"}


def test_a_clock_that_goes_back_does_not_bring_back_an_old_verdict(monkeypatch):
    record("r", "KIT", "known", "Ada")
    monkeypatch.setattr("sgm_core.review.store.now", lambda: "2001-01-01T00:00:00.000Z")
    record("r", "KIT", "artefact", "Ada")
    assert said() == {("KIT", "Ada"): "artefact"}
    undo("r", "Ada")
    assert said() == {("KIT", "Ada"): "known"}


def test_many_processes_at_once_from_the_first_verdict_on(sgm_home):
    code = (
        "import sys; from sgm_core.review import record\n"
        "for i in range(12): record('r', f'G{i}', 'known', sys.argv[1])"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, f"P{k}"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for k in range(3)
    ]
    assert [worker.communicate()[1] for worker in workers] == [""] * 3
    assert len(said()) == 36 == len(history("r"))
    assert not list(sgm_home.glob(".reviews*")), "nothing half made is left"


def test_a_process_killed_within_a_verdict_leaves_the_others(sgm_home):
    record("r", "KIT", "known", "Ada")
    code = (
        "import os, signal; from sgm_core.review import database, store\n"
        "with database.writing() as c:\n"
        "    c.execute(\"INSERT INTO steps VALUES (NULL,'x','r','','MPO','Bo','known','','','t','',NULL)\")\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run_python(code).wait() == -9
    assert said() == {("KIT", "Ada"): "known"}
    record("r", "MPO", "unclear", "Bo")
    assert len(said()) == 2


def test_the_history_only_grows_even_for_another_program():
    record("r", "KIT", "known", "Ada")
    with closing(sqlite3.connect(database.database_path())) as connection:
        for query in ("UPDATE steps SET verdict = 'artefact'", "DELETE FROM steps"):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                connection.execute(query)


def test_a_locked_file_is_one_line_and_loses_nothing(monkeypatch):
    record("r", "KIT", "known", "Ada")
    monkeypatch.setattr(database, "WAIT_S", 0.2)
    with closing(sqlite3.connect(database.database_path(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"locked by another program for 0.2 s: nothing was changed"):
            record("r", "MPO", "known", "Ada")
        assert len(said()) == 1, "reading goes on meanwhile"
    record("r", "MPO", "known", "Ada")
    assert len(said()) == 2


def test_a_full_disk_is_one_line_and_loses_nothing():
    record("r", "KIT", "known", "Ada")
    # no file of this process may grow beyond what the database has: what a full disk says to sqlite
    code = (
        "import resource; from sgm_core.review import record, database\n"
        "record('r', 'MPO', 'known', 'Bo')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "record('r', 'LYZ', 'known', 'Bo', comment='x' * 4000)"
    )
    _, error = run_python(code).communicate()
    assert "the disk is full or fails" in error.strip().splitlines()[-1]
    assert "nothing was changed" in error.strip().splitlines()[-1]
    assert said() == {("KIT", "Ada"): "known", ("MPO", "Bo"): "known"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights to the home folder")
def test_a_read_only_home_shows_the_verdicts_and_takes_none(sgm_home, monkeypatch):
    monkeypatch.setattr("sgm_core.access.acting._identify", local_person)  # no server, which has secrets
    record("r", "KIT", "known", "Ada")
    for path in (sgm_home, *sgm_home.parents):
        if path.owner() == "root" and path.is_relative_to("/tmp/") and path != Path("/tmp"):
            path.chmod(0o755)
    assert len(said()) == 1  # and all that it takes is imported: nobody else may read root's Python
    logging.getLogger("sgm.access").warning("warnings, too")
    with another_user():
        found = list(verdicts("r")["gene"])
        with pytest.raises(InputError, match="this user has no right to it") as refused:
            record("r", "MPO", "known", "Bo")
    assert found == ["KIT"] and "SGM_HOME" in str(refused.value) and len(said()) == 1


@contextmanager
def another_user() -> Iterator[None]:
    """Have the rights of nobody's, within this process."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize(
    "content, words",
    [(b"no database, but long enough to be looked at" * 30, "is damaged"), (b"", "is no file of verdicts")],
)
def test_another_file_in_its_place_is_left_alone(content, words):
    database.database_path().write_bytes(content)
    for act in (verdicts, lambda: record("r", "KIT", "known", "Ada")):
        with pytest.raises(InputError, match=words):
            act()
    assert database.database_path().read_bytes() == content


def test_a_newer_file_is_not_touched():
    record("r", "KIT", "known", "Ada")
    with closing(sqlite3.connect(database.database_path())) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(InputError, match="of a newer program"):
        record("r", "MPO", "known", "Ada")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"verdict": "good"}, "'good' is no verdict: take one of known, plausible"),
        ({"reviewer": " \n"}, "name of its reviewer"),
        ({"reviewer": "x" * 81}, "1 to 80 characters"),
        ({"gene": " "}, "needs a gene"),
        ({"tags": ["x" * 41]}, "longer than 40"),
        ({"tags": [f"t{i}" for i in range(21)]}, "20 tags at most, not 21"),
        ({"comment": "x" * 4001}, "4,001 characters: 4,000"),
    ],
)
def test_what_can_not_be_kept_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        record(**{"run": "r", "gene": "KIT", "verdict": "known", "reviewer": "Ada"} | change)
    assert verdicts().empty


def test_more_than_half_of_the_reviewers_make_an_artefact():
    for gene, said_of_it in {"A": "aa", "B": "ak", "C": "aak", "D": "k", "E": "a", "F": "aku"}.items():
        for number, sign in enumerate(said_of_it):
            verdict = {"a": "artefact", "k": "known", "u": "unclear"}[sign]
            record("r", gene, verdict, f"R{number}")
    assert artefacts("r") == ["A", "C", "E"]
    words = consensus(verdicts("r")).set_index("gene")["words"].to_dict()
    assert words == {
        "A": "Artefact (2 of 2)", "B": "Divided (2 reviewers)", "C": "Artefact (2 of 3)",
        "D": "Known AML gene", "E": "Artefact", "F": "Divided (3 reviewers)",
    }  # fmt: skip
    assert consensus(verdicts("nothing")).empty

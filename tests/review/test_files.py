"""Verdicts out and in: round trips are equal, formulas are text, and what is left out is one line."""

import csv
import json
import os

import pytest
from synthetic_run import make_compare_run

from sgm_core.cli import main
from sgm_core.errors import InputError, NotFoundError
from sgm_core.review import export_verdicts, history, import_verdicts, record, undo, verdicts
from sgm_core.review.database import database_path
from sgm_core.review.queue import maskable_genes
from sgm_core.runs.store import open_run


@pytest.fixture
def run(demo_dataset):
    return open_run(make_compare_run(demo_dataset.name))


@pytest.fixture
def genes(run) -> list[str]:
    return maskable_genes(run)


HARD = [
    '=cmd|"/C calc"!A0', "+1", "-2", "@SUM(A1)", "'=quoted", 'a "word", and; more', "two\nlines\n\nand four",
    "\tindented", "1e5", "TRUE", "NA", "naïve ✓ 检查", "<script>alert(1)</script>", "0012",
    "narrow\u202fblank",
]  # fmt: skip


@pytest.fixture
def reviewed(run, genes):
    """A history with everything that is hard to write: formulas, quotes, line breaks, undone steps."""
    for number, text in enumerate(HARD):
        verdict = ("known", "plausible", "artefact", "unclear")[number % 4]
        tags = [text[:12], "stem"]
        who = f"={text[:10]}"
        record(run, genes[number], verdict, who, tags=tags, comment=text, ranking="lift:self-guided")
        record(run, genes[number], verdict, "Bo", comment=text)
    undo(run, "Bo")
    record(run, genes[0], "unclear", "Bo", comment="thought again", statistics_version="1-ab")
    return run


@pytest.mark.parametrize("ending", [".csv", ".json"])
def test_a_round_trip_is_equal(reviewed, tmp_path, ending):
    before, whole = verdicts(), history()
    path = export_verdicts(tmp_path / f"v{ending}", reviewed)
    database_path().rename(tmp_path / "kept.sqlite")
    found = import_verdicts(path)
    assert (found.known, found.left_out, found.notes) == (0, (), ())
    assert verdicts().equals(before)
    if ending == ".json":
        assert history().equals(whole)
    assert import_verdicts(path).taken == 0, "a second time brings nothing"
    assert export_verdicts(tmp_path / f"again{ending}").read_bytes() == path.read_bytes()


def test_no_cell_of_the_csv_runs_as_a_formula(reviewed, tmp_path):
    with export_verdicts(tmp_path / "v.csv").open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "\t"))]
    assert '\'=cmd|"/C calc"!A0' in cells


def test_two_colleagues_put_their_histories_together_in_any_order(run, genes, tmp_path):
    record(run, genes[0], "known", "Ada")
    record(run, genes[1], "known", "Ada")
    ada = export_verdicts(tmp_path / "ada.json")
    database_path().unlink()
    import_verdicts(ada)
    undo(run, "Ada")
    record(run, genes[0], "artefact", "Ada")
    record(run, genes[0], "unclear", "Bo")
    both = export_verdicts(tmp_path / "both.json")
    expected = verdicts()
    for order in ((ada, both), (both, ada)):
        for path in database_path().parent.glob("reviews.sqlite*"):
            path.unlink()
        for file in order:
            import_verdicts(file)
        assert verdicts().equals(expected)


def test_an_old_file_does_not_cover_up_what_was_said_since(run, genes, tmp_path):
    record(run, genes[0], "known", "Ada")
    old = export_verdicts(tmp_path / "old.csv")
    record(run, genes[0], "artefact", "Ada")
    assert import_verdicts(old).taken == 0
    assert verdicts(run)["verdict"].tolist() == ["artefact"]


def test_a_table_that_a_colleague_wrote_by_hand(run, genes, tmp_path):
    table = tmp_path / "by hand.csv"
    rows = [
        f"{genes[0].lower()};Cy; known AML GENE ;stem; a", "NOSUCHGENE;Cy;artefact;;",
        f"{genes[1]};Cy;Unclear;;",
        f"{genes[1]};Cy;Unclear;;",
    ]  # fmt: skip
    quoted = [row.replace("stem; a", '"stem; a";') for row in rows]
    text = "\n".join(["Gene;Reviewer;Verdict;Tags;Comment", *quoted])
    table.write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match="lacks run"):
        import_verdicts(table)
    found = import_verdicts(table, run.id)
    assert (found.taken, found.known) == (2, 1)
    assert "1 row on genes that the run could not hide (NOSUCHGENE)" in found.sentence
    assert any(genes[0] in note for note in found.notes), "what was renamed is said"
    held = verdicts(run)
    assert sorted(held["gene"]) == sorted(genes[:2]) and set(held["time"]) != {""}
    assert held.set_index("gene").loc[genes[0], "tags"] == "stem; a"
    assert import_verdicts(table, run.id).taken == 0


def test_rows_of_other_runs_are_left_out_and_named(run, genes, tmp_path):
    table = tmp_path / "v.csv"
    rows = [f"{name},{genes[0]},Ada,known\n" for name in (run.id, "compare-x")]
    table.write_text("run,gene,reviewer,verdict\n" + "".join(rows))
    assert "1 row of a run that is not here (compare-x)" in import_verdicts(table).sentence
    assert "1 row of another run (compare-x)" in import_verdicts(table, run).sentence
    assert len(verdicts()) == 1
    table.write_text(f"run,gene,reviewer,verdict\ncompare-x,{genes[0]},Ada,known\n")
    with pytest.raises(InputError, match="no verdict that can be taken: 1 row of a run that is not here"):
        import_verdicts(table)
    with pytest.raises(NotFoundError):
        import_verdicts(table, "compare-x")


@pytest.mark.parametrize(
    "text, words",
    [
        ("gene,verdict\nG,known\n", "lacks reviewer and run"),
        ("run,gene,reviewer,verdict\nr,G,Ada,good\n", "row 2: 'good' is no verdict"),
        ("run,gene,reviewer,verdict\nr,G,,known\n", "row 2: a verdict needs the name"),
        ("run,gene,reviewer,verdict\nr,,Ada,known\n", "row 2: it has no gene"),
        ("run,gene,reviewer,verdict,time\nr,G,Ada,known,yesterday\n", "'yesterday' is no time"),
        ("run,gene,reviewer,verdict,time\nr,G,Ada,known,2999-01-01\n", "has not come yet"),
        ('run,gene,reviewer,verdict\nr,G,"Ada,known\n', "no table of verdicts"),
        ("", "no table of verdicts"),
    ],
)
def test_a_row_that_can_not_be_read_stops_the_whole_import(tmp_path, text, words):
    table = tmp_path / "v.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        import_verdicts(table)
    assert "\n" not in str(error.value)
    assert verdicts().empty


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"kind": "other"}', '{"kind": "sgm verdicts", "version": 9, "steps": []}',
                '{"kind": "sgm verdicts", "version": 1, "steps": [7]}',
                '{"kind": "sgm verdicts", "version": 1, "steps": [{"gene": ["G"], "reviewer": "A"}]}'],
)  # fmt: skip
def test_json_that_is_no_export(tmp_path, content):
    path = tmp_path / "v.json"
    path.write_text(content)
    with pytest.raises(InputError):
        import_verdicts(path)


def test_the_command_says_the_same(reviewed, genes, tmp_path, capsys):
    assert main(["review", "list", reviewed.id, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["verdicts"] == verdicts(reviewed).to_dict("records")
    assert data["runs"][0]["kind"] == "Fleiss' kappa"
    assert len(data["runs"][0]["disagreements"]) == 1
    assert main(["review", "list", reviewed.id]) == 0
    text = capsys.readouterr().out
    assert "15 genes judged by" in text and "Reviewers differ on 1" in text and "Fleiss' kappa" in text
    assert main(["review", "list", "--gene", genes[0]]) == 0
    assert capsys.readouterr().out.count("Bo") == 2, "the history shows what was said before too"
    for name in ("v.csv", "v.json"):
        assert main(["review", "export", reviewed.id, "--out", str(tmp_path / name)]) == 0
        assert main(["review", "import", str(tmp_path / name)]) == 0
        assert "0 verdicts taken" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["list", "no-such-run"], "no-such-run"),
        (["export", "--out", "v.txt"], "must end in .csv"),
        (["export", "--out", "/proc/v.csv"], "/proc/v.csv can't be written"),
        (["import", "nothing.csv"], "no file nothing.csv"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, words):
    assert main(["review", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not os.path.exists("v.txt")

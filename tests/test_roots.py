"""What the dashboard may open: nothing by way of links, '..' or hidden folders."""

from pathlib import Path

import pytest

from sgm_core.access import Person
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.roots import RefusedPath, allowed_path, allowed_roots
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import execute


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that is allowed, beside a secret that is not."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.h5ad").write_text("counts")
    (tmp_path / "secret.txt").write_text("root:x:0:0")
    monkeypatch.setenv("SGM_DATA", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    return folder


def test_files_of_the_named_folders_are_allowed(data):
    assert allowed_path(data / "mine.h5ad", allowed_roots(local=True)) == (data / "mine.h5ad").resolve()
    assert allowed_path(data, allowed_roots(local=False)) == data.resolve()


@pytest.mark.parametrize(
    "given", ["../secret.txt", "../nothing-there", "/etc/passwd", "a\0b", "~nobody-here/x"]
)
def test_what_is_outside_is_refused_alike_whether_it_exists_or_not(data, given):
    with pytest.raises(RefusedPath) as refused:
        allowed_path(data / given if given.startswith(".") else given, allowed_roots(local=True))
    assert str(data) in str(refused.value)
    assert "secret" not in str(refused.value) and "passwd" not in str(refused.value)


def test_a_link_to_the_outside_is_refused(data):
    (data / "link.csv").symlink_to(data.parent / "secret.txt")
    (data / "folder").symlink_to(data.parent)
    (data / "loop").symlink_to(data / "loop")
    for given in ("link.csv", "folder/secret.txt", "loop"):
        with pytest.raises(RefusedPath):
            allowed_path(data / given, allowed_roots(local=True))


@pytest.mark.parametrize("name", ["matrix.mtx", "GSM1_AML1-D0.dem.txt.gz", None])
def test_a_link_among_files_that_are_read_together_is_refused(data, name):
    folder = data / "output"
    folder.mkdir()
    (folder / (name or "genes.tsv")).write_text("")
    given = folder / name if name else folder
    assert allowed_path(given, allowed_roots(local=True))
    (folder / "barcodes.tsv").symlink_to(data.parent / "secret.txt")
    with pytest.raises(RefusedPath):
        allowed_path(given, allowed_roots(local=True))


def test_the_home_folder_is_for_people_on_this_machine_and_without_its_hidden_files(data, tmp_path):
    person = tmp_path / "person"
    (person / ".ssh").mkdir(parents=True)
    for file in (person / "mine.csv", person / ".ssh" / "id"):
        file.write_text("")
    assert allowed_path("~/mine.csv", allowed_roots(local=True))
    with pytest.raises(RefusedPath):
        allowed_path("~/mine.csv", allowed_roots(local=False))
    with pytest.raises(RefusedPath):
        allowed_path(person / ".ssh" / "id", allowed_roots(local=True))


def test_several_folders_and_those_of_the_configuration(data, tmp_path, sgm_home, monkeypatch):
    monkeypatch.setenv("SGM_DATA", f"{data}:{tmp_path / 'b'}")
    (sgm_home / "config.toml").write_text(f'data_roots = ["{tmp_path / "c"}"]')
    assert {data, tmp_path / "b", tmp_path / "c"} <= set(allowed_roots(local=False))
    (sgm_home / "config.toml").write_text('data_roots = "c"')
    with pytest.raises(InputError, match="must be a list"):
        allowed_roots(local=False)


def test_the_whole_machine_is_never_a_root(data, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("SGM_DATA", "/")
    assert Path("/") not in allowed_roots(local=True)


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch):
    """Let somebody who has logged in ask, with a role."""
    return lambda role: monkeypatch.setattr("sgm_core.access.acting._identify", lambda: Person("Bob", role))


def test_who_may_only_look_reads_the_named_folders_alone(data, sgm_home, acting):
    (sgm_home / "uploads").mkdir()
    (sgm_home / "uploads" / "of-others.csv").write_text("")
    person = Path.home()
    person.mkdir()
    (person / "mine.csv").write_text("")
    acting("viewer")
    roots = allowed_roots(local=True)
    assert roots == [data.resolve()]
    assert allowed_path(data / "mine.h5ad", roots)
    for outside in (sgm_home / "uploads" / "of-others.csv", person / "mine.csv"):
        with pytest.raises(RefusedPath):
            allowed_path(outside, roots)
    acting("nobody")
    assert allowed_roots(local=True) == []
    with pytest.raises(RefusedPath, match="no file for you"):
        allowed_path(data / "mine.h5ad", allowed_roots(local=True))
    acting("operator")
    assert allowed_roots(local=True) == [data.resolve(), sgm_home.resolve()], "never somebody's home folder"


@pytest.mark.parametrize(
    "name", ["config.toml", "actions.jsonl", "reviews.sqlite", "logs/errors.log", ".streamlit/secrets.toml"]
)
def test_what_the_program_keeps_for_itself_is_not_opened(data, sgm_home, name, monkeypatch):
    file = sgm_home / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    monkeypatch.setenv("SGM_DATA", str(sgm_home.parent))  # not even where a data folder holds it
    (data / "link.csv").symlink_to(file)
    for given in (file, data / "link.csv", sgm_home / "runs" / ".." / name):
        with pytest.raises(RefusedPath):
            allowed_path(given, allowed_roots(local=True))


def test_a_configuration_elsewhere_is_not_opened_either(data, monkeypatch):
    (data / "sgm.toml").write_text("data_roots = []")
    monkeypatch.setenv("SGM_CONFIG", str(data / "sgm.toml"))
    with pytest.raises(RefusedPath):
        allowed_path(data / "sgm.toml", allowed_roots(local=True))


def test_a_link_put_in_the_place_of_a_chosen_file_is_not_imported(data, sgm_home):
    """The file is chosen and allowed; the worker that imports it comes later."""
    path = allowed_path(data / "mine.h5ad", allowed_roots(local=True))
    run = create_run("import", "mine", {"path": str(path), "name": "mine"})
    path.unlink()
    path.symlink_to(data.parent / "secret.txt")
    with pytest.raises(RefusedPath, match="put elsewhere by a link"):
        execute(run, Observer())
    path.unlink()
    path.parent.rename(data.parent / "moved")
    path.parent.symlink_to(data.parent / "moved")  # a folder on the way
    with pytest.raises(RefusedPath, match="put elsewhere by a link"):
        execute(run, Observer())

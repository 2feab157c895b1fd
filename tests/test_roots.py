"""What the dashboard may open: nothing by way of links, '..' or hidden folders."""

from pathlib import Path

import pytest

from sgm_core.errors import InputError
from sgm_core.roots import RefusedPath, allowed_path, allowed_roots


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

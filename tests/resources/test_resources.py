import pytest

from sgm_core.errors import InputError, NotFoundError
from sgm_core.resources.store import (
    DEMO_GENE_SETS,
    add_resource,
    fetch_library,
    list_resources,
    read_gmt,
    read_transcription_factors,
    resource_path,
)


@pytest.fixture
def gmt(tmp_path):
    file = tmp_path / "my sets.gmt"
    file.write_text("one\t\tSPI1\tMYC\n\ntwo\t\tGATA1\n")
    return file


def _files(home):
    return [path for path in home.rglob("*") if path.is_file()]


def test_the_demo_subset_is_always_there():
    (demo,) = list_resources()
    assert (demo.kind, demo.name, demo.built_in) == ("genesets", DEMO_GENE_SETS, True)
    assert demo.description.startswith("SUBSET")
    assert demo.n_entries == len(read_gmt(resource_path("genesets", DEMO_GENE_SETS))) >= 50


def test_a_file_is_registered_as_it_was_given(gmt, sgm_home):
    added = add_resource("genesets", gmt)
    assert (added.name, added.n_entries, added.built_in) == ("my-sets", 2, False)
    assert added.description == "2 terms, 3 genes; 1 blank lines skipped"
    assert sgm_home in added.path.parents
    assert added.path.read_bytes() == gmt.read_bytes()
    assert list_resources("genesets")[1:] == [added]
    assert list_resources("signatures") == []
    assert resource_path("genesets", "my-sets") == added.path


def test_the_same_file_again_is_fine_another_under_its_name_is_not(gmt, tmp_path):
    first = add_resource("genesets", gmt, "mine")
    assert add_resource("genesets", gmt, "mine") == first
    other = tmp_path / "other.gmt"
    other.write_text("three\t\tKLF1\n")
    for taken in ("mine", DEMO_GENE_SETS):
        with pytest.raises(InputError, match="choose another name"):
            add_resource("genesets", other, taken)
    assert read_gmt(resource_path("genesets", "mine")) == {"one": ["SPI1", "MYC"], "two": ["GATA1"]}
    assert add_resource("signatures", other, "mine").kind == "signatures"


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        (
            "tables",
            "x",
            "one\t\tSPI1\n",
            "unknown kind.*genesets, aliases, transcription-factors, signatures",
        ),
        ("genesets", "../x", "one\t\tSPI1\n", "can't be used"),
        ("genesets", "x", "SPI1\nMYC\n", "line 1 is no gene set"),
        ("signatures", "x", "SPI1\nMYC\n", "line 1 is no gene set"),
        ("aliases", "x", "old\tnew\n", "Symbol and Approved.Symbol"),
        ("aliases", "x", "Symbol\tApproved.Symbol\n", "holds no alias"),
        ("transcription-factors", "x", "SPI1\nnot a symbol\n", "line 2 is no gene symbol"),
        ("transcription-factors", "x", "\n", "holds no gene"),
    ],
)
def test_bad_files_leave_nothing_behind(tmp_path, sgm_home, kind, name, content, message):
    file = tmp_path / "file.txt"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        add_resource(kind, file, name)
    assert _files(sgm_home) == [sgm_home / "actions.jsonl"]  # that it was tried


def test_absent_things_are_named(tmp_path):
    with pytest.raises(NotFoundError, match="no file"):
        add_resource("genesets", tmp_path / "absent.gmt")
    with pytest.raises(NotFoundError, match="there are: go-demo-subset; add yours with 'sgm resources add"):
        resource_path("genesets", "hallmark")
    with pytest.raises(NotFoundError, match="none yet"):
        resource_path("aliases", "hgnc")


def test_transcription_factors_are_stripped(tmp_path):
    file = tmp_path / "tf.txt"
    file.write_text("gene\nPHF19 \n\n SPI1\tGood\nSPI1\n")
    assert read_transcription_factors(file) == ["PHF19", "SPI1"]


@pytest.mark.parametrize(
    ("kind", "file", "entries"),
    [
        ("transcription-factors", "gene_lists/lambert2018_TF_names_v_1.01.txt", 1639),
        ("signatures", "signatures/vanGalen2019_and_Griffin_signatures_from_BPDCN.gmt", 27),
        ("genesets", "genesets/h.all.v7.0.symbols.gmt", 50),
    ],
)
def test_the_fields_own_files_are_taken(shared, kind, file, entries):
    assert add_resource(kind, shared / "data" / file).n_entries == entries


def test_a_library_is_fetched_once_and_whole(monkeypatch):
    import gseapy

    calls = []

    def get_library(name, organism, min_size, max_size):
        calls.append(name)
        assert max_size > 10_000
        return {"one (GO:0000001)": ["SPI1", "MYC"]}

    monkeypatch.setattr(gseapy, "get_library", get_library)
    first = fetch_library("GO_Biological_Process_2021")
    assert read_gmt(first.path) == {"one (GO:0000001)": ["SPI1", "MYC"]}
    assert first.description.startswith("Enrichr library")
    assert fetch_library("GO_Biological_Process_2021") == first
    assert calls == ["GO_Biological_Process_2021"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("refused"), "without a network.*sgm resources add genesets FILE"),
        (ValueError("not found"), "Enrichr has no library 'Nope'"),
    ],
)
def test_without_a_network_the_way_by_hand_is_told(monkeypatch, sgm_home, error, message):
    import gseapy

    def get_library(*args, **options):
        raise error

    monkeypatch.setattr(gseapy, "get_library", get_library)
    with pytest.raises(InputError, match=message):
        fetch_library("Nope")
    assert _files(sgm_home) == []

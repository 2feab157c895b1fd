import gzip

import pytest

from sgm_core.errors import InputError, NotFoundError
from sgm_core.resources.gmt import read_gene_sets, read_gmt


def test_blank_lines_are_skipped_and_repeated_terms_merged(tmp_path):
    file = tmp_path / "mine.gmt"
    file.write_text(
        "term one (GO:0000001)\t\tSPI1\t CEBPA \t\tSPI1\n"
        "\n"
        "term two\tnote\tGATA1,1.0\tKLF1,0.5\r\n"
        "   \t \n"
        "term one (GO:0000001)\t\tCEBPA\tMYC\n"
    )
    sets = read_gene_sets(file)
    assert sets.terms == {"term one (GO:0000001)": ["SPI1", "CEBPA", "MYC"], "term two": ["GATA1", "KLF1"]}
    assert sets.blank_lines == 2
    assert sets.merged == ("term one (GO:0000001)",)
    assert sets.describe() == "2 terms, 5 genes; 1 repeated terms merged; 2 blank lines skipped"
    assert read_gmt(file) == sets.terms


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\t\tSPI1\nSPI1\n", "mine.gmt, line 2 is no gene set.*separated by tabs"),
        (b"good\t\tSPI1\nonly a name\n", "line 2 is no gene set"),
        (b"a\tSPI1\nb\tMYC\nc\t\tMYC\n", "holds no gene set \\(2 of 3 lines have no gene"),
        (b"\t\tSPI1\n", "line 1 is no gene set"),
        (b"good\t\tSPI1\n\x89HDF\0\0\tx\ty\n", "mine.gmt is no text"),
        (b"\x1f\x8b\x08\0", "damaged or cut short"),
        (b"\n\n", "holds no gene set"),
        (b"", "holds no gene set"),
    ],
)
def test_other_files_are_refused_with_the_line(tmp_path, content, message):
    file = tmp_path / "mine.gmt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_gmt(file)


def test_absent_file(tmp_path):
    with pytest.raises(NotFoundError, match=r"no file .*absent\.gmt"):
        read_gmt(tmp_path / "absent.gmt")


def test_the_full_library_is_read_as_the_peer_reads_it(shared):
    sets = read_gene_sets(shared / "data" / "genesets" / "enrichr.GO_Biological_Process_2021.gmt")
    assert (len(sets.terms), len(sets.genes)) == (6036, 14937)


GOOD = "good\tnote\tSPI1\tMYC\nother\t\tGATA1\tKLF1\n"
TERMS = {"good": ["SPI1", "MYC"], "other": ["GATA1", "KLF1"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.encode("utf-8-sig"), ""),
        (GOOD.encode("utf-16"), "UTF-16"),
        (GOOD.replace("\n", "\r").encode(), ""),
        (gzip.compress(GOOD.encode(), mtime=0), ""),
        (GOOD.replace("note", "nöte").encode("latin-1"), "cp1252"),
        (b"# MSigDB\n" + GOOD.encode(), "lines that start with # skipped"),
        (GOOD.replace("SPI1", '"SPI1"').encode(), ""),
        (GOOD.encode() + b"empty\tnothing\n", "1 terms without a gene left out (such as 'empty')"),
    ],
    ids=["byte-order-mark", "utf-16", "cr", "gzip", "latin-1", "comment", "quotes", "empty-set"],
)
def test_gene_sets_as_people_save_them(tmp_path, content, said):
    (tmp_path / "mine.gmt").write_bytes(content)
    sets = read_gene_sets(tmp_path / "mine.gmt")
    assert sets.terms == TERMS
    assert said in sets.describe()
    assert bool(sets.put_right) == bool(said)


def test_sets_in_columns_are_read(tmp_path):
    (tmp_path / "mine.gmx").write_text("good\tother\nnote\t\nSPI1\tGATA1\nMYC\tKLF1\n\tEKLF\n")
    sets = read_gene_sets(tmp_path / "mine.gmx")
    assert sets.terms == {"good": ["SPI1", "MYC"], "other": ["GATA1", "KLF1", "EKLF"]}
    assert "one set a column" in sets.describe()


def test_missing_descriptions_are_seen_before_a_gene_is_lost(tmp_path):
    path = tmp_path / "mine.gmt"
    path.write_text("one\tSPI1\tMYC\tKLF1\ntwo\tMYC\tSPI1\tGATA1\nthree\tKLF1\tGATA1\tMYC\n")
    with pytest.raises(
        InputError, match=r"descriptions of mine.gmt seem to be missing: .* 3 of its 3 lines .*'SPI1'"
    ):
        read_gene_sets(path)
    # A description that is the name of the set itself loses nothing.
    path.write_text("SPI1\tSPI1\tMYC\tKLF1\nMYC\tMYC\tSPI1\tGATA1\n")
    assert read_gene_sets(path).terms == {"SPI1": ["MYC", "KLF1"], "MYC": ["SPI1", "GATA1"]}

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

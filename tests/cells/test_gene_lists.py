"""One list of genes in each of the forms that people save."""

import pytest

from sgm_core.cells.gene_lists import parse_genes, read_genes
from sgm_core.errors import InputError, NotFoundError

GENES = ("CD34", "HLA-DRA", "MPO", "C1orf112", "7SK")


def lines(form: str, end: str = "\n") -> str:
    return "".join(form.format(gene=gene, n=n + 1) + end for n, gene in enumerate(GENES))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines("{gene}"), ""),
        (lines("\ufeff{gene}").replace("\n", "\r\n"), ""),
        (lines("{gene}", "\r"), ""),
        (lines('"{gene}"'), ""),
        (lines("'{gene}'  "), ""),
        (lines("\u200b{gene}\u00a0"), ""),
        (lines("{gene},"), "commas after each gene"),
        (lines("{gene}\t\t"), "tabs after each gene"),
        (", ".join(GENES), ""),
        (" ".join(GENES), ""),
        ("; ".join(GENES), ""),
        ("gene\n" + lines("{gene}"), "the header 'gene'"),
        ("Gene Symbol\n" + lines("{gene}"), "the header 'Gene Symbol'"),
        ("# mine\n" + lines("{gene}"), "1 line of list starting with #"),
        ('"x"\n' + lines('"{n}" "{gene}"'), "column 2 'x'"),
        ('"","x"\n' + lines('"{n}","{gene}"'), "column 2 'x'"),
        ("gene,logFC\n" + lines("{gene},{n}.5"), "column 1 'gene'"),
        ("logFC\tsymbol\tcluster\n" + lines("{n}e-5\t{gene}\tup"), "column 2 'symbol'"),
        ("ensembl\thits\n" + lines("{gene}\t{n}"), "column 1 'ensembl'"),
        (lines("{gene}\t{n}"), "column 1"),
        (lines("{gene};ENSG0000000000{n}"), ""),
        ('c("' + '", "'.join(GENES) + '")', ""),
        (str(list(GENES)), ""),
        (lines("{gene}") + lines("{gene}"), ""),
    ],
)
def test_every_form_gives_the_same_genes(content, said):
    found = parse_genes(content, "list")
    if "ENSG" in content:
        assert set(GENES) <= set(found.genes)
        return
    assert found.genes == GENES
    assert bool(found.notes) == bool(said)
    assert said in " ".join(found.notes)


def test_words_in_lines_of_unequal_length_are_no_table():
    assert parse_genes("CD34, MPO;LYZ\nCD34\t'HLA-DRA'", "x").genes == ("CD34", "MPO", "LYZ", "HLA-DRA")
    assert parse_genes("CD34 MPO\nLYZ KIT", "x").genes == ("CD34", "MPO", "LYZ", "KIT")


@pytest.mark.parametrize("content", ["", "# nothing\n", "1234\n5678\n", "p,q\n0.1,0.2\n0.3,0.4\n", "gene\n"])
def test_what_holds_no_genes_is_refused(content):
    with pytest.raises(InputError, match=r"holds (no genes|gene symbols)|none of them holds gene symbols"):
        parse_genes(content, "x")


def test_files_in_other_encodings(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_bytes(lines("{gene}").encode("utf-16"))
    assert read_genes(path).genes == GENES
    assert "UTF-16" in read_genes(path).notes[0]
    with pytest.raises(NotFoundError, match="no file"):
        read_genes(tmp_path / "absent.txt")

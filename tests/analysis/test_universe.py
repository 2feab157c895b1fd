"""Lists of genes and gene sets meet a universe that writes them otherwise."""

import pytest

from sgm_core.analysis.universe import fit_list, fit_terms
from sgm_core.errors import InputError

UNIVERSE = [f"GENE{i}" for i in range(50)] + [
    "KMT2A", "SEPTIN9", "MARCHF1", "MARCHF3", "MTARC1", "CD34", "HLA-A", "C1orf112", "TP53", "OLDNAME",
]  # fmt: skip

KNOWN = {"OLDNAME": ("NEWNAME",), "ENSG00000174059": ("CD34",)}


@pytest.mark.parametrize(
    ("written", "gene", "how"),
    [
        ("MLL", "KMT2A", "mapped by alias: MLL -> KMT2A"),
        ("SEPT9", "SEPTIN9", "mapped by alias: SEPT9 -> SEPTIN9"),
        ("MARCH1", "MARCHF1", "mapped by alias"),
        ("NEWNAME", "OLDNAME", "mapped by alias: NEWNAME -> OLDNAME"),
        ("9-Sep", "SEPTIN9", "mapped by date: 9-Sep -> SEPTIN9"),
        ("3-MAR", "MARCHF3", "mapped by date"),
        ("2001-09-09", "SEPTIN9", "mapped by date"),
        ("TP53.1", "TP53", "suffix taken off: TP53.1 -> TP53"),
        ("HLA.A", "HLA-A", "dots for hyphens: HLA.A -> HLA-A"),
        ("ENSG00000174059.17", "CD34", "version taken off: ENSG00000174059.17 -> CD34"),
        ("ENSG00000174059", "CD34", "mapped by alias"),
        ("GRCh38_CD34", "CD34", "genome prefix taken off"),
        ("ENSG00000174059_CD34", "CD34", "Ensembl id"),
        ("cd34", "CD34", "mapped by case: cd34 -> CD34"),
        ("C1ORF112", "C1orf112", "mapped by case"),
    ],
)
def test_a_name_is_found_and_that_is_said(written, gene, how):
    fitted = fit_list(["GENE1", written], UNIVERSE, KNOWN)
    assert fitted.genes == ("GENE1", gene)
    assert fitted.outside == ()
    assert [(old, new) for old, new, _ in fitted.mapped] == [(written, gene)]
    assert how in " ".join(fitted.notes)
    exact = fit_list(["GENE1", written], UNIVERSE, KNOWN, exact=True)
    assert (exact.genes, exact.outside) == (("GENE1",), (written,))


def test_a_date_that_may_be_two_genes_is_left_out_and_listed():
    fitted = fit_list(["GENE1", "1-Mar"], UNIVERSE)  # MARCHF1 or MTARC1
    assert fitted.outside == ("1-Mar",)
    assert "1 of 2 genes are outside the universe: 1-Mar; a universe must hold every gene" in fitted.notes[0]


def test_two_names_of_one_gene_count_once():
    assert fit_list(["KMT2A", "MLL"], UNIVERSE).genes == ("KMT2A",)


def test_mouse_symbols_are_refused_with_examples():
    with pytest.raises(InputError, match=r"3 of the 4 genes \('Kmt2a', 'Cd34', 'Tp53' ...\).*mouse symbols"):
        fit_list(["Kmt2a", "Cd34", "Tp53", "GENE1"], UNIVERSE)


def test_a_universe_no_larger_than_the_list_is_refused():
    with pytest.raises(InputError, match=r"universe holds 2 genes and the list 3 \(1 of them outside it\)"):
        fit_list(["A1", "A2", "A3"], ["A1", "A2"])


def test_gene_sets_in_other_case_are_read_in_the_universes():
    terms = {"one": ["cd34", "kmt2a", "elsewhere"], "two": ["tp53"]}
    fitted, notes = fit_terms(terms, UNIVERSE)
    assert {name: list(genes) for name, genes in fitted.items()} == {
        "one": ["CD34", "KMT2A", "elsewhere"],
        "two": ["TP53"],
    }
    assert "gene sets in other case" in notes[0]
    same = {"one": ["CD34", "KMT2A"]}
    assert fit_terms(same, UNIVERSE) == (same, ())


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"one": ["Cd34", "Kmt2a", "Tp53"]}, "written for different species"),
        ({"one": ["ENSG00000000003"]}, "share no gene"),
    ],
)
def test_gene_sets_of_another_kind_are_refused(terms, message):
    with pytest.raises(InputError, match=message):
        fit_terms(terms, UNIVERSE)

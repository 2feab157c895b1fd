import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sgm_core.cells.genes import harmonise, read_aliases, read_gene_list
from sgm_core.errors import InputError

ALIASES = {
    "OLD": ("NEW",),
    "NEW": ("NEW",),
    "TWO": ("A", "B"),
    "A": ("A",),
    "B": ("B",),
    "1-Mar": ("MARCHF1",),
    # An approved symbol that is also a former name of another gene.
    "KEPT": ("KEPT", "OTHER"),
    "X9": ("KEPT",),
}


def var(*names: str, **columns) -> pd.DataFrame:
    return pd.DataFrame({"gene": names, **columns})


def result(gene_map) -> list[str]:
    return [str(gene_map.genes[i]) if i >= 0 else "" for i in gene_map.target]


def test_genes_come_out_sorted_and_duplicates_are_summed():
    gene_map = harmonise(var("CD34", "ACTB", "CD34 ", ""), "f")
    assert gene_map.genes.tolist() == ["ACTB", "CD34"]
    assert gene_map.target.tolist() == [1, 0, 1, -1]
    assert gene_map.report["summed_duplicates"] == 1
    assert gene_map.report["summed_examples"] == ["CD34"]
    counts = sparse.csr_matrix(np.array([[1, 2, 3, 9], [0, 5, 0, 9]]))
    assert gene_map.apply(counts).toarray().tolist() == [[2, 4], [5, 0]]


def test_dropping_genes_keeps_the_sums():
    gene_map = harmonise(var("C", "A", "B", "A"), "f").keep(np.array([True, False, True]))
    assert gene_map.genes.tolist() == ["A", "C"]
    assert gene_map.apply(sparse.csr_matrix([[1, 2, 4, 8]])).toarray().tolist() == [[10, 1]]


def test_aliases_are_mapped_and_ambiguous_ones_left_alone():
    gene_map = harmonise(var("OLD", "NEW", "TWO", "1-Mar", "KEPT", "ZZZ"), "f", aliases=ALIASES)
    assert result(gene_map) == ["NEW", "NEW", "TWO", "MARCHF1", "KEPT", "ZZZ"]
    report = gene_map.report
    assert report["aliases_mapped"] == 2
    assert report["aliases_mapped_examples"] == ["OLD -> NEW", "1-Mar -> MARCHF1"]
    assert report["ambiguous_examples"] == ["TWO"]
    assert report["summed_examples"] == ["NEW"]


def test_a_vocabulary_of_older_symbols_is_met_from_both_sides():
    gene_map = harmonise(var("NEW", "MARCHF1", "A", "Q"), "f", ["OLD", "1-Mar", "A", "B"], ALIASES)
    assert result(gene_map) == ["OLD", "1-Mar", "A", ""]
    assert gene_map.report["vocabulary_found"] == 3
    assert gene_map.report["coverage_vocabulary"] == 0.75
    assert gene_map.report["coverage_genes"] == 0.75


def test_ensembl_ids_are_mapped_through_a_column_of_symbols():
    ids = ["ENSG00000174059.17", "ENSG00000075624", "ENSG00000000003"]
    gene_map = harmonise(var(*ids, feature_name=["CD34", "ACTB", None]), "f")
    assert result(gene_map) == ["CD34", "ACTB", "ENSG00000000003"]
    assert gene_map.report["symbols_from"] == "feature_name"
    assert gene_map.report["ensembl_without_symbol"] == 1
    assert dict(zip(gene_map.genes, gene_map.ensembl))["CD34"] == "ENSG00000174059.17"


def test_ensembl_ids_beside_symbols_are_kept():
    gene_map = harmonise(var("CD34", "ACTB", gene_ids=["ENSG00000174059", "ENSG00000075624"]), "f")
    assert gene_map.table().to_dict("list") == {
        "gene": ["ACTB", "CD34"],
        "ensembl": ["ENSG00000075624", "ENSG00000174059"],
    }


def test_antibodies_are_left_out():
    kinds = ["Gene Expression", "Antibody Capture"]
    gene_map = harmonise(var("CD34", "CD34", feature_type=kinds), "f")
    assert gene_map.target.tolist() == [0, -1]
    assert gene_map.report["other_features"] == 1


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["ENSG00000174059", "ENSG00000075624"], {}, "are Ensembl ids .* add one to var, named gene_symbol"),
        (["0", "1", "2"], {}, "named by numbers"),
        (["Cd34", "Actb"], {"vocabulary": ["CD34", "ACTB"]}, "no known gene in f: .*'Cd34'.* mouse symbols"),
        (["a1", "a2"], {"aliases": ALIASES}, "no known gene in f"),
        (["", ""], {}, "no known gene"),
    ],
)
def test_names_that_are_no_symbols_are_refused(names, options, message):
    with pytest.raises(InputError, match=message):
        harmonise(var(*names), "f", **options)


def test_gene_lists_with_and_without_header(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text("gene_name\tindex\nCD34\t0\nACTB\t1\n\nCD34\t2\n")
    assert read_gene_list(path) == ["CD34", "ACTB"]
    path.write_text("CD34\nPHF19 \n")
    assert read_gene_list(path) == ["CD34", "PHF19"]
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no genes"):
        read_gene_list(path)


def test_alias_tables(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_text("Symbol\tApproved.Symbol\nOLD\tNEW\nTWO\tA /// B\nNONE\tNA\nAGAIN\tA\nAGAIN\tB\n")
    assert read_aliases(path) == {"OLD": ("NEW",), "TWO": ("A", "B"), "AGAIN": ("A", "B")}
    path.write_text("a\tb\n")
    with pytest.raises(InputError, match="no alias table"):
        read_aliases(path)


def test_the_real_vocabulary_gains_from_the_real_aliases(shared):
    folder = shared / "data/gene_lists"
    vocabulary = read_gene_list(folder / "OS_scRNA_gene_index.19264.tsv")
    aliases = read_aliases(folder / "hgnchelper_symbol_map_2022-04.tsv")
    assert len(vocabulary) == 19_264
    assert aliases["NCRNA00181"] == ("A1BG-AS1",)
    names = ["CD34", "NCRNA00181", "nothing"]
    assert harmonise(var(*names), "f", vocabulary).report["vocabulary_found"] == 1
    found = result(harmonise(var(*names), "f", [*vocabulary, "A1BG-AS1"], aliases))
    assert found == ["CD34", "A1BG-AS1", ""]


IDS = [f"ENSG{i:011d}" for i in range(4)]
SYMBOLS = ["CD34", "ACTB", "HLA-A", "C1orf112"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (var(*[f"{i}.{n}" for n, i in enumerate(IDS)], hgnc=SYMBOLS), "taken from column 'hgnc'"),
        (var(*IDS, anything=SYMBOLS, chromosome=["1", "1", "2", "2"]), "taken from column 'anything'"),
        (var("0", "1", "2", "3", gene_id=IDS, gene_name=SYMBOLS), "taken from column 'gene_name'"),
        (var(*[f"{i}_{s}" for i, s in zip(IDS, SYMBOLS)]), "split into symbol and Ensembl id"),
        (var(*[f"{i}.7|{s}" for i, s in zip(IDS, SYMBOLS)]), "split into symbol and Ensembl id"),
        (var(*[f"{s}_{i}" for i, s in zip(IDS, SYMBOLS)]), "split into symbol and Ensembl id"),
        (var(*[f"GRCh38_{s}" for s in SYMBOLS]), "prefix of the genome was taken off"),
        (var(*[f"hg19___{s}" for s in SYMBOLS]), "prefix of the genome was taken off"),
        (var(*[f"GRCh38-2020-A_{i}_{s}" for i, s in zip(IDS, SYMBOLS)]), "prefix of the genome"),
        (var(*[f'"{s}" ' for s in SYMBOLS]), ""),
        (var(*IDS, feature_name=pd.Categorical(SYMBOLS)), "taken from column 'feature_name'"),
    ],
)
def test_symbols_are_found_by_content(table, said):
    for options in ({}, {"vocabulary": SYMBOLS}):
        gene_map = harmonise(table, "f", **options)
        assert result(gene_map) == SYMBOLS
        assert said in " ".join(gene_map.notes)
        assert bool(gene_map.notes) == bool(said)


def test_genes_of_two_genomes_are_refused():
    names = [*(f"GRCh38_{s}" for s in SYMBOLS), "mm10___Cd34"]
    with pytest.raises(InputError, match=r"several genomes \(GRCh38, mm10\)"):
        harmonise(var(*names), "f")


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("9-Sep", "SEPTIN9"),
        ("2-Sep", "SEPTIN2"),
        ("1-Dec", "DELEC1"),
        ("MT.CO1", "MT-CO1"),
        ("HLA.DRA", "HLA-DRA"),
        ("CD34.1", "CD34"),
        ("AC012345.2", "AC012345.2"),
        ("1-Mar", "1-Mar"),
    ],
)
def test_what_tools_do_to_names_without_a_list(name, gene):
    gene_map = harmonise(var("CD34", "ACTB", name), "f")
    assert result(gene_map) == ["CD34", "ACTB", gene]
    assert bool(gene_map.notes) == (name != "AC012345.2")
    assert all(name in note for note in gene_map.notes)


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("9-Sep", "MARKED9"),
        ("HLA.A", "HLA-A"),
        ("hla-a", "HLA-A"),
        ("ACTB.1", "ACTB"),
        ("GRCh38_ACTB", "ACTB"),
    ],
)
def test_what_tools_do_to_names_with_a_list(name, gene):
    aliases = {"SEPTIN9": ("MARKED9",)} if gene == "MARKED9" else None
    gene_map = harmonise(var("CD34", name), "f", ["CD34", "ACTB", "HLA-A", "MARKED9"], aliases)
    assert result(gene_map) == ["CD34", gene]
    assert f"{name} -> {gene}" in " ".join(gene_map.notes)


def test_a_file_in_lower_case_is_read_and_said():
    gene_map = harmonise(var("cd34", "actb", "c1orf112"), "f")
    assert result(gene_map) == ["CD34", "ACTB", "C1orf112"]
    assert "mapped by case: cd34 -> CD34" in " ".join(gene_map.notes)


def test_mouse_genes_are_said_and_refused_beside_human_lists():
    mouse = var("Cd34", "Actb", "mt-Co1", "Rps6")
    assert result(harmonise(mouse, "f")) == ["Cd34", "Actb", "mt-Co1", "Rps6"]
    assert "look like mouse symbols ('Cd34', 'Actb', 'mt-Co1' ...)" in harmonise(mouse, "f").notes[0]
    with pytest.raises(InputError, match="map them to human orthologues"):
        harmonise(var("Cd34", "Actb", "Rps6", "C3"), "f", ["CD34", "ACTB", "C3"])


def test_rows_that_are_no_genes_are_left_out():
    gene_map = harmonise(var("CD34", "__no_feature", "N_unmapped", "ERCC-00074"), "f")
    assert result(gene_map) == ["CD34", "", "", ""]
    assert "3 rows that are no genes were left out" in gene_map.notes[0]

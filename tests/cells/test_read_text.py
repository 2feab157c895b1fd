"""Tables of counts as people save them: the same cells and genes, however they are laid out."""

import numpy as np
import pandas as pd
import pytest
from small_files import FILTERS, GENES, ROLES, small_counts, small_obs, write_cells

from sgm_core.cells.build import import_dataset
from sgm_core.cells.read.text import read_layout
from sgm_core.errors import InputError


def by_gene() -> pd.DataFrame:
    return pd.DataFrame(small_counts().T, index=GENES, columns=small_obs().index)


def by_cell(**columns) -> pd.DataFrame:
    about = small_obs()[["donor", "cell_type", "day"]].assign(**columns)
    return pd.concat([about, pd.DataFrame(small_counts(), index=about.index, columns=GENES)], axis=1)


def import_text(tmp_path, content, name="a.csv", cells=True, **options):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    table = write_cells(tmp_path / "cells.csv") if cells else None
    ds = import_dataset(tmp_path / name, "a", **ROLES, **FILTERS, cells=table, **options)
    return ds, " ".join(ds.meta["source"]["notes"])


def check(ds) -> None:
    expected = pd.DataFrame(small_counts(), index=small_obs().index, columns=GENES)[sorted(GENES)]
    assert ds.genes.tolist() == list(expected.columns)
    assert ds.obs["cell"].tolist() == list(expected.index)
    assert np.array_equal(ds.counts().toarray(), expected.to_numpy())
    assert ds.donors().tolist() == small_obs()["donor"].tolist()


def htseq() -> str:
    table = by_gene()
    for name in ("__no_feature", "__ambiguous", "N_unmapped", "ERCC-00002"):
        table.loc[name] = 50_000
    return table.to_csv(sep="\t", index_label="gene")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: by_gene().to_csv(index_label="gene"), ""),
        (lambda: "\ufeff" + by_gene().to_csv(index_label="gene"), ""),
        (lambda: by_gene().to_csv(index_label="gene").encode("utf-16"), "UTF-16"),
        (lambda: by_gene().to_csv(index_label="gene", quoting=1), ""),
        (lambda: by_gene().to_csv(index_label="gene").replace("\n", ",\n"), ""),
        (lambda: by_gene().to_csv(index_label="gene") + "," * 60 + "\n\n", "empty lines of a.csv"),
        (lambda: by_gene().to_csv(index_label="gene").replace("\n", "\r\n"), ""),
        (lambda: "# Program:featureCounts\n" + by_gene().to_csv(sep="\t", index_label="Geneid"), "comments"),
        (lambda: by_gene().astype(float).to_csv(sep=";", decimal=",", index_label="gene"), "decimal comma"),
        (lambda: by_gene().to_csv(sep=" ", header=True).removeprefix('"" '), "separated by blanks"),
        (htseq, "4 rows that are no genes were left out (__no_feature, __ambiguous, N_unmapped"),
    ],
)  # fmt: skip
def test_every_form_of_genes_by_cells(tmp_path, content, said):
    ds, notes = import_text(tmp_path, content())
    check(ds)
    assert said in notes
    assert bool(notes) == bool(said)


def test_columns_about_genes_are_no_cells(tmp_path):
    table = by_gene()
    table.insert(0, "Chr", "1;1")
    table.insert(1, "Length", np.arange(len(table)) + 1000)
    ds, notes = import_text(tmp_path, table.to_csv(sep="\t", index_label="Geneid"))
    check(ds)
    assert "columns about genes, no cells: 'Chr', 'Length'" in notes


def test_symbols_beside_ids(tmp_path):
    table = by_gene()
    table.insert(0, "external_gene_name", table.index)
    table.index = [f"ENSG{i:011d}" for i in range(len(table))]
    ds, notes = import_text(tmp_path, table.to_csv(sep="\t", index_label="gene_id"))
    check(ds)
    assert ds.var["ensembl"].notna().all()
    assert "gene symbols were taken from column 'external_gene_name'" in notes


def test_numbers_about_cells_are_no_genes(tmp_path):
    late = np.array([""] * 50 + ["yes"] * 10)
    about = {
        "age": 60,
        "n_counts": np.arange(60),
        "cluster": 1,
        "UMAP_1": 0.25,
        "tdTomato": 3,
        "relapse": late,
    }
    ds, notes = import_text(tmp_path, by_cell(**about).to_csv(), cells=False)
    check(ds)
    assert set(about) <= set(ds.obs)
    assert "columns about cells, no genes: 'age', 'n_counts', 'cluster', 'UMAP_1', 'tdTomato'" in notes
    assert ds.obs["relapse"].tolist() == [None] * 50 + ["yes"] * 10
    assert ds.obs["n_counts"].tolist() == list(range(60))


def test_ids_of_donors_in_a_table_of_counts_stay_text(tmp_path):
    donors = np.array(["001", "1E5", "10E4"] * 20)
    ds, _ = import_text(tmp_path, by_cell(donor=donors).to_csv(), cells=False)
    assert ds.donors().tolist() == donors.tolist()


def test_names_that_look_like_no_human_gene_are_kept_where_many_do(tmp_path):
    names = [f"Gene{i}x" for i in range(40)]
    table = by_cell().rename(columns=dict(zip(GENES, names)))
    ds, notes = import_text(tmp_path, table.to_csv(index_label="cell"), cells=False)
    assert sorted(ds.genes) == sorted(names)
    assert "40 columns are not named like human genes ('Gene0x', 'Gene1x', 'Gene2x' and 37 more)" in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.replace(";3;", ";1,000;", 1),
            "numbers such as '1,000', which may mean thousands or decimals",
        ),
        (
            lambda t: t.replace("MPO;", "MPO;x", 1),
            r"'x\d+' in the line of 'MPO', column 'cell_00_ACGTACGTAC'",
        ),
    ],
)
def test_numbers_that_can_not_be_told_are_refused(tmp_path, change, message):
    table = by_gene()
    table.iloc[2, 5:8] = 3
    with pytest.raises(InputError, match=message):
        import_text(tmp_path, change(table.to_csv(sep=";", index_label="gene")))


def test_a_separator_inside_quoted_names(tmp_path):
    (tmp_path / "a.csv").write_text('gene,c1,c2\n"A,B",1,2\n"C",3,4\n')
    layout = read_layout(tmp_path / "a.csv")
    assert layout.left == ["A,B", "C"]

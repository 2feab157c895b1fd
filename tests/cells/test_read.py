"""Every format gives the same cells, genes and counts."""

import gzip

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import (
    FILTERS,
    GENES,
    N_CELLS,
    ROLES,
    small_anndata,
    small_counts,
    small_obs,
    write_10x_folder,
    write_10x_h5,
    write_cells,
    write_h5ad,
    write_loom,
)

from sgm_core.cells.build import import_dataset
from sgm_core.cells.read import open_source
from sgm_core.cells.read.text import read_layout
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError


def check(dataset, genes=GENES) -> None:
    """Compare a dataset with the small table, by names."""
    expected = pd.DataFrame(small_counts(), index=small_obs().index, columns=GENES)
    got = pd.DataFrame(dataset.counts().toarray(), index=dataset.obs["cell"], columns=dataset.genes)
    assert sorted(genes) == dataset.genes.tolist()
    pd.testing.assert_frame_equal(
        got, expected[sorted(genes)], check_names=False, check_dtype=False, check_index_type=False
    )
    obs = small_obs()
    assert dataset.donors().tolist() == obs["donor"].tolist()
    assert dataset.labels().tolist() == obs["cell_type"].tolist()
    assert dataset.obs["day"].tolist() == obs["day"].tolist()


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_h5ad_by_rows_by_columns_and_dense(tmp_path, kind):
    x = kind(small_counts().astype(np.float32))
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", small_anndata(x)), "a", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["counts"] == "X"


@pytest.mark.parametrize("place", ["raw", "counts", "odd"])
def test_h5ad_counts_are_found_behind_scaled_values(tmp_path, place):
    data = small_anndata()
    if place == "raw":
        data.raw = data.copy()
    else:
        data.layers["logs"] = data.X.log1p()
        data.layers[place] = data.X.copy()
    data.X = data.X.toarray() - 0.5
    path = write_h5ad(tmp_path / "a.h5ad", data)
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    check(ds)
    where = {"raw": "raw/X"}.get(place, f"layers/{place}")
    assert ds.meta["source"]["counts"] == where
    named = import_dataset(path, "b", **ROLES, **FILTERS, layer=place)
    assert named.content_hash == ds.content_hash


def test_h5ad_raw_may_hold_more_genes_and_symbols_only_in_var(tmp_path):
    data = small_anndata()
    data.var_names = [f"ENSG{i:011d}" for i in range(len(GENES))]
    data.var["feature_name"] = GENES
    raw = ad.AnnData(data.X.copy(), obs=data.obs, var=data.var[[]])
    data = data[:, :30].copy()
    data.X = data.X.toarray() / 3
    data.raw = raw
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "a", **ROLES, **FILTERS)
    assert set(GENES[:30]) <= set(ds.genes)
    assert ds.n_genes == len(GENES)
    assert ds.meta["gene_report"]["ensembl_without_symbol"] == 10


@pytest.mark.parametrize("version", [2, 3])
def test_10x_h5(tmp_path, version):
    path, cells = write_10x_h5(tmp_path / "a.h5", version), write_cells(tmp_path / "cells.csv")
    ds = import_dataset(path, "a", **ROLES, **FILTERS, cells=cells)
    check(ds)
    assert ds.var["ensembl"].str.startswith("ENSG").all()


@pytest.mark.parametrize(("version", "prefix"), [(2, ""), (3, ""), (3, "GSM1_P0_")])
def test_10x_folder(tmp_path, version, prefix):
    path = write_10x_folder(tmp_path / "filtered", version, prefix)
    cells = write_cells(tmp_path / "cells.csv")
    check(import_dataset(path, "a", **ROLES, **FILTERS, cells=cells))
    matrix = next(path.glob("*matrix.mtx*"))
    check(import_dataset(matrix, "b", **ROLES, **FILTERS, cells=cells))


def test_10x_folder_that_is_incomplete(tmp_path):
    path = write_10x_folder(tmp_path / "filtered", 2)
    text = (path / "matrix.mtx").read_text()
    (path / "matrix.mtx").write_text("\n".join(text.splitlines()[:100]) + "\n")
    with pytest.raises(InputError, match=r"matrix.mtx is cut short: 97 of [\d,]+ entries"):
        import_dataset(path, "a", **ROLES)
    (path / "matrix.mtx").write_text(text)
    (path / "barcodes.tsv").unlink()
    with pytest.raises(InputError, match=r"no file barcodes\.tsv"):
        import_dataset(path, "a", **ROLES)


def test_loom(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    check(import_dataset(path, "a", **ROLES, **FILTERS))
    with h5py.File(path, "r+") as file:
        file["layers/umi"] = file["matrix"][:]
        file["matrix"][:] = file["matrix"][:] / 3
    ds = import_dataset(path, "b", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["counts"] == "layers/umi"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
def test_text_cells_by_genes(tmp_path, ending):
    table = pd.DataFrame(small_counts(), index=small_obs().index, columns=GENES)
    table = pd.concat([small_obs()[["donor", "cell_type", "day"]], table], axis=1)
    path = tmp_path / f"a{ending}"
    table.to_csv(path, sep="\t" if "tsv" in ending else ",")
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["format"] == "text, cells x genes"


@pytest.mark.parametrize("corner", ["", "Gene", None])
def test_text_genes_by_cells(tmp_path, corner):
    table = pd.DataFrame(small_counts().T, index=GENES, columns=small_obs().index)
    path = tmp_path / "a.txt.gz"
    if corner is None:
        # As R writes it: no field above the row names.
        lines = table.to_csv(sep="\t", header=False)
        path.write_bytes(gzip.compress(("\t".join(table.columns) + "\n" + lines).encode()))
    else:
        table.to_csv(path, sep="\t", index_label=corner)
    ds = import_dataset(path, "a", **ROLES, **FILTERS, cells=write_cells(tmp_path / "cells.csv"))
    check(ds)
    assert ds.meta["source"]["format"] == "text, genes x cells"


def test_text_with_a_donor_named_by_numbers(tmp_path):
    table = pd.DataFrame(small_counts(), index=small_obs().index, columns=GENES)
    obs = small_obs()[["cell_type", "day"]].assign(donor=np.arange(N_CELLS) % 4 + 1)
    pd.concat([obs, table], axis=1).to_csv(tmp_path / "a.csv")
    ds = import_dataset(tmp_path / "a.csv", "a", **ROLES, **FILTERS)
    assert sorted(ds.donors().unique()) == ["1", "2", "3", "4"]
    assert "donor" not in ds.genes


def test_text_whose_sides_can_not_be_told(tmp_path):
    pd.DataFrame(np.eye(3), index=["r1", "r2", "r3"], columns=["k1", "k2", "k3"]).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"can't tell which side of a\.csv holds the genes"):
        import_dataset(tmp_path / "a.csv", "a", **ROLES)


def test_text_that_is_no_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("hello\n")
    with pytest.raises(InputError, match="no table"):
        read_layout(path)
    path.write_text("gene,c1,c2\nACTB,1\n")
    with pytest.raises(InputError, match="3 fields in its first line, 2 in the next"):
        read_layout(path)
    path.write_text("gene,c1,c2\nACTB,1,2\nCD34,x,3\n")
    with pytest.raises(InputError, match="no counts in some line after 1"):
        import_dataset(path, "a", **ROLES)


def test_gzip_cut_short(tmp_path):
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(pd.DataFrame(small_counts(), columns=GENES).to_csv().encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.csv\.gz is damaged or cut short"):
        import_dataset(path, "a", **ROLES)


def test_unknown_formats_are_named(tmp_path):
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match=r"a\.docx is of no format that is known here: give h5ad"):
        open_source(tmp_path / "a.docx", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder empty holds no counts"):
        open_source(tmp_path / "empty", tmp_path)


def test_layers_are_refused_where_there_are_none(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"a\.h5 has no layers"):
        open_source(path, tmp_path, layer="counts")
    with pytest.raises(InputError, match="no layer 'nope'; counts may be in X"):
        open_source(write_h5ad(tmp_path / "a.h5ad"), tmp_path, layer="nope")


def test_an_h5ad_named_h5_is_recognised(tmp_path):
    write_h5ad(tmp_path / "a.h5ad").rename(tmp_path / "a.h5")
    assert open_source(tmp_path / "a.h5", tmp_path).format == "h5ad (csr)"


def test_transposing_across_parts(tmp_path):
    rng = np.random.default_rng(0)
    matrix = sparse.random(5000, 7, 0.2, format="coo", random_state=rng)
    matrix.data = rng.integers(1, 99, matrix.nnz).astype(float)
    order = rng.permutation(matrix.nnz)
    transposer = Transposer(tmp_path, 5000, 7)
    for part in np.array_split(order, 9):
        transposer.add(matrix.row[part], matrix.col[part], matrix.data[part])
    for _ in range(2):
        got = sparse.vstack(list(transposer.chunks()))
        assert (got != matrix.tocsr()).nnz == 0


def test_values_of_many_kinds_of_file_can_be_read_in_small_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("sgm_core.cells.read.source.CHUNK_VALUES", 50)
    for kind in (sparse.csr_matrix, sparse.csc_matrix):
        path = write_h5ad(tmp_path / "a.h5ad", small_anndata(kind(small_counts())))
        scratch = tmp_path / kind.__name__
        scratch.mkdir()
        source = open_source(path, scratch)
        for _ in range(2):
            chunks = list(source.chunks())
            assert np.array_equal(sparse.vstack(chunks).toarray(), small_counts())
    assert len(list(open_source(write_h5ad(tmp_path / "b.h5ad"), scratch).chunks())) > 5

"""Where in a file the counts are, and which numbers pass as counts."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import FILTERS, GENES, ROLES, small_anndata, small_counts, small_obs, write_h5ad, write_loom
from test_bad_input import refused
from test_read import check

from sgm_core.cells.build import import_dataset
from sgm_core.cells.read import open_source
from sgm_core.cells.read.transpose import Transposer
from sgm_core.cells.read.values import not_counts
from sgm_core.cli import main
from sgm_core.errors import InputError


def logged(**layers) -> ad.AnnData:
    """The small table with X log-normalised, and counts (or what is made of them) in layers."""
    data = small_anndata(np.log1p(small_counts().astype(np.float32)))
    for name, values in layers.items():
        data.layers[name] = sparse.csr_matrix(values.astype(np.float32))
    return data


def binary() -> np.ndarray:
    return (small_counts() > 0).astype(np.float32)


def notes_of(dataset) -> str:
    return " | ".join(dataset.meta["source"]["notes"])


def test_a_file_without_cells_or_genes(tmp_path):
    refused(write_h5ad(tmp_path / "a.h5ad", small_anndata()[:0].copy()), r"a\.h5ad has no cells")
    refused(write_h5ad(tmp_path / "a.h5ad", small_anndata()[:, :0].copy()), r"a\.h5ad has no genes")
    path = write_loom(tmp_path / "a.loom")
    with h5py.File(path, "r+") as file:
        del file["matrix"]
        file["matrix"] = np.zeros((len(GENES), 0), np.float32)
    refused(path, r"a\.loom has no cells")


def test_velocity_layers_are_never_taken_by_guess(tmp_path):
    counts = small_counts()
    parts = {"ambiguous": counts // 3, "spliced": counts - counts // 3, "unspliced": counts * 0 + 1}
    path = write_h5ad(tmp_path / "a.h5ad", logged(**parts))
    refused(path, r"layers/ambiguous is a part of the counts \(RNA velocity\); .*--layer")
    named = import_dataset(path, "named", **ROLES, **FILTERS, layer="spliced")
    assert named.counts().sum() == parts["spliced"].sum()
    path = write_h5ad(tmp_path / "b.h5ad", logged(**parts, matrix=counts))
    ds = import_dataset(path, "b", **ROLES, **FILTERS)
    check(ds)
    assert "counts were taken from layers/matrix: X has values that are no whole numbers" in notes_of(ds)


def test_velocity_layers_of_a_loom_file(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    with h5py.File(path, "r+") as file:
        file["layers/spliced"] = file["matrix"][:]
        file["matrix"][:] = file["matrix"][:] / 3
    refused(path, r"layers/spliced is a part of the counts")
    check(import_dataset(path, "a", **ROLES, **FILTERS, layer="spliced"))


def test_a_binarised_layer_is_no_counts(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", logged(binarized=binary()))
    refused(path, r"no raw counts: X has values .*; layers/binarized has zeros and ones only")
    ds = import_dataset(
        write_h5ad(tmp_path / "b.h5ad", logged(binarized=binary(), molecules=small_counts())),
        "b", **ROLES, **FILTERS,
    )  # fmt: skip
    check(ds)
    assert ds.meta["source"]["counts"] == "layers/molecules"


@pytest.mark.parametrize("x", ["empty", "zeros", "binary"])
def test_an_x_without_counts_gives_way_to_a_layer(tmp_path, x):
    shape = small_counts().shape
    data = small_anndata({"empty": sparse.csr_matrix(shape), "zeros": np.zeros(shape), "binary": binary()}[x])
    data.layers["counts"] = small_counts()
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "a", **ROLES, **FILTERS)
    check(ds)
    assert "counts were taken from layers/counts: X has" in notes_of(ds)


def test_an_empty_matrix_alone_is_refused(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(sparse.csr_matrix(small_counts().shape)))
    refused(path, "no raw counts: X has no value above 0")


def test_binarised_counts_alone_are_imported_with_a_warning(tmp_path, capsys):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(binary()))
    options = "--name a --donor donor --cell-type cell_type --timepoint day --min-genes 5 --min-cells 1"
    assert main(["data", "import", str(path), *options.split()]) == 0
    out = capsys.readouterr()
    assert "note      X: no count is above 1; this looks binarised" in out.out
    assert "no count is above 1" in out.err
    usual = import_dataset(write_h5ad(tmp_path / "b.h5ad"), "b", **ROLES, **FILTERS)
    assert notes_of(usual) == ""


def test_ones_in_the_sample_only_are_not_binarised(tmp_path, monkeypatch):
    monkeypatch.setattr("sgm_core.cells.read.values._SAMPLE", 40)
    counts = np.ones_like(small_counts())
    counts[13, 20] = 7
    for x in (counts, sparse.csr_matrix(counts)):
        data = small_anndata(x)
        data.layers["counts"] = small_counts()
        name = type(x).__name__
        ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), name, **ROLES, **FILTERS)
        assert ds.counts().sum() == counts.sum()


def test_several_layers_of_whole_numbers_are_a_question(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", logged(alpha=small_counts(), beta=small_counts() * 2))
    refused(path, r"several layers with whole numbers \(alpha, beta\): say which .* --layer")
    named = import_dataset(path, "a", **ROLES, **FILTERS, layer="beta")
    assert named.counts().sum() == 2 * small_counts().sum()
    # A layer that is called counts answers it.
    path = write_h5ad(tmp_path / "b.h5ad", logged(alpha=small_counts() * 2, counts=small_counts()))
    check(import_dataset(path, "b", **ROLES, **FILTERS))


def test_raw_with_more_genes_goes_before_x(tmp_path):
    data = small_anndata()
    data.raw = data.copy()
    data = data[:, :25].copy()
    path = write_h5ad(tmp_path / "a.h5ad", data)
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    check(ds)
    assert "counts were taken from raw/X, which has 40 genes; X has 25 (--layer X)" in notes_of(ds)
    assert import_dataset(path, "x", **ROLES, **FILTERS, layer="X").n_genes == 25


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float32", "float64",
     ">i4",
     ">f4"]
)  # fmt: skip
def test_every_type_that_holds_whole_numbers(tmp_path, dtype, dense):
    counts = small_counts().astype(dtype)
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        if dense:
            del file["X"]
            file["X"] = counts
        else:
            rows, columns = small_counts().nonzero()
            del file["X/data"]
            file["X/data"] = counts[rows, columns]
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    expected = counts.astype(np.int64)[:, np.argsort(GENES)]
    assert np.array_equal(ds.counts().toarray(), expected)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_counts_that_went_through_float_arithmetic_are_rounded(tmp_path, kind):
    rough = np.expm1(np.log1p(small_counts().astype(np.float32) * 400)) * np.float32(1 / 400)
    assert (rough != np.rint(rough)).any()
    # Below a whole number: cutting the fraction off would lose one.
    rough = np.where(rough > 0, rough - np.float32(1e-5), rough)
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", small_anndata(kind(rough))), "a", **ROLES, **FILTERS)
    check(ds)
    assert "X: values were rounded to whole numbers (up to 1e-05 away)" in notes_of(ds)


def test_every_value_a_little_above(tmp_path):
    # Zeros of a dense matrix become 1e-6 too, and must not be found as counts.
    ds = import_dataset(
        write_h5ad(tmp_path / "a.h5ad", small_anndata(small_counts() + 1e-6)), "a", **ROLES, **FILTERS
    )
    check(ds)
    assert ds.counts().nnz == np.count_nonzero(small_counts())


def test_what_is_too_far_is_refused_with_all_its_digits(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(small_counts() + 20.002))
    refused(path, r"values that are no whole numbers \(such as 2\d\.002\)")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0, 1, 2.0009], None),
        ([-1e-9, 3], None),
        ([1, 2.002], "such as 2.002"),
        ([0.25, 0.0001], "such as 0.25"),
        ([-0.01], "negative"),
        ([40_000.02], None),  # float32 has no more digits there after a logarithm
        ([40_000.2], "such as 40000.2"),
        ([np.inf], "infinite"),
        (["1"], "no numbers"),
    ],
)
def test_not_counts(values, reason):
    said = not_counts(np.array(values))
    assert said is None if reason is None else reason in said


def test_text_is_rounded_and_warned_about_too(tmp_path):
    for name, counts in (("rough", small_counts() + 1e-7), ("ones", binary().astype(int))):
        table = pd.DataFrame(counts.T, index=GENES, columns=small_obs().index)
        table.to_csv(tmp_path / f"{name}.csv", index_label="gene")
        small_obs().to_csv(tmp_path / "cells.csv")
        ds = import_dataset(tmp_path / f"{name}.csv", name, **ROLES, **FILTERS, cells=tmp_path / "cells.csv")
        assert ("rounded" if name == "rough" else "binarised") in notes_of(ds)


def test_an_opened_file_gives_whole_numbers_to_whoever_reads_it(tmp_path):
    # Embedding reads files too, and cut 2.9999 down to 2.
    rough = np.where(small_counts() > 0, small_counts() - 1e-4, 0)
    source = open_source(write_h5ad(tmp_path / "a.h5ad", small_anndata(rough)), tmp_path)
    for _ in range(2):
        assert np.array_equal(sparse.vstack(list(source.chunks())).toarray(), small_counts())
    assert len(source.notes) == 1


def test_places_outside_the_matrix_are_not_lost(tmp_path):
    transposer = Transposer(tmp_path, 5, 3)
    transposer.add(np.array([], int), np.array([], int), np.array([]))
    for cells, genes in (([5], [0]), ([-1], [0]), ([0], [3])):
        with pytest.raises(ValueError, match="in a matrix of"):
            transposer.add(np.array(cells), np.array(genes), np.array([1.0]))
    with pytest.raises(InputError, match="16,777,218 is too large"):
        transposer.add(np.array([0]), np.array([0]), np.array([2.0**24 + 2]))

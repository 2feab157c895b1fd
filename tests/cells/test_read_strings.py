"""Text in 10x and loom files: UTF-8, latin-1, XML entities; names under other attributes."""

import h5py
import numpy as np
import pytest
from small_files import FILTERS, GENES, N_CELLS, ROLES, small_obs, write_10x_h5, write_cells, write_loom
from test_bad_input import refused
from test_read import check

from sgm_core.cells.build import import_dataset


def replaced(path, **datasets) -> None:
    with h5py.File(path, "r+") as file:
        for place, values in datasets.items():
            place = place.replace("__", "/")
            if place in file:
                del file[place]
            if values is not None:
                file[place] = values


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_an_antibody_with_a_letter_that_is_not_ascii(tmp_path, encoding):
    path, cells = write_10x_h5(tmp_path / "a.h5"), write_cells(tmp_path / "cells.csv")
    names = [*(gene.encode() for gene in GENES[:-1]), "TCR\u00b5".encode(encoding)]
    types = np.array(["Gene Expression"] * 39 + ["Antibody Capture"], dtype="S")
    replaced(path, matrix__features__name=np.array(names), matrix__features__feature_type=types)
    ds = import_dataset(path, "a", **ROLES, **FILTERS, cells=cells)
    check(ds, GENES[:-1])
    said = [note for note in ds.meta["source"]["notes"] if "Windows-1252" in note]
    assert said == ([] if encoding == "utf-8" else [
        "matrix/features/name is not UTF-8 throughout: what is not was read as Windows-1252 (latin-1)"
    ])  # fmt: skip


@pytest.mark.parametrize("missing", ["feature_type", "id"])
def test_a_10x_file_without_some_features(tmp_path, missing):
    # CellBender writes what its input had; STARsolo has no types.
    path, cells = write_10x_h5(tmp_path / "a.h5"), write_cells(tmp_path / "cells.csv")
    replaced(path, **{f"matrix__features__{missing}": None})
    check(import_dataset(path, "a", **ROLES, **FILTERS, cells=cells))


def test_a_10x_file_without_names_of_genes(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5")
    replaced(path, matrix__features__name=None, matrix__features__id=None)
    refused(path, r"a\.h5 doesn't name its genes")


def test_several_genomes_are_named(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5", 2)
    with h5py.File(path, "r+") as file:
        file.copy("GRCh38", "mm10")
    refused(path, r"several genomes \(GRCh38, mm10\)")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["5 \u00b5M".encode("latin-1")] * N_CELLS, "5 \u00b5M"),
        (["5 \u00b5M".encode()] * N_CELLS, "5 \u00b5M"),
        ([b"GMP &#945;"] * N_CELLS, "GMP \u03b1"),
    ],
)
def test_attributes_of_loom_that_are_not_ascii(tmp_path, values, expected):
    path = write_loom(tmp_path / "a.loom")
    replaced(path, col_attrs__treatment=np.array(values))
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    check(ds)
    assert set(ds.obs["treatment"]) == {expected}
    assert any("col_attrs/treatment is not UTF-8" in note for note in ds.meta["source"]["notes"]) == (
        values[0] == b"5 \xb5M"
    )


def test_attributes_of_loom_under_other_names(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    names = np.array(small_obs().index, dtype="S")
    points = np.zeros(N_CELLS, [("_X", "f8"), ("_Y", "f8")])
    replaced(
        path, col_attrs__CellID=None, col_attrs__Barcodes=names, col_attrs__Embedding=points,
        row_attrs__Gene=None, row_attrs__gene_symbol=np.array(GENES, dtype="S"),
    )  # fmt: skip
    ds = import_dataset(path, "a", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["notes"] == [
        "attributes of col_attrs without one value each were left out: Embedding"
    ]


def test_a_loom_file_without_names(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    replaced(path, col_attrs__CellID=None)
    refused(
        path, r"does not name its cells: an attribute CellID is needed; it has cell_type, day, donor, score"
    )

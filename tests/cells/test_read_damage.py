"""A fault of a file ends in one line; a fault of the program stays an error of the program."""

import errno
import gzip
import os

import h5py
import numpy as np
import pandas as pd
import pytest
from small_files import GENES, small_anndata, write_10x_h5, write_h5ad, write_loom
from test_bad_input import refused
from test_read_h5ad_kinds import write_bare

from sgm_core.cells.read import damage, open_source
from sgm_core.cells.read.damage import reading
from sgm_core.errors import InputError


def test_a_compression_that_is_not_installed_is_named(tmp_path):
    # Any number that nobody registered: no machine can read it.
    for number, name in ((32999, "Strange"), (32998, "HDF5 filter 32998")):
        path = write_h5ad(tmp_path / "a.h5ad")
        with h5py.File(path, "r+") as file:
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            settings.set_chunk((8,))
            settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
            del file["X/data"]
            space = h5py.h5s.create_simple((file["X/indices"].size,))
            data = h5py.h5d.create(file["X"].id, b"data", h5py.h5t.NATIVE_FLOAT, space, settings)
            for start in range(0, file["X/indices"].size, 8):
                data.write_direct_chunk((start,), b"packed")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(damage, "_FILTERS", {32999: "Strange"})
            refused(path, rf"a\.h5ad is compressed with {name}, .* \(pip install hdf5plugin\)")


def _normalised(path):
    data = small_anndata()
    data.raw, data.layers["counts"] = data.copy(), data.X.copy()
    data.X = data.X.toarray() / 3
    return write_h5ad(path, data)


@pytest.mark.parametrize(
    ("make", "name"),
    [(_normalised, "a.h5ad"), (write_bare, "b.h5ad"), (write_10x_h5, "a.h5"), (write_loom, "a.loom")],
)
@pytest.mark.parametrize("change", ["gone", "group", "text", "floats"])
def test_whatever_part_of_a_file_is_wrong_it_is_read_or_refused_in_one_line(tmp_path, make, name, change):
    path, parts = make(tmp_path / name), []
    whole = path.read_bytes()
    with h5py.File(path) as file:
        file.visit(parts.append)
    for part in parts:
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            attributes = dict(file[part].attrs)
            del file[part]
            if change == "group":
                file.create_group(part)
            elif change != "gone":
                file[part] = "hello" if change == "text" else np.linspace(0, 1, 7)
            if change != "gone":
                file[part].attrs.update({k: v for k, v in attributes.items() if k != "categories"})
        try:
            for chunk in open_source(path, tmp_path).chunks():
                assert chunk.shape[1] == len(GENES)
        except InputError as error:
            assert name in str(error) and "\n" not in str(error)


def test_a_part_that_is_missing_is_named(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs"].attrs["column-order"]
    refused(path, r"a\.h5ad is not built as its format asks \(.*column-order.*save it again")


def test_an_element_that_nobody_can_read_is_named(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        file["obs/day"].attrs["encoding-type"] = "of-the-future"
    refused(path, r"a\.h5ad is not built as its format asks \(.*of-the-future")


def test_text_that_is_not_utf_8(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        names = file["obs/_index"][:]
        names[3] = b"caf\xe9"
        file["obs/_index"][...] = names
    refused(path, r"a\.h5ad holds text that is not UTF-8 .*: save it again as UTF-8")


def test_a_file_that_may_not_be_read(tmp_path):
    # Raised here, since root may read everything.
    with (
        pytest.raises(InputError, match=r"a\.h5 can't be opened \(Permission denied\)"),
        reading(tmp_path / "a.h5"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_file_that_vanishes(tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5ad can't be opened \(No such file or directory\)"):
        open_source(tmp_path / "gone.h5ad", tmp_path)


def _slip(kind):
    if kind == "attribute":
        return None.split()
    if kind == "value":
        raise ValueError("ours")
    if kind == "numpy":
        return np.zeros(3).reshape(2, 2)
    if kind == "pandas":
        return pd.DataFrame({"a": [1]})["b"]
    return {}["key"]


@pytest.mark.parametrize("kind", ["attribute", "value", "numpy", "pandas", "key"])
def test_a_slip_of_the_program_is_not_called_a_damaged_file(tmp_path, kind, monkeypatch):
    with pytest.raises((AttributeError, ValueError, KeyError)), reading(tmp_path / "a.h5ad"):
        _slip(kind)
    # In a reader too.
    monkeypatch.setattr("sgm_core.cells.read.h5ad.refuse_empty", lambda *_: _slip(kind))
    with pytest.raises((AttributeError, ValueError, KeyError)):
        open_source(write_h5ad(tmp_path / "a.h5ad"), tmp_path)


def test_a_wrong_call_of_a_library_is_a_slip_too(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path) as file, pytest.raises(TypeError), reading(path):
        file[None]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda path: h5py.File(path)["nothing"], "is not built as its format asks"),
        (lambda path: h5py.File(path)["X/data"].asstr()[:], None),
        (lambda path: gzip.decompress(path.read_bytes()), "is damaged or cut short"),
        (lambda path: path.read_text(), "holds text that is not UTF-8"),
        (lambda path: pd.read_csv(path, encoding="latin-1"), "is not built as its format asks"),
    ],
)
def test_what_libraries_say_about_a_file(tmp_path, work, message):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata())
    expected = InputError if message else TypeError
    with pytest.raises(expected, match=message), reading(path):
        work(path)


def test_a_full_disk_is_no_damage(tmp_path):
    with pytest.raises(OSError, match="No space left"), reading(tmp_path / "a.h5ad"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

"""A fault of a file ends in one line; a fault of the program stays an error of the program."""

import errno
import gzip
import os

import h5py
import numpy as np
import pandas as pd
import pytest
from small_files import small_anndata, write_h5ad
from test_bad_input import refused

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

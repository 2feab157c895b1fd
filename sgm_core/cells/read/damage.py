"""What a file that can't be read ends as: one line that names it and says what to do."""

import contextlib
import errno
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from sgm_core.cells.read.links import refuse_links
from sgm_core.errors import InputError

_HDF5, _GZIP = b"\x89HDF\r\n\x1a\n", b"\x1f\x8b"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
# Whose complaint is about the content of the file that it reads.
_READERS = ("h5py", "anndata", "gzip", "codecs", "encodings", "pandas.io", "pandas._libs.parsers", "pyarrow")
# https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
_FILTERS = {
    4: "szip", 305: "LZO", 307: "bzip2", 32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle",
    32013: "ZFP", 32015: "Zstandard", 32026: "Blosc2",
}  # fmt: skip


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a library raises about the content of `path` into one line.

    An error that our own code raises, or a library that reads no files, is a fault of the program and passes.

    Raises
    ------
    InputError
        If the file is damaged, cut short, compressed in a way that is unknown here, not built as its format
        asks, or may not be read.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # A full disk is no fault of the file: scratch files are written while reading.
        if (isinstance(error, OSError) and error.errno in _FULL) or not _is_about_the_file(error):
            raise
        raise InputError(_explain(path, error)) from error


def _is_about_the_file(error: Exception) -> bool:
    if isinstance(error, (OSError, EOFError, zlib.error, UnicodeError)):
        return True
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = max((i for i, module in enumerate(modules) if module.startswith("sgm_core")), default=-1)
    called = [module for module in modules[own + 1 :] if module.startswith(_READERS)]
    # A TypeError out of h5py is a call that is wrong; anndata has one for an element that is.
    kinds = (
        Exception if any(m.startswith("anndata") for m in called) else (ValueError, LookupError, RuntimeError)
    )
    return bool(called) and isinstance(error, kinds)


def _explain(path: Path, error: Exception) -> str:
    reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
    if isinstance(error, OSError) and (missing := _missing_filter(path)):
        return (
            f"{path.name} is compressed with {missing}, which can't be read here: install the package that "
            "brings it (pip install hdf5plugin) and import again, or save the file with gzip"
        )
    if isinstance(error, OSError) and error.errno in _CLOSED:
        return f"{path.name} can't be opened ({error.strerror}): check that it is there and may be read"
    if isinstance(error, UnicodeError):
        return f"{path.name} holds text that is not UTF-8 ({reason}): save it again as UTF-8"
    if isinstance(error, (OSError, EOFError, zlib.error, RuntimeError)):
        return f"{path.name} is damaged or cut short ({reason}): copy or download it again"
    return (
        f"{path.name} is not built as its format asks ({reason}): save it again with the tool that made it, "
        "in a current version"
    )


def _missing_filter(path: Path) -> str | None:
    """Return the name of a compression that an HDF5 file uses and this installation can't undo."""
    missing: list[str] = []

    def look(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            settings = item.id.get_create_plist()
            for number, _, _, name in (settings.get_filter(i) for i in range(settings.get_nfilters())):
                if not h5py.h5z.filter_avail(number):
                    filter_name = name.decode(errors="replace").split(";")[0]
                    missing.append(_FILTERS.get(number) or filter_name or f"HDF5 filter {number}")

    with contextlib.suppress(Exception), h5py.File(path, "r") as file:
        file.visititems(look)
    return missing[0] if missing else None


def members(file: h5py.File, name: str) -> h5py.Group | dict[str, h5py.Dataset]:
    """Return the group `name` of a file, empty if there is none."""
    group = file.get(name)
    return group if isinstance(group, h5py.Group) else {}


def part(group: h5py.Group, name: str, kinds: str = "iufb", n_dims: int = 1) -> h5py.Dataset:
    """Return the dataset `name` of a group: a list (or table) whose type is one of numpy's `kinds`.

    Raises
    ------
    InputError
        If it is missing or something else.
    """
    item = group.get(name)
    if isinstance(item, h5py.Dataset) and len(item.shape or ()) == n_dims and item.dtype.kind in kinds:
        return item
    what = "missing" if item is None else f"no {'list' if n_dims == 1 else 'table'} of the expected kind"
    place, file = f"{group.name}/{name}".strip("/"), Path(group.file.filename).name
    raise InputError(f"{place} of {file} is {what}: save the file again with the tool that made it")


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    InputError
        If it is something else, or cut short.
    """
    # Brings Zstandard, Blosc and others where it is installed; at 190 MB it is no requirement.
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401
    with reading(path), path.open("rb") as stream:
        start = stream.read(8)
    if start != _HDF5:
        what = "is empty" if not start else "is no HDF5 file, though its name says so"
        advice = "; it is gzipped: gunzip it first" if start.startswith(_GZIP) else ": check what it is"
        raise InputError(f"{path.name} {what}{advice}")
    with reading(path):
        file = h5py.File(path, "r")
        try:
            refuse_links(path, file)
        except BaseException:
            file.close()
            raise
        return file

"""The tables obs and var of an h5ad file, as every version of anndata (and others) wrote them."""

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sgm_core.cells.read.damage import part
from sgm_core.cells.read.strings import decode, foreign_text
from sgm_core.errors import InputError

_INDEX = ("_index", "index", "obs_names", "var_names", "cell_names", "gene_names")


def read_table(file: h5py.File, place: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the table at `place`, whose index holds the names, and what there is to say about it.

    Tables that declare their encoding are read by anndata. Others are a compound dataset (anndata before
    0.7) or a group of columns. Categories of whole numbers are looked up in the column itself, in
    ``__categories`` and in ``uns/NAME_categories``, beside tables that declare their encoding too.

    Raises
    ------
    InputError
        If it doesn't hold the names.
    """
    from anndata import OldFormatWarning
    from anndata.io import read_elem

    item = file[place]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        if isinstance(item, h5py.Dataset):
            table = _compound(item, place)
        elif str(item.attrs.get("encoding-type")) == "dataframe":
            table = read_elem(item)
        else:
            table = _bare(item, place)
    names, foreign = decode(table.index)
    table.index = pd.Index(names, dtype=object)
    for column in table:
        values = table[column]
        if values.dtype == object:
            table[column], odd = decode(values)
            foreign |= odd
        elif pd.api.types.is_integer_dtype(values.dtype):
            for levels in (f"{place}/__categories/{column}", f"uns/{column}_categories"):
                if isinstance(file.get(levels), h5py.Dataset):
                    table[column] = _coded(values.to_numpy(), file[levels])
                    break
    return table, [foreign_text(place)] if foreign else []


def _compound(item: h5py.Dataset, place: str) -> pd.DataFrame:
    rows = item[...]
    if rows.dtype.names is None:
        raise InputError(f"{Path(item.file.filename).name} is no h5ad file: its {place} is no table")
    names = next((name for name in _INDEX if name in rows.dtype.names), rows.dtype.names[0])
    columns = {name: _plain(rows[name]) for name in rows.dtype.names if rows[name].ndim == 1}
    return pd.DataFrame(columns).set_index(names)


def _bare(group: h5py.Group, place: str) -> pd.DataFrame:
    """Read a group of columns without a declared encoding."""
    named = str(group.attrs.get("_index"))
    names = next((name for name in (named, *_INDEX) if name in group), None)
    if names is None:
        raise InputError(
            f"{place} of {Path(group.file.filename).name} doesn't say which column holds the names: its "
            "attribute _index is missing; set it, or save the file with a current version of anndata"
        )
    index = pd.Index(part(group, names, "SOiu")[...])
    columns: dict[str, Any] = {}
    for name in group.attrs.get("column-order", list(group)):
        values = None if name in (names, "__categories") else _column(group, name)
        if values is not None and len(values) != len(index):
            raise InputError(
                f"{Path(group.file.filename).name} is inconsistent: {place}/{name} has {len(values)} values "
                f"for {len(index)} names"
            )
        columns |= {} if values is None else {name: values}
    return pd.DataFrame(columns, index=index)


def _column(group: h5py.Group, name: str) -> Any:
    item = group[name]
    if isinstance(item, h5py.Group):
        is_coded = {"codes", "categories"} <= set(item)
        return _coded(item["codes"][...], item["categories"]) if is_coded else None
    if item.ndim != 1:
        return None
    levels = item.attrs.get("categories")
    levels = group[levels] if isinstance(levels, h5py.Reference) else group.get(f"__categories/{name}")
    return _plain(item[...]) if levels is None else _coded(item[...], levels)


def _plain(values: np.ndarray) -> np.ndarray:
    # pandas would keep bytes of a fixed length as they are.
    return values.astype(object) if values.dtype.kind == "S" else values


def _coded(codes: np.ndarray, levels: h5py.Dataset) -> pd.Categorical | np.ndarray:
    """Return the categories that `codes` stand for; the codes, where they don't fit."""
    if not isinstance(levels, h5py.Dataset) or codes.dtype.kind not in "iu":
        return _plain(codes)
    names, _ = decode(np.ravel(levels[...]).tolist())
    fit = not codes.size or -1 <= codes.min() <= codes.max() < len(names)
    if not fit or len(set(names)) < len(names):
        return codes
    return (
        pd.Categorical.from_codes(codes, pd.Index(names).astype(str))
        if len(set(names)) == len(names)
        else codes
    )

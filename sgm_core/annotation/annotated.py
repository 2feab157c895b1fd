"""The cells of a query, named, and where they came from: what pages and outputs read without a classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sgm_core.cells.dataset import is_dataset, open_dataset
from sgm_core.errors import InputError

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Annotated:
    """The cells of a query, named.

    Parameters
    ----------
    name : of the dataset or file
    obs : its own columns, one row a cell, the first is ``cell``
    predictions : one row a cell: cell_type (or 'unknown'), best (the likeliest class), confidence, second,
        second_confidence, reason (empty, or why it is unknown), agreement (share of the folds' classifiers
        that name the same), spread (SD of its probability over them), distance (to the reference), known
        (how usual it looks, small = unknown), n_genes, n_counts, map_x, map_y (kNN placement on the
        reference's map), ``score:NAME`` for each signature; umap_x, umap_y (a map of these cells in the
        model's space) where it was asked for
    about : model, its hash, coverage, notes, seconds, origin and its stamp
    """

    name: str
    obs: pd.DataFrame
    predictions: pd.DataFrame
    about: dict[str, Any]


def origin_of(data: str) -> dict[str, str]:
    """Return where the cells come from, and a stamp that changes when they do: origin, origin_stamp."""
    if is_dataset(data):
        return {"origin": data, "origin_stamp": open_dataset(data).content_hash}
    path = Path(data).expanduser().resolve()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    stamp = "-".join(map(str, (len(stats), sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats))))
    return {"origin": str(path), "origin_stamp": stamp}


def check_origin(about: dict[str, Any]) -> str:
    """Return the dataset or file that was annotated, if it is still there and the same.

    Raises
    ------
    InputError
        If it is gone or has changed, or the annotation does not say what it was.
    """
    origin = str(about.get("origin") or "")
    if not origin:
        raise InputError("this annotation does not say which file its cells are from: annotate it again")
    if not (is_dataset(origin) or ("/" in origin and Path(origin).exists())):
        raise InputError(f"{origin} is gone: put it back, or take the CSV")
    if origin_of(origin)["origin_stamp"] != about.get("origin_stamp"):
        raise InputError(f"{origin} has changed since it was annotated: annotate it again, or take the CSV")
    return origin

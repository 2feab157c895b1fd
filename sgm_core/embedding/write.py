"""The files that `sgm embed` leaves: cells with their vectors, and mean gene embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.h5ad_write import named_table
from sgm_core.errors import InputError
from sgm_core.home import whole_file, write_json
from sgm_core.model.bundle import Bundle


def check_outputs(out: Path, genes_out: Path | None, started: list[str]) -> None:
    """Check that the outputs can be written.

    Parameters
    ----------
    out, genes_out : the outputs
    started : outputs that an interrupted run was about to write; they may exist, but for `out`, the last one

    Raises
    ------
    InputError
        If the name of one has another ending, both are the same, or one exists.
    """
    if out.suffix not in (".h5ad", ".npy"):
        raise InputError(f"the output {out.name!r} must end in .h5ad or .npy")
    if genes_out is not None and (genes_out.suffix != ".npy" or genes_out == out):
        raise InputError(
            f"the gene embeddings' output {genes_out.name!r} must end in .npy, with its own name"
        )
    for path in all_outputs(out, genes_out):
        if path.exists() and (path == out or str(path) not in started):
            raise InputError(f"{path} exists already: choose another name or delete it first")


def all_outputs(out: Path, genes_out: Path | None) -> list[Path]:
    """Return every file that is written, `out` and the ``.json`` files among them."""
    arrays = [path for path in (out, genes_out) if path is not None]
    return [*arrays, *(path.with_suffix(".json") for path in arrays if path.suffix == ".npy")]


def write_cells(
    out: Path, vectors: np.ndarray, obs: pd.DataFrame, settings: dict[str, Any], model: str = "scFoundation"
) -> None:
    """Write the vectors (n, P) of the cells `obs` (n rows, column ``cell``), with the settings.

    An h5ad has them under the model's name, such as ``obsm["X_scfoundation"]`` and ``uns["scfoundation"]``.
    """
    if out.suffix == ".npy":
        cells = obs["cell"].astype(str).tolist()
        write_json(out.with_suffix(".json"), {**settings, "shape": list(vectors.shape), "cells": cells})
        with whole_file(out) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors)
        return
    import anndata as ad

    name = model.lower()
    # a setting that does not apply has no place in an h5ad
    kept = {key: value for key, value in settings.items() if value is not None}
    result = ad.AnnData(obs=named_table(obs), obsm={f"X_{name}": vectors}, uns={name: kept})
    with whole_file(out) as temporary:
        result.write_h5ad(temporary)


def write_genes(
    path: Path, means: np.ndarray, bundle: Bundle, settings: dict[str, Any], n_cells: int
) -> None:
    """Write the mean gene embeddings (G, Dd) over `n_cells`, with the settings and the genes."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, means)
    what = "mean over the cells of the decoder's gene embeddings"
    described = {**settings, "key": "gene", "pool": None, "what": what, "n_cells": n_cells}
    write_json(
        path.with_suffix(".json"), {**described, "shape": list(means.shape), "genes": list(bundle.genes)}
    )

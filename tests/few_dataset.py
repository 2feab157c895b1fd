"""A small part of the simulated dataset, for models that are slow by the cell."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.by_gene import FOLDER as BY_GENE
from sgm_core.cells.dataset import Dataset, open_dataset

BUNDLE = "fixture"
"""Name of the imported weights in tests."""


def few(demo_home: Path, home: Path, step: int = 4) -> Dataset:
    """Write the dataset ``few``, every `step`-th cell, into `home`."""
    source = demo_home / "datasets" / "small"
    target = home / "datasets" / "few"
    shutil.copytree(source, target)
    meta = json.loads((source / "dataset.json").read_text())
    rows = np.arange(0, meta["n_cells"], step)
    indptr, indices, counts = (np.load(source / f"{name}.npy") for name in ("indptr", "indices", "counts"))
    parts = [slice(indptr[row], indptr[row + 1]) for row in rows]
    np.save(target / "indptr.npy", np.concatenate([[0], np.cumsum(np.diff(indptr)[rows])]))
    np.save(target / "indices.npy", np.concatenate([indices[part] for part in parts]))
    np.save(target / "counts.npy", np.concatenate([counts[part] for part in parts]))
    np.save(target / "totals.npy", np.load(source / "totals.npy")[rows])
    pd.read_parquet(source / "obs.parquet").iloc[rows].reset_index(drop=True).to_parquet(
        target / "obs.parquet"
    )
    own = {"name": "few", "n_cells": len(rows), "content_hash": f"{step:02d}{meta['content_hash'][2:]}"}
    (target / "dataset.json").write_text(json.dumps(meta | own))
    for made_of_all in ("embeddings", "facts", BY_GENE):
        shutil.rmtree(target / made_of_all, ignore_errors=True)
    (target / "quality.parquet").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        return open_dataset("few")

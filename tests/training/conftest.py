"""Imported weights of the real vocabulary, small enough to train in a test."""

import shutil
from pathlib import Path

import pytest

BUNDLE = "fixture"


@pytest.fixture(scope="session")
def bundle_source(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the bundle, imported once: width 16, 19,264 genes."""
    from sgm_core.model.weights import import_weights

    home = tmp_path_factory.mktemp("bundle") / "home"
    genes = shared / "data" / "gene_lists" / "OS_scRNA_gene_index.19264.tsv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        return import_weights(
            shared / "fixtures" / "scfoundation_end_to_end" / "models.ckpt", genes, BUNDLE
        ).path


@pytest.fixture
def bundle(bundle_source: Path, sgm_home: Path) -> str:
    """Name of the bundle in the test's own home."""
    shutil.copytree(bundle_source, sgm_home / "weights" / BUNDLE)
    return BUNDLE


@pytest.fixture
def few_cells(demo_home: Path, sgm_home: Path):
    """Dataset ``few``: a quarter of the simulated cells, 150."""
    return few(demo_home, sgm_home)


def few(demo_home: Path, home: Path, step: int = 4):
    """Write the dataset ``few``, every `step`-th cell, into `home`."""
    import json

    import numpy as np
    import pandas as pd

    from sgm_core.cells.dataset import open_dataset

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
    (target / "dataset.json").write_text(json.dumps(meta | {"name": "few", "n_cells": len(rows)}))
    shutil.rmtree(target / "embeddings", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        return open_dataset("few")

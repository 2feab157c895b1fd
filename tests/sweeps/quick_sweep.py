"""Sweeps that take seconds: one pretraining a fold serves all trials, and a head is searched."""

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.progress import Observer
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.sweeps.config import SweepConfig

QUICK: dict[str, Any] = {
    "data": "small",
    "arm": "uniform",
    "space": ["finetune.lr=1e-3..1e-1:log", "head_hidden=4,16"],
    "trials": 4,
    "n_folds": 3,
    "pretrain": {"n_genes": 20, "epochs": 1},
    "finetune": {"head": "mlp", "choose_decay": False, "probe_epochs": 4},
    "device": "cpu",
}


def sweep(**changes: Any) -> Run:
    """Run a sweep here, `QUICK` with fields changed; returns its run."""
    config = SweepConfig.from_dict({**QUICK, **changes})
    return run_in_foreground(create_run("sweep", config.data, config.to_dict()), Observer())


def relabelled(dataset: Dataset, name: str, donors: tuple[str, ...]) -> Dataset:
    """Return a copy of `dataset` with the labels of some donors permuted among each one's own cells."""
    target = dataset.path.parent / name
    shutil.copytree(dataset.path, target)
    shutil.rmtree(target / "facts", ignore_errors=True)
    obs = pd.read_parquet(target / "obs.parquet")
    rng, column = np.random.default_rng(0), dataset.cell_type_column
    before = obs[column].copy()
    for donor in donors:
        own = (obs[dataset.donor_column] == donor).to_numpy()
        obs.loc[own, column] = rng.permutation(obs.loc[own, column].to_numpy())
    assert (obs[column] != before).sum() > 20
    obs.to_parquet(target / "obs.parquet")
    meta = json.loads((target / "dataset.json").read_text())
    meta |= {"name": name, "content_hash": f"{name:0<8.8}{meta['content_hash'][8:]}"}
    (target / "dataset.json").write_text(json.dumps(meta))
    return open_dataset(name)

"""Table 1 with scGPT's and scBERT's weights: the rows, from one command's run."""

from pathlib import Path

import numpy as np
import pytest
from other_bundles import KINDS, other_bundle

from sgm_core.comparison.config import CompareConfig
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import execute

ARMS = ("original", "uniform")


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_table_1(few_cells, shared: Path, tmp_path: Path, kind: str) -> None:
    other_bundle(kind, list(map(str, few_cells.genes[:250])), shared, tmp_path, max_seq_len=40)
    fields = {
        "data": "few",
        "backbone": kind,
        "folds": 2,
        "seeds": 1,
        "arms": ARMS,
        "schemes": ("linear-probe", "official"),
        "pretrain": {"epochs": 1, "batch_size": 8, "latents": 4, "latent_width": 8, "lr_backbone": 1e-3},
        "finetune": {"epochs": 1, "batch_size": 16},
        "device": "cpu",
        "umap": False,
    }
    run = create_run("compare", "few", CompareConfig.from_dict(fields).to_dict())
    execute(run)
    log = (run.path / "log.txt").read_text()
    folds, masks = run.read_table("folds"), run.read_table("masks")
    assert folds is not None and masks is not None, log
    trained = folds[folds["scheme"] != "baseline"]
    rows = {(arm, scheme) for arm in ARMS for scheme in ("linear-probe", "official")}
    assert set(zip(trained["arm"], trained["scheme"], strict=True)) == rows
    assert (trained.groupby(["arm", "scheme"]).size() == 2).all()
    pooled = np.load(run.path / "pooled" / "original.npy")
    assert pooled.shape == (few_cells.n_cells, {"scgpt": 32, "scbert": 20}[kind]) and pooled.std(0).max() > 0
    assert ("39 are drawn in each" in log) == (kind == "scgpt")
    # zeros are hidden by neither, and what is hidden is not far from chance in masks that chance alone drew
    of_all = masks[(masks["by"] == "all") & (masks["arm"] == "uniform")]
    assert of_all["masked"].sum() == of_all["masked_nonzero"].sum() > 0
    assert of_all["masked"].sum() == pytest.approx(of_all["expected"].sum(), rel=1e-6)
    off = (of_all["masked"] - of_all["expected"]) / of_all["variance"].clip(lower=0.05) ** 0.5
    assert off.abs().mean() < 1.2

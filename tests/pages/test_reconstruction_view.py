"""Runs and Compare say which simple predictors a model beats, and mark one that has learned nothing."""

import numpy as np
import pandas as pd
import pytest
from page_text import text_of

from sgm_core.home import write_table


def rows(arm: str, mean: float, pca: float) -> pd.DataFrame:
    """Return the table of one model with these lower ends of its gains."""
    names = ["model", "gene-mean", "pca", "neighbours", "noise-floor"]
    low = [np.nan, mean, pca, -0.1, np.nan]
    table = pd.DataFrame({"predictor": names, "r2": [0.12, 0, 0.1, 0.1, 0.4], "gain_low": low})
    return table.assign(
        arm=arm, fold=0, seed=0, r2_nonzero=0.2, r2_gene=0.1, gain=0.1, gain_high=0.2, cells=512
    )


@pytest.mark.parametrize("name", ["runs", "compare"])
def test_an_arm_that_learned_nothing_is_marked(open_page, compare_run, name: str) -> None:
    assert "Has pretraining learned" not in text_of(open_page(name)), "a run from before has no such table"
    table = pd.concat([rows("uniform", -0.01, -0.1), rows("self-guided", 0.05, 0.01)], ignore_index=True)
    write_table(compare_run.path / "reconstruction.parquet", table)
    page = open_page(name)
    assert not page.exception
    said = text_of(page)
    assert "**Uniform** has learned nothing: no better than each gene's mean" in said
    assert (
        "**Self-guided** is better than each gene's mean and principal components, no better than "
        "nearest neighbours (R2 of hidden genes 0.12" in said
    )
    shown = next(frame.value for frame in page.dataframe if "beaten" in frame.value)
    assert shown["beaten"].tolist() == [
        "",
        "0 of 1",
        "0 of 1",
        "0 of 1",
        "",
        "",
        *["1 of 1"] * 2,
        "0 of 1",
        "",
    ]

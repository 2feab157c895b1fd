"""Masks drawn with a known law, counted into the `masks` and `mask_cells` tables of a run."""

import numpy as np
import pandas as pd


def draw_masks(log_importance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Hide `k` genes of each cell without replacement, in proportion to importance; bool, cells x genes."""
    keys = log_importance + rng.gumbel(size=log_importance.shape)
    return keys >= np.partition(keys, -k, axis=1)[:, -k, None]


def count_masks(masks: np.ndarray, values: np.ndarray, genes: np.ndarray) -> pd.DataFrame:
    """Count masks into one row a gene, with both nulls.

    Parameters
    ----------
    masks, values
        Hidden or not, and the ln1p value; draws x genes, every gene eligible.
    """
    nonzero = values > 0
    n_genes = values.shape[1]
    expected, variance = np.zeros(n_genes), np.zeros(n_genes)
    for stratum in (nonzero, ~nonzero):
        share = (masks & stratum).sum(1) / np.maximum(stratum.sum(1), 1)
        expected += share @ stratum
        variance += (share * (1 - share)) @ stratum
    return pd.DataFrame(
        {
            "gene": genes,
            "masked": masks.sum(0),
            "opportunities": len(masks),
            "masked_nonzero": (masks & nonzero).sum(0),
            "opportunities_nonzero": nonzero.sum(0),
            "expected": expected,
            "variance": variance,
            "expected_free": masks.sum() / n_genes,
            "value_sum": values.sum(0),
            "value_sq_sum": (values**2).sum(0),
            "value_sum_masked": (values * masks).sum(0),
        }
    )


def count_cells(masks: np.ndarray, values: np.ndarray, log_importance: np.ndarray) -> dict[str, float]:
    """Return one row of `mask_cells`: means over the drawn cells."""
    p = np.exp(log_importance - log_importance.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(1)
    return {
        "cells": len(masks),
        "effective_share": float((np.exp(entropy) / values.shape[1]).mean()),
        "masked_share": float(masks.mean()),
        "nonzero_share": float((masks & (values > 0)).sum() / masks.sum()),
        "base_rate": float((values > 0).mean()),
        "hidden_counts": float(((np.expm1(values) * masks).sum(1) / np.expm1(values).sum(1)).mean()),
    }


def masks_and_cells(
    log_importance: np.ndarray | list[np.ndarray],
    values: np.ndarray,
    share: float = 0.3,
    seed: int = 0,
    seeds: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two tables of one arm, masks drawn by the given importance.

    Parameters
    ----------
    log_importance
        Of every position (cells x genes), or one for each seed.
    seeds
        How many models draw by the same importance; None, with one importance, makes a table as runs of one
        model wrote it: fold -1, no column ``seed``.
    """
    rng = np.random.default_rng(seed)
    genes = np.array([f"G{i:04d}" for i in range(values.shape[1])])
    laws = log_importance if isinstance(log_importance, list) else [log_importance] * (seeds or 1)
    old = seeds is None and len(laws) == 1
    frames, cells = [], []
    for number, law in enumerate(laws):
        drawn = draw_masks(law, round(share * values.shape[1]), rng)
        where = {"arm": "self-guided", "fold": -1} | ({} if old else {"seed": number})
        frames.append(count_masks(drawn, values, genes).assign(by="all", level="", **where))
        cells.append(count_cells(drawn, values, law) | where | {"epoch": 1})
    return pd.concat(frames, ignore_index=True), pd.DataFrame(cells)


def untrained(values: np.ndarray, seeds: int = 3) -> pd.DataFrame:
    """Return a table `masks_start` of maskers that start uniform."""
    return masks_and_cells(np.zeros_like(values), values, seed=1000, seeds=seeds)[0]


def simulated_values(n_cells: int = 1200, n_genes: int = 400, seed: int = 0) -> np.ndarray:
    """Return ln1p-normalised negative-binomial counts with a realistic spread of means; cells x genes."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(-1.5, 1.5, n_genes))
    depth = np.exp(rng.normal(0, 0.4, (n_cells, 1)))
    counts = rng.poisson(rng.gamma(2.0, mean / 2.0, (n_cells, n_genes)) * depth)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))

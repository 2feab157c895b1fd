"""How well hidden genes are reconstructed, as the share of their squared error that is explained (R2)."""

import numpy as np
import pandas as pd

from sgm_core.units import listed

MODEL, FLOOR, SIMPLE = "model", "noise-floor", ("gene-mean", "pca", "neighbours")
NAMES = {"gene-mean": "each gene's mean", "pca": "principal components", "neighbours": "nearest neighbours"}
LEAST_HIDDEN = 10
"""Hidden values that a gene needs for an R2 of its own."""
LEAST_GAIN = 0.005
"""R2 that the interval of a gain has to lie above: the mean itself can be estimated a little better."""
_DRAWS = 2000
NOTHING = "has learned nothing"


class Errors:
    """Sums of squared errors of one predictor: by cell (n,), of non-zero values (n,), and by gene (G,)."""

    def __init__(self, n_genes: int) -> None:
        self.cell: list[float] = []
        self.nonzero: list[float] = []
        self.gene = np.zeros(n_genes)

    def add(
        self,
        squared: np.ndarray,
        hidden: np.ndarray,
        nonzero: np.ndarray,
        squared_nonzero: np.ndarray | None = None,
    ) -> None:
        """Add cells.

        Parameters
        ----------
        squared : (B, G) squared errors, read where `hidden`
        hidden : (B, G) bool
        nonzero : (B, G) bool, the hidden values that are not zero
        squared_nonzero : (B, G) squared errors of those, by default the same
        """
        counted = np.where(hidden, squared, 0.0)
        apart = squared if squared_nonzero is None else squared_nonzero
        self.cell.extend(counted.sum(axis=1))
        self.nonzero.extend(np.where(nonzero, apart, 0.0).sum(axis=1))
        self.gene += counted.sum(axis=0)


def reconstruction_table(errors: dict[str, Errors], hidden: np.ndarray, seed: int) -> pd.DataFrame:
    """Return one row a predictor.

    R2 = 1 - (squared error) / (squared error of the gene's mean over the training cells, where it is hidden),
    so that the gene's mean has 0 and the true values have 1.

    Parameters
    ----------
    errors : of ``model``, ``gene-mean``, ``pca``, ``neighbours`` and ``noise-floor``
    hidden : (G,) number of hidden values of each gene
    seed : of the bootstrap over cells

    Returns
    -------
    pandas.DataFrame
        ``predictor``; ``r2`` over all hidden values, ``r2_nonzero`` over those that are not zero, ``r2_gene``
        the median over the genes with at least 10 hidden values; ``gain``, ``gain_low``, ``gain_high``: R2 of
        the model less that of the predictor, with its 95 % bootstrap interval over the cells (NaN for the
        model itself and for the noise floor); ``cells``.
    """
    reference = errors["gene-mean"]
    counted = (hidden >= LEAST_HIDDEN) & (reference.gene > 0)
    n = len(reference.cell)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / max(1, n)), _DRAWS)
    base = np.asarray(reference.cell)
    rows = []
    for name, own in errors.items():
        row = {
            "predictor": name,
            "r2": _r2(np.sum(own.cell), base.sum()),
            "r2_nonzero": _r2(np.sum(own.nonzero), np.sum(reference.nonzero)),
            "r2_gene": (
                float(np.median(1 - own.gene[counted] / reference.gene[counted])) if counted.any() else np.nan
            ),
            "gain": np.nan,
            "gain_low": np.nan,
            "gain_high": np.nan,
            "cells": n,
        }
        if name in SIMPLE:
            less = np.asarray(own.cell) - np.asarray(errors[MODEL].cell)
            row["gain"] = 1 - _r2(less.sum(), base.sum())
            with np.errstate(invalid="ignore", divide="ignore"):
                shares = (drawn @ less) / (drawn @ base)
            row["gain_low"], row["gain_high"] = np.nanquantile(shares, [0.025, 0.975])
        rows.append(row)
    return pd.DataFrame(rows)


def _r2(error: float, reference: float) -> float:
    return float(1 - error / reference) if reference > 0 else np.nan


def by_arm(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over the models of each arm, from the run table `reconstruction`.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``predictor``, ``r2``, ``r2_nonzero``, ``r2_gene``, ``gain``, ``gain_low``, ``gain_high``
        (means over models) and, for the simple predictors, ``beaten``: in how many of the arm's models the
        interval of the gain lies above `LEAST_GAIN`, such as "3 of 5".
    """
    numbers = ["r2", "r2_nonzero", "r2_gene", "gain", "gain_low", "gain_high"]
    groups = table.assign(won=table["gain_low"] > LEAST_GAIN).groupby(["arm", "predictor"], sort=False)
    means = groups[numbers].mean()
    means["beaten"] = [f"{won} of {n}" for won, n in zip(groups["won"].sum(), groups.size())]
    means = means.reset_index()
    means.loc[~means["predictor"].isin(SIMPLE), "beaten"] = ""
    return means


def reconstruction_line(table: pd.DataFrame) -> str:
    """Say which of the simple predictors an arm beats.

    Parameters
    ----------
    table
        Rows of one arm in the run table `reconstruction`: one or more models (fold, seed). A model beats a
        predictor if the interval of its gain lies above `LEAST_GAIN`.
    """
    models = table[table["predictor"] == MODEL]
    n = len(models)
    counts = {
        name: int((table.loc[table["predictor"] == name, "gain_low"] > LEAST_GAIN).sum()) for name in SIMPLE
    }
    how = f"R2 of hidden genes {_mean(models, 'r2')}, of those not zero {_mean(models, 'r2_nonzero')}"
    floor = table[table["predictor"] == FLOOR]
    reach = f"the counts' own noise leaves {_mean(floor, 'r2')} within reach"
    if not counts["gene-mean"]:
        return f"{NOTHING}: no better than each gene's mean ({how}; {reach})"

    def often(name: str) -> str:
        return NAMES[name] + (f" (in {counts[name]} of {n} models)" if n > 1 and counts[name] < n else "")

    beaten = [often(name) for name in SIMPLE if counts[name]]
    not_beaten = [NAMES[name] for name in SIMPLE if not counts[name]]
    text = "is better than " + listed(beaten)
    if not_beaten:
        text += ", no better than " + listed(not_beaten, "or")
    return f"{text} ({how}; {reach})"


def _mean(rows: pd.DataFrame, column: str) -> str:
    return f"{rows[column].mean():.2f}"

"""What samples are made of, against healthy donors that the model knows."""

import numpy as np
import pandas as pd

from sgm_core.annotation.store import Model
from sgm_core.errors import InputError

_RESAMPLES = 2000


def require_useful(model: Model) -> None:
    """Refuse to say what samples are made of by names that are no better than chance.

    Raises
    ------
    InputError
        If the model is no use.
    """
    if not model.useful:
        raise InputError(
            f"model {model.name!r} names cells of unseen donors no better than chance: shares of its classes "
            "say nothing"
        )


def reference_donors(model: Model, column: str, level: str) -> pd.DataFrame:
    """Return the shares of classes in the model's donors of a level, one row a donor, one column a class.

    They are predictions by classifiers that did not train on the donor, so that confusions of the model
    are on both sides of a comparison.

    Parameters
    ----------
    model : the model
    column, level : such as ``timepoint`` and ``healthy``; a column that is the same in all cells of a donor

    Raises
    ------
    InputError
        If the model is no better than chance, there is no such column, or fewer than two donors of the
        level.
    """
    require_useful(model)
    table = model.table("donors")
    columns = [name.removeprefix("is:") for name in map(str, table) if name.startswith("is:")]
    if column not in columns:
        there = ", ".join(columns) or "none"
        raise InputError(f"model {model.name!r} has no column {column!r} of its donors; it has {there}")
    names = [f"n:{name}" for name in model.classes]
    own = table[(table[f"is:{column}"] == level) & (table[names].sum(axis=1) > 0)]
    if len(own) < 2:
        levels = ", ".join(sorted(table[f"is:{column}"].dropna().unique()))
        raise InputError(
            f"{len(own)} donors of model {model.name!r} with labelled cells have {column} = {level!r}, two "
            f"are needed; there are {levels}"
        )
    counts = own.set_index("donor")[names]
    counts.columns = pd.Index(model.classes)
    return counts.div(counts.sum(axis=1), axis=0)


def sample_shares(
    predictions: pd.DataFrame, samples: np.ndarray, reference: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Compare each sample's composition with that of reference donors.

    Shares are of the likeliest class of every cell, unknown or not, as in the reference. The interval is
    that of the difference to the mean of the reference donors, who are resampled (2,000 times, 2.5 to 97.5
    %); a sample is one donor, so its own spread can't be known.

    Parameters
    ----------
    predictions : of `sgm_core.annotation.annotate`
    samples : sample of each cell (n,)
    reference : from `reference_donors`
    seed : of the bootstrap

    Returns
    -------
    DataFrame
        sample, cell_type, n_cells, share, reference (mean share), lowest and highest (among the reference
        donors), difference, low, high, outside (beyond every reference donor, and the interval leaves out
        zero), n_donors.
    """
    classes = list(reference.columns)
    counts = pd.crosstab(np.asarray(samples, str), predictions["best"].to_numpy(str))
    counts = counts.reindex(columns=classes, fill_value=0)
    shares = counts.div(counts.sum(axis=1), axis=0)
    known = reference.to_numpy()
    draw = np.random.default_rng([seed, 74]).integers(len(known), size=(_RESAMPLES, len(known)))
    low, high = np.quantile(known[draw].mean(1), [0.025, 0.975], axis=0)
    frames = []
    for number, sample in enumerate(shares.index):
        own = shares.to_numpy()[number]
        table = pd.DataFrame({"sample": str(sample), "cell_type": classes})
        table["n_cells"] = counts.to_numpy()[number]
        table["share"], table["reference"] = own, known.mean(0)
        table["lowest"], table["highest"] = known.min(0), known.max(0)
        table["difference"] = own - known.mean(0)
        table["low"], table["high"] = own - high, own - low
        beyond = (own < known.min(0)) | (own > known.max(0))
        table["outside"] = beyond & ((table["low"] > 0) | (table["high"] < 0)).to_numpy()
        frames.append(table.assign(n_donors=len(known)))
    return pd.concat(frames, ignore_index=True)


def unknown_shares(predictions: pd.DataFrame, samples: np.ndarray) -> pd.DataFrame:
    """Return the cells unknown for each reason by sample: sample, reason, n_cells, share."""
    table = pd.crosstab(np.asarray(samples, str), predictions["reason"].to_numpy(str))
    long = table.rename_axis("sample").reset_index().melt("sample", var_name="reason", value_name="n_cells")
    long["share"] = long["n_cells"] / long.groupby("sample")["n_cells"].transform("sum")
    return long[long["reason"] != ""].reset_index(drop=True)

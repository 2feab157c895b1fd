"""The best epoch of a training against its last: whether going on paid, or did harm."""

import pandas as pd

BETTER = {"validation_loss": min, "validation_f1": max, "train_loss": min}
"""Quantities that say how good an epoch is, with which of two is better."""
_TRAINING = ("run", "arm", "scheme", "fold", "seed")


def best_and_last(metrics: pd.DataFrame, quantity: str, phase: str) -> pd.DataFrame:
    """Return the best and the last epoch of each run, arm and scheme, as means over folds and seeds.

    The best is chosen by the values themselves, so it is never worse than the last; how much better it is
    says what stopping there would have gained on the cells that the quantity is measured on, at most.

    Parameters
    ----------
    metrics
        Rows of `Run.metrics` with a column ``run``.
    quantity
        A key of `BETTER`.
    phase
        ``pretrain`` or ``finetune``.

    Returns
    -------
    DataFrame
        run, arm, scheme (where there are any), models, best_epoch (the median, with its range as
        ``first`` and ``latest``), best, last_epoch, last, difference (best - last).
    """
    rows = metrics[metrics["phase"] == phase].dropna(subset=[quantity, "epoch"])
    keys = [name for name in _TRAINING if name in rows]
    ended = rows.sort_values("epoch", kind="stable").groupby(keys, sort=False, dropna=False)
    column = ended[quantity]
    at = column.idxmin() if BETTER[quantity] is min else column.idxmax()
    best, last = rows.loc[at], rows.loc[ended["epoch"].idxmax()]
    each = best[keys].assign(
        best_epoch=best["epoch"].to_numpy(),
        best=best[quantity].to_numpy(),
        last_epoch=last["epoch"].to_numpy(),
        last=last[quantity].to_numpy(),
    )
    groups = [name for name in keys if name not in ("fold", "seed")]
    table = (
        each.groupby(groups, sort=False, dropna=False)
        .agg(
            models=("best", "size"),
            best_epoch=("best_epoch", "median"),
            first=("best_epoch", "min"),
            latest=("best_epoch", "max"),
            best=("best", "mean"),
            last_epoch=("last_epoch", "max"),
            last=("last", "mean"),
        )
        .reset_index()
    )
    return table.assign(difference=table["best"] - table["last"])

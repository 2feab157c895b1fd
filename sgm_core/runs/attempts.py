"""Which metrics of a run count where it took several attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_TRAINING = ("arm", "fold", "seed")


def standing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no later attempt has done again, in their order.

    A row replaces what earlier attempts at its training said of that epoch, of later ones and of what follows
    them: a training goes on from its last checkpoint, which may be older than its last row.

    Parameters
    ----------
    rows
        Metrics in the order of writing, with the column ``attempt``; ``arm``, ``fold`` and ``seed`` say which
        training one is of, ``phase``, ``scheme`` and ``epoch`` which part of it.
    """
    import pandas as pd

    keys = [name for name in _TRAINING if name in rows]
    training = rows.groupby(keys, dropna=False).ngroup() if keys else pd.Series(0, index=rows.index)
    empty = pd.Series(None, index=rows.index, dtype=object)
    phase, scheme = (rows.get(name, empty).fillna("") for name in ("phase", "scheme"))
    epoch = rows.get("epoch", empty).astype(float).fillna(float("inf"))
    attempts, parts = rows["attempt"].tolist(), list(zip(phase, scheme, epoch, strict=True))
    kept: dict[int, list[int]] = {}
    for i, one in enumerate(training):
        before = kept.setdefault(one, [])
        if before and attempts[before[0]] != attempts[i]:
            before[:] = [
                j for j in before if attempts[j] == attempts[i] or not _does_again(parts[i], parts[j])
            ]
        before.append(i)
    return rows.iloc[sorted(i for one in kept.values() for i in one)].reset_index(drop=True)


def worked(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``worked``: seconds of work since the run began, without the pauses between attempts.

    Parameters
    ----------
    rows
        From `standing`, with the column ``elapsed``, the seconds since the attempt began; rows of an older
        version have the column ``time`` alone, and pauses can't be told.
    """
    import pandas as pd

    times = pd.to_datetime(rows["time"], format="ISO8601")
    since_first = (times - times.min()).dt.total_seconds()
    if "elapsed" not in rows or rows["elapsed"].isna().any():
        return rows.assign(worked=since_first, elapsed=None)
    lasted = rows.groupby("attempt")["elapsed"].max()
    before = lasted.cumsum() - lasted
    return rows.assign(worked=rows["elapsed"] + rows["attempt"].map(before))


def _does_again(new: tuple[str, str, float], old: tuple[str, str, float]) -> bool:
    """Say whether the row `new` (phase, scheme, epoch) stands for the row `old` of an earlier attempt."""
    if new[:2] == old[:2]:
        return old[2] >= new[2]
    return new[0] == "pretrain"  # all else of the training follows from it

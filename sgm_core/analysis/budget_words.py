"""What a comparison says at each number of labelled cells: the finding in a sentence, the scores in a table.

Both read the run's tables ``budget_summary`` and ``budget_paired``; nothing is judged anew here.
"""

from collections.abc import Iterable

import pandas as pd

from sgm_core.analysis.statistics import arm_name

ALL = 0
"""Value of the column ``labels`` that stands for every labelled cell."""
_PROVEN = ("better", "worse")


def labels_text(labels: int) -> str:
    """Return a number of labelled cells a class as people read it: ``10``, ``all``."""
    return "all" if labels == ALL else f"{labels:,}"


def budgets_of(labels: Iterable[int]) -> list[int]:
    """Return the distinct numbers of labels, ascending, with all of them last."""
    return sorted({int(one) for one in labels}, key=lambda one: (one == ALL, one))


def has_budgets(table: pd.DataFrame | None) -> bool:
    """Say whether a run was scored with fewer labels than all of them."""
    return table is not None and bool((table["labels"] != ALL).any())


def budget_finding(paired: pd.DataFrame) -> tuple[str, str]:
    """Say in one sentence what the main comparisons prove, at which number of labels and by how much.

    A comparison is proven at a number of labels where its Holm-corrected p is below the level, as the table's
    verdict says; at all others it is undecided, with the smallest difference that would have been found.

    Parameters
    ----------
    paired
        Table ``budget_paired``: arm, against, labels; difference, low, high, detectable (0..1); p_holm, main,
        verdict.
        Rows outside the main comparisons are not looked at: their p is uncorrected.

    Returns
    -------
    sentence, confidence
        In F1 points, without a full stop; ``proven`` if anything is, else ``undecided``.
    """
    main = paired[paired["main"].astype(bool)]
    if main.empty:
        return "The run has no two arms that the main comparisons are between: nothing is tested", "described"
    if main["p_holm"].isna().all():
        return "Undecided at every number of labels: one fold gives no interval", "undecided"
    clauses: list[tuple[bool, str]] = []
    said = False  # what a bracket is, at its first use
    sides = [rows for _, rows in main.groupby(["arm", "against"], sort=False)]
    for rows in sorted(sides, key=lambda rows: not rows["verdict"].isin(_PROVEN).any()):
        rows = rows.set_index("labels").loc[budgets_of(rows["labels"])].reset_index()
        is_proven = rows["verdict"].isin(_PROVEN)
        parts = []
        if is_proven.any():
            parts.append(f"proven {_and(_effect(row, not said) for row in _rows(rows[is_proven]))}")
            said = True
        if not is_proven.all():
            parts.append(_undecided(rows[~is_proven]))
        first = rows.iloc[0]
        name = f"{arm_name(first['arm'])} over {arm_name(first['against'])}"
        clauses.append((bool(is_proven.any()), f"{name} {', '.join(parts)}"))
    text = "; ".join(clause for _, clause in clauses)
    proven = any(any_proven for any_proven, _ in clauses)
    return f"Macro F1 by labelled cells a class: {text}", "proven" if proven else "undecided"


def scores_by_labels(summary: pd.DataFrame) -> pd.DataFrame:
    """Return macro F1 in per cent, a row an arm and scheme, a column a number of labels.

    Parameters
    ----------
    summary
        Table ``budget_summary``: arm, scheme, labels, mean, low, high (0..1).

    Returns
    -------
    DataFrame
        arm, scheme, and a column of text for each number of labels: mean and 95 % interval, ``52.1 (47.9 to
        56.3)``; empty where an arm has none. In the order of appearance.
    """
    index = pd.MultiIndex.from_frame(summary[["arm", "scheme", "labels"]])
    numbers = (100 * summary[["mean", "low", "high"]]).itertuples(index=False, name=None)
    cells = pd.Series([_interval(*one) for one in numbers], index=index, dtype=object)
    wide = cells.unstack("labels", sort=False)[budgets_of(summary["labels"])].fillna("")
    return wide.rename(columns=labels_text).rename_axis(columns=None).reset_index()


def in_reading_order(paired: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences pair by pair, each from few labels to all."""
    order = {labels: place for place, labels in enumerate(budgets_of(paired["labels"]))}
    pair = paired.groupby(["arm", "against", "scheme", "against_scheme"], sort=False).ngroup()
    rows = paired.assign(_pair=pair, _place=paired["labels"].map(order)).sort_values(["_pair", "_place"])
    return rows.drop(columns=["_pair", "_place"])


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f}" + ("" if pd.isna(low) else f" ({low:.1f} to {high:.1f})")


def _rows(rows: pd.DataFrame) -> list[pd.Series]:
    return [row for _, row in rows.iterrows()]


def _effect(row: pd.Series, explain: bool) -> str:
    head = "95 % interval " if explain else ""
    interval = f"({head}{100 * row['low']:.1f} to {100 * row['high']:.1f})"
    return f"{100 * row['difference']:+.1f} at {labels_text(row['labels'])} {interval}"


def _undecided(rows: pd.DataFrame) -> str:
    at = f"undecided at {_and(labels_text(one) for one in rows['labels'])}"
    found = rows["detectable"].min()
    if pd.isna(found):
        return at
    if found > 1:
        return f"{at} (not even a difference of 100 would have been found with 80 % power)"
    smallest = rows["labels"].to_numpy()[int(rows["detectable"].argmin())]
    where = f", at {labels_text(smallest)}" if len(rows) > 1 else ""
    what = "the smallest difference that would have been found with 80 % power"
    return f"{at} ({what}{where}: {100 * found:.1f})"


def _and(things: Iterable[str]) -> str:
    """Return e.g. 'a', 'a and b', 'a, b and c'."""
    every = list(things)
    return " and ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))

"""What a comparison says at each number of labelled cells: the finding in a sentence, the scores in a table.

Both read the run's tables ``budget_summary`` and ``budget_paired``; nothing is judged anew here.
"""

from collections.abc import Iterable

import pandas as pd

from sgm_core.analysis.arm_names import arm_in_sentence
from sgm_core.analysis.budgets import ALL
from sgm_core.units import listed

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


def budget_finding(paired: pd.DataFrame, finetuning: str = "") -> tuple[str, str]:
    """Say in one sentence what the main comparisons prove, at which number of labels and by how much.

    A comparison is proven at a number of labels where its Holm-corrected p is below the level, as the table's
    verdict says; at all others it is undecided, with the smallest difference that would have been found.

    Parameters
    ----------
    paired
        Table ``budget_paired``: arm, against, labels; difference, low, high, detectable (0..1); p_holm, main,
        verdict.
        Rows outside the main comparisons are not looked at: their p is uncorrected.
    finetuning
        How the arms of the main comparisons were finetuned, where the sentence is to say so.

    Returns
    -------
    sentence, confidence
        In F1 points, without a full stop; ``proven`` if anything is, else ``undecided``.
    """
    main = in_reading_order(paired[paired["main"].astype(bool)])
    if main.empty:
        return "The run has no two arms that the main comparisons are between: nothing is tested", "described"
    if main["p_holm"].isna().all():
        return "Undecided at every number of labels: one fold gives no interval", "undecided"
    sides = [rows for _, rows in main.groupby(["arm", "against"], sort=False)]
    sides.sort(key=lambda rows: not rows["verdict"].isin(_PROVEN).any())
    text, explained = [], {"proven": False, "undecided": False}  # a number in brackets, at its first use
    for rows in sides:
        parts = []
        is_proven = rows["verdict"].isin(_PROVEN)
        for kind, some in (("proven", rows[is_proven]), ("undecided", rows[~is_proven])):
            if len(some):
                parts.append((_proven if kind == "proven" else _undecided)(some, not explained[kind]))
                explained[kind] = True
        arm, against = (arm_in_sentence(str(rows[side].iloc[0])) for side in ("arm", "against"))
        text.append(f"{arm} over {against} {', '.join(parts)}")
    by = f", {finetuning}" if finetuning else ""
    sure = "proven" if explained["proven"] else "undecided"
    return f"Macro F1 by labelled cells a class{by}: {'; '.join(text)}", sure


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
    numbers = (100 * summary[["mean", "low", "high"]]).itertuples(index=False, name=None)
    texts = summary.assign(text=[_interval(*one) for one in numbers])
    sides = texts[["arm", "scheme"]].drop_duplicates(ignore_index=True)
    for labels in budgets_of(summary["labels"]):
        mine = texts[texts["labels"] == labels][["arm", "scheme", "text"]]
        sides = sides.merge(mine.rename(columns={"text": labels_text(labels)}), how="left")
    return sides.fillna("")


def in_reading_order(paired: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences pair by pair, each from few labels to all."""
    order = {labels: place for place, labels in enumerate(budgets_of(paired["labels"]))}
    pair = paired.groupby(["arm", "against", "scheme", "against_scheme"], sort=False).ngroup()
    rows = paired.assign(_pair=pair, _place=paired["labels"].map(order)).sort_values(["_pair", "_place"])
    return rows.drop(columns=["_pair", "_place"])


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f}" + ("" if pd.isna(low) else f" ({low:.1f} to {high:.1f})")


def _proven(rows: pd.DataFrame, explain: bool) -> str:
    parts: list[str] = []
    numbers = (100 * rows[["difference", "low", "high"]]).itertuples(index=False, name=None)
    for labels, (difference, low, high) in zip(rows["labels"], numbers, strict=True):
        head = "95 % interval " if explain and not parts else ""
        parts.append(f"{difference:+.1f} at {_at(labels)} ({head}{low:.1f} to {high:.1f})")
    return f"proven {listed(parts)}"


def _undecided(rows: pd.DataFrame, explain: bool) -> str:
    at = f"undecided at {listed(map(_at, rows['labels']))}"
    smallest = rows["detectable"].min()
    if pd.isna(smallest):
        return at
    found = "not even a difference of 100" if smallest > 1 else f"a difference of {100 * smallest:.1f}"
    if len(rows) > 1 and smallest <= 1:
        found += f" at {_at(rows['labels'].to_numpy()[int(rows['detectable'].argmin())])}"
    return f"{at} ({found} would have been found{' with 80 % power' if explain else ''})"


def _at(labels: int) -> str:
    return "all labels" if labels == ALL else labels_text(int(labels))

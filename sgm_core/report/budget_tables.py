"""Scores with few labels as tables, and how the labels were drawn: for pages and reports alike."""

import pandas as pd

from sgm_core.analysis.budget_words import ALL, in_reading_order, labels_text, scores_by_labels
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.units import count


def how_drawn(budgets: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Say how the labelled cells were drawn, and how scores were averaged."""
    few = budgets[budgets["labels"] != ALL]
    draws = count(int(few["draw"].nunique()), "draw")
    folds = int(summary["folds"].max())
    interval = f"the interval is over {folds} donor folds" if folds > 1 else "one fold gives no interval"
    text = (
        f"Every arm and baseline learns from the same labelled cells of the training donors ({draws}), "
        "and pretraining reads all their cells without labels. Draws are averaged first, then seeds; "
        f"{interval}. The numbers of labels share donors and models: they are no independent "
        "evidence."
    )
    short = few.groupby("labels")["short"].max()
    short = short[short > 0]
    if len(short):
        counts = [
            f"{count(int(n), 'class', 'classes')} at {labels_text(int(str(k)))}" for k, n in short.items()
        ]
        text += (
            f" Classes with fewer cells than that in a fold give all they have (at most {', '.join(counts)})."
        )
    return text


def score_table(summary: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Return macro F1 by number of labels, of the arms under one finetuning and of the baselines."""
    mine = summary[summary["scheme"].isin([scheme, "baseline"])]
    table = scores_by_labels(mine).set_index("arm").loc[in_order(mine["arm"])].reset_index()
    named = table.assign(arm=table["arm"].map(arm_name), scheme=table["scheme"].map(SCHEMES))
    numbers = {name: f"{name} labels (%)" for name in named.columns[2:]}
    return named.rename(columns={"arm": "Arm", "scheme": "Finetuning", **numbers})


def main_table(paired: pd.DataFrame) -> pd.DataFrame:
    """Return the main comparisons in points, with what judges them."""
    rows = in_reading_order(paired)
    judged = {
        "p (Holm)": rows["p_holm"],
        "Verdict": rows["verdict"],
        "Found with 80 % power": (100 * rows["detectable"]).round(1),
        "p": rows["p"],
    }
    return _differences(rows).drop(columns="Finetuning").assign(**judged)


def other_table(paired: pd.DataFrame) -> pd.DataFrame:
    """Return the other differences in points; their p is of each alone, and there is no verdict."""
    rows = in_reading_order(paired)
    return _differences(rows).assign(**{"p (uncorrected)": rows["p"]})


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Arm": rows["arm"].map(arm_name),
            "Held against": rows["against"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "Labels a class": rows["labels"].map(labels_text),
            "Difference (points)": (100 * rows["difference"]).round(1),
            "95 % low": (100 * rows["low"]).round(1),
            "95 % high": (100 * rows["high"]).round(1),
        }
    )

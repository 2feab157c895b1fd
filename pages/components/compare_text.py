"""The words and tables of the page Compare: verdicts, Table 1, and the choices behind it."""

import pandas as pd
import streamlit as st

from pages.components import words
from sgm_core.analysis.metrics import comparison_sentence, paired_difference
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import scored_classes
from sgm_core.escape import escape
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.runs.store import Run

_PERCENT = st.column_config.NumberColumn(format="percent")
FORMATS = dict.fromkeys(("precision", "recall", "f1"), _PERCENT)
_RIVALS = {
    "uniform+summary": "masks alone",
    "expression+summary": "the rival to beat",
    "uniform": "the paper's comparison",
    "no-pretraining": "pretraining at all",
}


def answer(pair: dict, scheme: str) -> str:
    """Say the difference in view in one sentence."""
    if not pair["n_folds"]:
        return f"{arm_name(pair['arm_a'])} and {arm_name(pair['arm_b'])} have no finished fold in common yet."
    return f"{comparison_sentence(pair)} ({SCHEMES[scheme].lower()})."


@st.cache_data(max_entries=64, show_spinner=False)
def rivals(
    path: str, stamp: int, arm: str, against: str, scheme: str, metric: str, _folds: pd.DataFrame
) -> str:
    """Say in one line how the arm stands against every other rival, the best baseline among them."""
    folds = _folds
    trained = set(folds.loc[folds["scheme"] == scheme, "arm"])
    parts = []
    for other, meaning in _RIVALS.items():
        if other in trained and other not in (arm, against):
            parts.append(_short(folds, (arm, scheme), (other, scheme), metric, meaning))
    baselines = folds[folds["scheme"] == "baseline"].groupby("arm")[metric].mean()
    if len(baselines):
        best = baselines.idxmin() if metric == "ece" else baselines.idxmax()
        if best != against:
            parts.append(_short(folds, (arm, scheme), (str(best), "baseline"), metric, "best baseline"))
    parts = [part for part in parts if part]
    return f"Against {' · '.join(parts)}" if parts else ""


def _short(folds: pd.DataFrame, a: tuple[str, str], b: tuple[str, str], metric: str, meaning: str) -> str:
    pair = paired_difference(folds, a, b, metric)
    if not pair["n_folds"]:
        return ""
    points = f"{100 * pair['difference']:+.1f}"
    if pair["n_folds"] > 1:
        points += f" ± {100 * pair['half_width']:.1f}, {pair['verdict']}"
    return f"{arm_name(b[0])} ({meaning}): {points}"


def table_1(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the paper's Table 1 for one score: arms by schemes, mean and 95 % interval in per cent."""
    rows = summary[summary["metric"] == metric]
    table = pd.DataFrame({"Arm": [arm_name(arm) for arm in in_order(rows["arm"])]})
    keys = in_order(rows["arm"])
    for scheme, name in SCHEMES.items():
        mine = rows[rows["scheme"] == scheme].set_index("arm")
        if len(mine):
            table[f"{name} (%)"] = [
                _mean(mine.loc[[arm]].iloc[0]) if arm in mine.index else "" for arm in keys
            ]
    table["Folds"] = [int(rows.loc[rows["arm"] == arm, "n_folds"].max()) for arm in keys]
    return table


def _mean(row: pd.Series) -> str:
    if row["n_folds"] < 2:
        return f"{100 * row['mean']:.1f}"
    return f"{100 * row['mean']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def fold_table(folds: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row a fold: its donors and cells, and the score of each arm and scheme in per cent."""
    facts = folds.groupby("fold")[["test_donors", "n_test", "classes_scored"]].first()
    facts.columns = pd.Index(["Test donors", "Test cells", "Classes scored"])
    named = folds.assign(
        column=[f"{arm_name(arm)}, {SCHEMES[s].lower()}" for arm, s in zip(folds["arm"], folds["scheme"])]
    )
    columns = list(dict.fromkeys(named["column"]))
    wide = named.pivot_table(index="fold", columns="column", values=metric)[columns]
    return facts.join((100 * wide).round(1)).reset_index().rename(columns={"fold": "Fold"})


def paired_view(paired: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the paired differences of one score in points, as people read them."""
    rows = paired[paired["metric"] == metric]
    return pd.DataFrame(
        {
            "Arm": rows["arm_a"].map(arm_name),
            "Held against": rows["arm_b"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "Difference (points)": (100 * rows["difference"]).round(1),
            "95 % low": (100 * rows["low"]).round(1),
            "95 % high": (100 * rows["high"]).round(1),
            "Smallest detectable": (100 * rows["half_width"]).round(1),
            "Folds": rows["n_folds"],
            "Verdict": rows["verdict"],
        }
    )


def choices(run: Run, dataset: Dataset, folds: pd.DataFrame, per_class: pd.DataFrame | None) -> None:
    """State what a reader must know to trust the table."""
    parameters = run.parameters
    label = parameters.get("label") or dataset.cell_type_column
    trained = sorted(folds["fold"].unique())
    few, many = folds["donors_test"].min(), folds["donors_test"].max()
    donors = f"{few} test donors each" if few == many else f"{few} to {many} test donors each"
    shared = run.kind != "compare" and parameters.get("fold") is None
    own = parameters.get("backbone", "tiny") in ("tiny", "small")
    corpus = "starts from random weights: no outside corpus can have held these cells."
    lines = {
        "Folds": f"{words.count(len(trained), 'donor fold')} scored ({donors}); a donor is never in "
        "training and in test.",
        "Pretraining": "Shared: it saw the cells of the test donors (not their labels)."
        if shared
        else "Per fold: it never saw the fold's test donors.",
        "Corpus": f"The backbone {corpus}"
        if own
        else "Unknown whether the backbone's corpus held these cells.",
        "Scored classes": _classes(dataset, label, per_class),
        "Statistics": "Mean and t interval over folds, seeds averaged first. Differences are paired by fold, "
        "with the Nadeau-Bengio variance counted in donors; an interval that holds zero says 'undecided'.",
        "Arms": "The three arms with summary differ in their masks alone; no pretraining and uniform lack "
        "the summary path too.",
    }
    st.markdown("\n".join(f"* **{name}.** {text}" for name, text in lines.items()))


@st.cache_data(max_entries=32, show_spinner=False)
def _others(name: str, content_hash: str, label: str, _dataset: Dataset) -> list[str]:
    _, others = scored_classes(_dataset, label)
    return [f"{row.cell_type} ({row.reason})" for row in others.itertuples()]


def _classes(dataset: Dataset, label: str, per_class: pd.DataFrame | None) -> str:
    scored = per_class[per_class["scored"]]["cell_type"].nunique() if per_class is not None else None
    others = _others(dataset.name, dataset.content_hash, label, dataset)
    column = f"'{escape(label)}'"
    head = f"{scored} of column {column}, the same in every arm" if scored else f"Column {column}"
    return f"{head}. Left out: {escape(', '.join(others))}." if others else f"{head}; none is left out."

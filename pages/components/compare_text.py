"""The words and tables of the page Compare: verdicts, Table 1, and the choices behind it."""

import pandas as pd
import streamlit as st

from pages.components import words
from sgm_core.analysis.metrics import comparison_sentence, pair_in_view
from sgm_core.analysis.pooled import POOLED_COLUMNS
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import scored_classes
from sgm_core.escape import escape
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.model.sizes import GENES, SIZES
from sgm_core.runs.store import Run

_PERCENT = st.column_config.NumberColumn(format="percent")
FORMATS = dict.fromkeys(("precision", "recall", "f1"), _PERCENT)
_RIVALS = {
    "uniform+summary": "masks alone",
    "expression+summary": "the rival to beat",
    "uniform": "the paper's comparison",
    "no-pretraining": "pretraining at all",
}


def answer(pair: dict, scheme: str, folds: pd.DataFrame) -> str:
    """Say the difference in view in one sentence."""
    if not pair["n_folds"]:
        return f"{arm_name(pair['arm_a'])} and {arm_name(pair['arm_b'])} have no finished fold in common yet."
    return f"{comparison_sentence(pair)} ({SCHEMES[scheme].lower()}).{drawn(folds)}"


def drawn(folds: pd.DataFrame) -> str:
    """Say what the authors' 'folds' are where a table has them, else nothing."""
    if "draw" not in folds:
        return ""
    return (
        f" Scores are means over {folds['draw'].nunique()} draws of the test cells of one hold-out split: "
        "these are not donor folds, and give no interval over donors."
    )


@st.cache_data(max_entries=64, show_spinner=False)
def rivals(
    path: str,
    stamp: int,
    arm: str,
    against: str,
    scheme: str,
    metric: str,
    _folds: pd.DataFrame,
    _paired: pd.DataFrame,
) -> str:
    """Say in one line how the arm stands against every other rival, the best baseline among them."""
    folds, paired = _folds, _paired
    trained = set(folds.loc[folds["scheme"] == scheme, "arm"])
    parts = []
    for other, meaning in _RIVALS.items():
        if other in trained and other not in (arm, against):
            parts.append(_short(paired, folds, (arm, scheme), (other, scheme), metric, meaning))
    baselines = folds[folds["scheme"] == "baseline"].groupby("arm")[metric].mean()
    if len(baselines):
        best = baselines.idxmin() if metric == "ece" else baselines.idxmax()
        if best != against:
            rival = (str(best), "baseline")
            parts.append(_short(paired, folds, (arm, scheme), rival, metric, "best baseline"))
    parts = [part for part in parts if part]
    return f"Against {' · '.join(parts)}" if parts else ""


def _short(
    paired: pd.DataFrame,
    folds: pd.DataFrame,
    a: tuple[str, str],
    b: tuple[str, str],
    metric: str,
    meaning: str,
) -> str:
    pair = pair_in_view(paired, folds, a, b, metric)
    if not pair["n_folds"]:
        return ""
    points = f"{100 * pair['difference']:+.1f}"
    if pair["n_folds"] > 1:
        points += f" ± {100 * pair['half_width']:.1f}"
        if pair["role"] != "descriptive":
            points += f", {pair['verdict']}"
    return f"{arm_name(b[0])} ({meaning}): {points}"


def with_pooled_columns(paired: pd.DataFrame, stored: pd.DataFrame | None) -> pd.DataFrame:
    """Return `paired` with the pooled differences that the run has computed, if it has."""
    keys = ["arm_a", "arm_b", "scheme", "scheme_b", "metric"]
    if stored is None or not set(POOLED_COLUMNS) <= set(stored):
        return paired
    return paired.merge(stored[keys + POOLED_COLUMNS], on=keys, how="left")


def pooled_line(pair: dict) -> str:
    """Say the pooled difference of the pair in view, where the run has it."""
    if not pd.notna(pair.get("pooled_difference")):
        return ""
    low, high = 100 * pair["pooled_low"], 100 * pair["pooled_high"]
    interval = f", 95 % bootstrap over donors {low:.1f} to {high:.1f}" if pd.notna(low) else ""
    return f"Pooled over folds: {100 * pair['pooled_difference']:+.1f}{interval} (models as trained)."


def table_1(summary: pd.DataFrame, metric: str, pooled: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the paper's Table 1 for one score: arms by schemes, mean and 95 % interval in per cent.

    `pooled`, the run's table of macro F1 over all folds together, stands beside the means of folds.
    """
    rows = summary[summary["metric"] == metric]
    table = pd.DataFrame({"Arm": [arm_name(arm) for arm in in_order(rows["arm"])]})
    keys = in_order(rows["arm"])
    for scheme, name in SCHEMES.items():
        mine = rows[rows["scheme"] == scheme].set_index("arm")
        if len(mine):
            table[f"{name} (%)"] = [
                _interval(mine.loc[[arm]].iloc[0], "mean") if arm in mine.index else "" for arm in keys
            ]
            if pooled is not None:
                whole = pooled[pooled["scheme"] == scheme].set_index("arm")
                table[f"{name}, pooled (%)"] = [
                    _interval(whole.loc[[arm]].iloc[0], "value") if arm in whole.index else "" for arm in keys
                ]
    table["Folds"] = [int(rows.loc[rows["arm"] == arm, "n_folds"].max()) for arm in keys]
    return table


def _interval(row: pd.Series, value: str) -> str:
    if pd.isna(row["low"]):
        return f"{100 * row[value]:.1f}"
    return f"{100 * row[value]:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def noise_table(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return how far the score differs between folds and between training seeds, in points."""
    rows = summary[summary["metric"] == metric]
    return pd.DataFrame(
        {
            "Arm": rows["arm"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "SD between folds": (100 * rows["sd_folds"]).round(1),
            "SD between seeds": (100 * rows["sd_seeds"]).round(1),
            "Folds": rows["n_folds"],
            "Seeds": rows["n_seeds"],
        }
    )


def fold_table(folds: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row a fold: its donors and cells, and the score of each arm and scheme in per cent."""
    names = {"test_donors": "Test donors", "n_test": "Test cells", "classes_scored": "Classes scored"}
    if "classes_rare" in folds:
        names["classes_rare"] = "Too few test cells"
    facts = folds.groupby("fold")[list(names)].first().rename(columns=names)
    named = folds.assign(
        column=[f"{arm_name(arm)}, {SCHEMES[s].lower()}" for arm, s in zip(folds["arm"], folds["scheme"])]
    )
    columns = list(dict.fromkeys(named["column"]))
    wide = named.pivot_table(index="fold", columns="column", values=metric)[columns]
    return facts.join((100 * wide).round(1)).reset_index().rename(columns={"fold": "Fold"})


def paired_view(paired: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the paired differences of one score in points, as people read them."""
    rows = paired[paired["metric"] == metric]
    table = pd.DataFrame(
        {
            "Comparison": rows["role"],
            "Arm": rows["arm_a"].map(arm_name),
            "Held against": rows["arm_b"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "Difference (points)": (100 * rows["difference"]).round(1),
            "95 % low": (100 * rows["low"]).round(1),
            "95 % high": (100 * rows["high"]).round(1),
            "p": rows["p"].round(4),
            "p (Holm)": rows["p_holm"].round(4),
            "Found with 80 % power": (100 * rows["detectable"]).round(1),
            "Folds": rows["n_folds"],
            "Verdict": rows["verdict"],
        }
    )
    if "pooled_difference" in rows and rows["pooled_difference"].notna().any():
        for column, name in zip(POOLED_COLUMNS, ("Pooled", "Pooled, low", "Pooled, high")):
            table[name] = (100 * rows[column]).round(1)
    return table.sort_values("Comparison", kind="stable")


def choices(
    run: Run,
    dataset: Dataset,
    folds: pd.DataFrame,
    per_class: pd.DataFrame | None,
    summary: pd.DataFrame,
    paired: pd.DataFrame,
) -> None:
    """State what a reader must know to trust the table."""
    parameters = run.parameters
    label = parameters.get("label") or dataset.cell_type_column
    trained = sorted(folds["fold"].unique())
    few, many = folds["donors_test"].min(), folds["donors_test"].max()
    donors = f"{few} test donors each" if few == many else f"{few} to {many} test donors each"
    shared = run.kind != "compare" and parameters.get("fold") is None
    own = parameters.get("backbone", "tiny") in SIZES
    corpus = "starts from random weights: no outside corpus can have held these cells."
    lines = {
        "Folds": f"{_how_split(parameters, len(trained))} ({donors}); a donor is never in "
        f"training and in test.{drawn(folds)}",
        "Pretraining": "Shared: it saw the cells of the test donors (not their labels)."
        if shared
        else "Per fold: it never saw the fold's test donors.",
        "Corpus": f"The backbone {corpus}"
        if own
        else "Unknown whether the backbone's corpus held these cells.",
        "Scored classes": _classes(dataset, label, per_class),
        "Classes per fold": _rare(folds),
        "Primary comparison": _primary(paired),
        "Statistics": f"Mean and t interval over folds, seeds averaged first ({_seeds(summary)}). "
        "Differences are paired by fold, with the Nadeau-Bengio variance counted in donors. What is not "
        "proven is undecided, not 'no': beside it stands the true difference that would be found with 80 % "
        "power. "
        "Pooled scores take the test cells of all folds together; their interval draws donors anew.",
        "Arms": "The arms with summary, self-guided among them, differ in their masks alone; no pretraining "
        "and uniform lack the summary path too.",
    }
    if own and _reads_genes(parameters, folds):
        lines["Heads"] = (
            "Logistic regression reads the values of the genes beside the model's vector, in every arm; what "
            "pretraining adds to them is the difference to no pretraining, which has them too."
        )
    if run.kind == "compare" and "min_test_cells" in folds:
        lines["Validation donors"] = (
            "Validation donors choose the strength of the penalty and the epoch in every arm and baseline; "
            "they never train."
        )
    st.markdown("\n".join(f"* **{name}.** {text}" for name, text in lines.items()))


def _reads_genes(parameters: dict, folds: pd.DataFrame) -> bool:
    """Return whether the heads of a size read the genes too; those of older runs do not."""
    probes = folds.loc[folds["scheme"] == "linear-probe"]
    linear = "chosen" in probes and probes["chosen"].astype(str).str.startswith("C ").any()
    return bool(linear) and GENES in ((parameters.get("pretrain") or {}).get("pool") or GENES)


def _how_split(parameters: dict, n_folds: int) -> str:
    if parameters.get("split", "cv") == "cv":
        return f"{words.count(n_folds, 'donor fold')} scored"
    return "One hold-out split of the donors, 80 / 10 / 10 %, scored"


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


def _rare(folds: pd.DataFrame) -> str:
    """Say which scored classes a fold's macro F1 leaves out, and why."""
    if "classes_rare" not in folds:
        return (
            "Scored by an older version: every scored class counts in a fold's macro F1, also one with a "
            "single test cell. Run the comparison again for scores that one cell can't move."
        )
    minimum = folds["min_test_cells"].iloc[0]
    text = (
        f"A fold's macro F1 covers the scored classes with at least {minimum} test cells, in every arm alike"
    )
    rare = folds.groupby("fold")["classes_rare"].first()
    left = [f"fold {fold}: {escape(names.replace('; ', ', '))}" for fold, names in rare.items() if names]
    if not left:
        return f"{text}; every fold has them all."
    return f"{text}. Too few (cells in brackets): {'; '.join(left)}. Pooled over folds they count."


def _primary(paired: pd.DataFrame) -> str:
    """Say which comparison was declared before, and how the others are judged."""
    primary, secondary = (paired[paired["role"] == role] for role in ("primary", "secondary"))
    others = f"{words.count(len(secondary), 'macro F1 difference')} judged together, by Holm-corrected p"
    rest = "Other scores, and pairs outside this plan, are described and not tested."
    if not len(primary):
        return f"None in this run (so far): the {others}. {rest}"
    row = primary.iloc[0]
    names = f"{arm_name(row['arm_a'])} against {arm_name(row['arm_b'])}, {SCHEMES[row['scheme']].lower()}"
    return (
        f"{names}, macro F1: declared in the program before any result, and judged by its own 95 % interval. "
        f"Secondary: the other {others}. {rest}"
    )


def _seeds(summary: pd.DataFrame) -> str:
    few, many = summary["n_seeds"].min(), summary["n_seeds"].max()
    return words.count(few, "seed") if few == many else f"{few} to {many} seeds"

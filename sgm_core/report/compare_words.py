"""What a comparison's scores say, in sentences, and how they were judged: for pages and reports alike."""

import pandas as pd

from sgm_core.analysis.metrics import comparison_sentence, pair_in_view
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import scored_classes
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.model.sizes import GENES, SIZES
from sgm_core.runs.run import Run
from sgm_core.units import count

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


def rivals(
    folds: pd.DataFrame,
    paired: pd.DataFrame,
    arm: str,
    against: str,
    scheme: str,
    metric: str,
) -> str:
    """Say in one line how the arm stands against every other rival, the best baseline among them."""
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


def pooled_line(pair: dict) -> str:
    """Say the pooled difference of the pair in view, where the run has it."""
    if not pd.notna(pair.get("pooled_difference")):
        return ""
    low, high = 100 * pair["pooled_low"], 100 * pair["pooled_high"]
    interval = f", 95 % bootstrap over donors {low:.1f} to {high:.1f}" if pd.notna(low) else ""
    return f"Pooled over folds: {100 * pair['pooled_difference']:+.1f}{interval} (models as trained)."


def choices(
    run: Run,
    dataset: Dataset,
    folds: pd.DataFrame,
    per_class: pd.DataFrame | None,
    summary: pd.DataFrame,
    paired: pd.DataFrame,
) -> dict[str, str]:
    """Return what a reader must know to trust the table, by topic."""
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
    return lines


def _reads_genes(parameters: dict, folds: pd.DataFrame) -> bool:
    """Return whether the heads of a size read the genes too; those of older runs do not."""
    probes = folds.loc[folds["scheme"] == "linear-probe"]
    linear = "chosen" in probes and probes["chosen"].astype(str).str.startswith("C ").any()
    return bool(linear) and GENES in ((parameters.get("pretrain") or {}).get("pool") or GENES)


def _how_split(parameters: dict, n_folds: int) -> str:
    if parameters.get("split", "cv") == "cv":
        return f"{count(n_folds, 'donor fold')} scored"
    return "One hold-out split of the donors, 80 / 10 / 10 %, scored"


def _classes(dataset: Dataset, label: str, per_class: pd.DataFrame | None) -> str:
    scored = per_class[per_class["scored"]]["cell_type"].nunique() if per_class is not None else None
    rows = scored_classes(dataset, label)[1].itertuples()
    others = [f"{row.cell_type} ({row.reason})" for row in rows]
    column = f"'{label}'"
    head = f"{scored} of column {column}, the same in every arm" if scored else f"Column {column}"
    return f"{head}. Left out: {', '.join(others)}." if others else f"{head}; none is left out."


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
    left = [f"fold {fold}: {names.replace('; ', ', ')}" for fold, names in rare.items() if names]
    if not left:
        return f"{text}; every fold has them all."
    return f"{text}. Too few (cells in brackets): {'; '.join(left)}. Pooled over folds they count."


def _primary(paired: pd.DataFrame) -> str:
    """Say which comparison was declared before, and how the others are judged."""
    primary, secondary = (paired[paired["role"] == role] for role in ("primary", "secondary"))
    others = f"{count(len(secondary), 'macro F1 difference')} judged together, by Holm-corrected p"
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
    return count(few, "seed") if few == many else f"{few} to {many} seeds"


def main_scheme(folds: pd.DataFrame) -> str:
    """Return the finetuning that a run is read by: partial, else the last that was trained."""
    there = set(folds["scheme"])
    trained = [scheme for scheme in SCHEMES if scheme in there and scheme != "baseline"]
    return "partial" if "partial" in trained else (trained or ["baseline"])[-1]


def preferred_rival(others: list[str]) -> str:
    """Return what an arm is held against first: one that differs in its masks alone where it is there."""
    wanted = ("uniform+summary", "uniform", "no-pretraining")
    return next((arm for arm in wanted if arm in others), others[0])


def scheme_of(folds: pd.DataFrame, arm: str, scheme: str) -> str:
    """Return the scheme under which an arm was scored: baselines have their own."""
    return scheme if ((folds["arm"] == arm) & (folds["scheme"] == scheme)).any() else "baseline"


def two_sides(table: pd.DataFrame, a: tuple[str, str], b: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of two sides, each an arm and a scheme."""
    sides = [table[(table["arm"] == arm) & (table["scheme"] == scheme)] for arm, scheme in (a, b)]
    return pd.concat(sides, ignore_index=True)

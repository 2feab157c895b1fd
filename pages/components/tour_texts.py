"""What the guided tour says at each step: sentences with the numbers that stand on the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pages.components import (
    confidence,
    frame,
    gene_sets,
    mask_tables,
    planted_view,
    quality_view,
    run_facts,
    scores,
    tables,
    words,
)
from sgm_core import demo_session
from sgm_core.analysis.masks import default_arm
from sgm_core.analysis.metrics import pair_in_view
from sgm_core.analysis.term_claim import claim
from sgm_core.analysis.verdict import agreement_sentence
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.report.compare_tables import with_pooled_columns
from sgm_core.report.compare_words import answer as compare_answer
from sgm_core.resources.names import DEMO_GENE_SETS
from sgm_core.resources.panel import planted_genes
from sgm_core.runs.parameters import complete
from sgm_core.runs.store import Run

_AGAINST = "uniform+summary"
_TOP = 100
_MASKED = "pages/masked_genes.py"
Controls = dict[str, tuple[Any, Any]]
"""For each control's key its value, and the text that the link holds for it."""


def _as_they_are(run: Run) -> Controls:
    return {}


@dataclass(frozen=True)
class Step:
    """One step of the tour.

    Parameters
    ----------
    page
        Where it is, e.g. ``pages/compare.py``.
    title
        The question that the step answers.
    say
        Returns the paragraphs (Markdown) for the dataset and run of the tour.
    table
        The table that the run must have for it; empty where none is needed.
    controls
        What the page's controls are set to for the run of the tour.
    """

    page: str
    title: str
    say: Callable[[Dataset, Run], list[str]]
    table: str = ""
    controls: Callable[[Run], Controls] = _as_they_are


def welcome(dataset: Dataset, run: Run) -> list[str]:
    planted = planted_genes()
    known = set(dataset.genes.tolist())
    everywhere, malignant = (
        len(known.intersection(planted[name])) for name in ("a cell type or state", "malignant cells")
    )
    return [
        f"These {dataset.n_cells:,} cells of {words.count(dataset.meta['n_donors'], 'donor')} are "
        "**simulated**: no patient, no measurement. What it teaches is how to read the pages, and what a "
        "sentence may claim.",
        f"A simulation has a known truth: {everywhere:,} of its {dataset.n_genes:,} genes are raised in a "
        f"cell type or state, {malignant:,} of them in malignant cells. Near the end the tour asks "
        "whether the masks found them.",
        f"The run below, {escape(words.run_label(run))}, is "
        f"{frame.STATES[run.state][0].lower()}{_how_far(run)}. Its newest scores stand in the middle card.",
    ]


def data(dataset: Dataset, run: Run) -> list[str]:
    facts = dataset.obs
    said = [f"{quality_view.headline(dataset)} Before training anything: is the data fit for the job?"]
    if {"malignant", "condition", "donor"} <= set(facts):
        malignant = facts["malignant"].eq("yes").mean()
        said.append(
            f"{malignant:.0%} of the simulated cells are malignant, of "
            f"{facts.loc[facts['condition'] == 'AML', 'donor'].nunique()} AML donors; "
            f"{facts.loc[facts['condition'] != 'AML', 'donor'].nunique()} donors are healthy."
        )
    n = run.parameters.get("folds")
    said.append(
        f"The view **Folds** below shows how the donors are split: {n} folds, and no donor is ever on "
        "both sides, so a score is that of patients whom the model has never seen."
    )
    return said


def training(dataset: Dataset, run: Run) -> list[str]:
    parameters = complete(run)
    folds = tables.read(run, "folds", columns=("arm", "fold", "scheme"))
    arms = 0 if folds is None else folds.loc[folds["scheme"] != "baseline", "arm"].nunique()
    took = words.took(run)
    said = [
        f"This run trained {words.count(arms, 'arm')} on each of {parameters['folds']} donor folds with "
        f"{words.count(parameters['seeds'], 'seed')}, and held them against plain baselines, in "
        f"{words.duration(took)}. An arm is a way to choose which genes are hidden."
    ]
    rows = run_facts.metrics(run)
    if {"phase", "epoch", "train_loss"} <= set(rows):
        losses = rows[rows["phase"] == "pretrain"].dropna(subset=["train_loss"])
        if len(losses):
            by_epoch = losses.groupby("epoch")["train_loss"].mean()
            said.append(
                f"The loss of the pretrainings goes from {by_epoch.iloc[0]:.3f} in the first epoch to "
                f"{by_epoch.iloc[-1]:.3f} in epoch {int(by_epoch.index[-1])}, on the mean. A loss says "
                "nothing of which arm is better: arms hide other genes, some of them easier."
            )
    said.append(
        "A run may be watched, cancelled, resumed and copied with one field changed. All of it is simulated."
    )
    return said


def comparison(dataset: Dataset, run: Run) -> list[str]:
    folds = tables.read(run, "folds")
    assert folds is not None
    key, schemes = scores.key(run), scores.schemes_of(run)
    _, paired = scores.computed(*key, schemes)
    paired = with_pooled_columns(paired, tables.read(run, "paired"))
    trained = folds[folds["scheme"] != "baseline"]
    known = [scheme for scheme in SCHEMES if scheme in set(trained["scheme"])]
    said = ["On these **simulated** cells:"]
    if known and {"self-guided", _AGAINST} <= set(trained["arm"]):
        scheme = known[-1]
        pair = pair_in_view(paired, folds, ("self-guided", scheme), (_AGAINST, scheme), "macro_f1")
        mark = confidence.mark(confidence.of_pair(pair))
        said[0] += f" {mark}{escape(compare_answer(pair, scheme, folds))}"
    means = folds.groupby(["arm", "scheme"])["macro_f1"].mean()
    best, base = means.idxmax(), means[means.index.get_level_values("scheme") == "baseline"]
    said.append(
        f"Highest of all is {escape(arm_name(best[0]))} with a macro F1 of {100 * means.max():.1f} %"
        + (f"; the best plain baseline has {100 * base.max():.1f} %" if len(base) else "")
        + f". Each point is one of {folds['fold'].nunique()} folds of donors. Two arms "
        "are only called different if the interval of their difference leaves out 0."
    )
    return said


def cells(dataset: Dataset, run: Run) -> list[str]:
    per_class = tables.read(run, "per_class")
    said = [
        f"Every one of the {dataset.n_cells:,} simulated cells is drawn: colour the maps by cell type, by "
        "a gene, or by what a model says. Draw a lasso around cells and ask what they are and which "
        "genes differ."
    ]
    if per_class is not None:
        mine = per_class[
            (per_class["arm"] == "self-guided") & (per_class["fold"] == -1) & per_class["scored"]
        ]
        scheme = next((s for s in reversed(SCHEMES) if s in set(mine["scheme"])), None)
        rows = mine[mine["scheme"] == scheme].sort_values("f1") if scheme else pd.DataFrame()
        if len(rows):
            worst, best = rows.iloc[0], rows.iloc[-1]
            said.append(
                f"Colour by **Right or wrong**: of {words.count(len(rows), 'scored type')} the "
                f"self-guided model finds {escape(worst['cell_type'])} hardest (F1 {worst['f1']:.2f}) and "
                f"{escape(best['cell_type'])} easiest ({best['f1']:.2f}). The simulator shades "
                "neighbouring types into each other, more so in malignant cells."
            )
    return said


def masked(dataset: Dataset, run: Run) -> list[str]:
    arm = _arm(run)
    found = mask_tables.judge(run, arm)
    d = mask_tables.diagnose(run, arm)
    return [
        f"{confidence.mark(found.confidence)}**{escape(arm_name(arm))}**, on simulated cells: "
        f"{escape(found.sentence)}.",
        f"Each point on the left is one of {len(mask_tables.statistics(run, arm)):,} genes: how often it "
        "was hidden, against its expression. The grey band is what genes of equal expression get, so "
        "only what lies off it could be a preference; uniform masks stand beside it.",
        f"Would another seed say the same? {escape(agreement_sentence(d))}.",
    ]


def truth(dataset: Dataset, run: Run) -> list[str]:
    arm = _arm(run)
    found = planted_view.judged(run, arm), planted_view.judged_types(run, arm)
    if any(said.confidence == "proven" for said in found):
        lesson = "a find is only what masks that learned nothing do not hold."
    else:
        lesson = "far more than chance is no find, if masks that learned nothing hold as much."
    return [
        "Of simulated cells the right answer is known. Precision at 50: how many of the 50 most masked "
        "genes did the simulator plant, and how many does each control hold? The figures are further "
        "down, under **What was planted**.",
        *(f"{confidence.mark(said.confidence)}{escape(said.sentence)}." for said in found),
        f"What to take along: {lesson}",
    ]


def enrichment(dataset: Dataset, run: Run) -> list[str]:
    arm = _arm(run)
    library = gene_sets.libraries()[DEMO_GENE_SETS]
    found = gene_sets.test_run(run, library, arm, min(_TOP, len(mask_tables.universe(run)) - 1), (5, 500))
    n = len(found.lists["frequency"])
    said = claim(found, "frequency", mask_tables.diagnose(run, arm), f"the {n} most masked genes")
    return [
        f"{confidence.mark(said.confidence)}{escape(said.sentence)}.",
        f"The universe is the {len(found.universe):,} simulated genes that could be hidden, not the "
        "genome. Side by side holds a ranking against another, choosing a term sends its genes to the "
        "map and to the masked genes.",
        f"**That was the tour** of simulated data. Next: your own, {_next()}.",
    ]


def _next() -> str:
    if demo_session.is_session():
        return "in a dashboard that `sgm app` starts without `--demo`: this one is put back at each start"
    return "on the page Datasets under Import; nothing of the demo is mixed with it"


def _arm(run: Run) -> str:
    return default_arm(pd.DataFrame({"arm": mask_tables.arms(run)}))


def _how_far(run: Run) -> str:
    found = run_facts.progress_words(run)
    return f" ({found})" if found else ""


def _folds(run: Run) -> Controls:
    n = complete(run)["folds"]
    return {"view": ("Folds", "Folds"), "folds": (n, str(n))}


def _guided(run: Run) -> Controls:
    return {"evidence": ("guided", "Is it guided?")}


def _planted(run: Run) -> Controls:
    return {"evidence": ("planted", "What was planted")}


def _terms(run: Run) -> Controls:
    return {
        "genes": ("frequency", "Most masked"),
        "top": (_TOP, str(_TOP)),
        "library": (DEMO_GENE_SETS, DEMO_GENE_SETS),
        "shows": ("terms", "Terms"),
    }


STEPS = (
    Step("pages/home.py", "What is this?", welcome),
    Step("pages/datasets.py", "Is the data fit for the job?", data, controls=_folds),
    Step("pages/runs.py", "What was trained?", training, "folds"),
    Step("pages/compare.py", "Does guided masking help?", comparison, "folds"),
    Step("pages/cells.py", "Which cells are these?", cells),
    Step(_MASKED, "Which genes are hidden, beyond expression?", masked, "mask_cells", _guided),
    Step(_MASKED, "Did the masks find what was planted?", truth, "masks", _planted),
    Step("pages/enrichment.py", "What do the hidden genes do?", enrichment, "masks", _terms),
)

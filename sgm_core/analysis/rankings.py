"""The genes that an arm hides most, and the lists of genes that they must be held against."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sgm_core.analysis.mask_models import SUMMED, ModelResiduals, seeds_of
from sgm_core.analysis.masks import (
    default_arm,
    gene_statistics,
    lift_problem,
    mask_arms,
    preferred_genes,
    select_masks,
    top_genes,
)
from sgm_core.analysis.matching import MIN_OPPORTUNITIES
from sgm_core.errors import InputError

OWN = ("frequency", "lift")
CONTROLS = ("uniform", "start", "expression", "inverse")
NO_PREFERENCE = "no gene is hidden more than its equals in every model (after correction over the genes)"
SIMULATED = (
    "the run has no uniform arm: its control is simulated, the same number hidden at random within each "
    "cell's zeros and non-zeros"
)
GROUP_LIMITS = (
    "within a group of cells all models are counted together: no gene has an interval there, none is ranked "
    "by lift, and the masks before training are not among the controls"
)
"""What lists of `group_rankings` can't tell."""
_SEED = 0


@dataclass(frozen=True)
class Rankings:
    """Lists of genes: those that an arm hides most, and controls.

    Parameters
    ----------
    lists
        The genes of each ranking: ``frequency`` and, where genes are hidden more than their equals, ``lift``
        of the arm; as controls ``uniform`` (most masked by the uniform arm, simulated where there is none),
        ``start`` (most masked by the same arm before the first update, where the run kept that),
        ``expression`` (highest mean expression) and ``inverse`` (lowest).
    genes
        Every gene that could be masked, the universe: gene, expression (mean ln1p value), detection.
    arm
        The arm.
    notes
        What is to be said of a ranking: why it is missing, shorter than asked for, or simulated.
    """

    lists: dict[str, list[str]]
    genes: pd.DataFrame
    arm: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def universe(self) -> list[str]:
        """The genes that could be masked."""
        return self.genes["gene"].tolist()


def rankings(
    masks: pd.DataFrame,
    arm: str | None = None,
    top: int = 200,
    start: pd.DataFrame | None = None,
    models: ModelResiduals | None = None,
    without: Collection[str] = (),
) -> Rankings:
    """Return the `top` genes of a run's arm, by frequency and by lift, and of each control.

    By lift only genes that are hidden more than their equals are taken (`preferred_genes`); where there are
    none, or one model can't tell, that ranking is missing and `Rankings.notes` says why.

    Parameters
    ----------
    masks
        The run table `masks`.
    arm
        As in `sgm_core.analysis.masks.select_masks`.
    start
        The run table `masks_start`, for the control of that name.
    models
        As in `sgm_core.analysis.masks.gene_statistics`.
    without
        Genes to leave out of every list and of the universe, such as those judged artefacts. They stay among
        the genes that others are held against.

    Raises
    ------
    InputError
        If `top` is not smaller than the universe.
    """
    arm = arm or default_arm(masks)
    stats = gene_statistics(masks, arm=arm, models=models)
    stats, masks = stats[~stats["gene"].isin(without)], _without(masks, without)
    if not 0 < top < len(stats):
        raise InputError(f"top is {top}: take 1 to {len(stats) - 1}, the run could mask {len(stats)} genes")
    lists, notes = {"frequency": top_genes(stats, "frequency", top)}, {}
    problem, preferred = lift_problem(stats), []
    if problem is None:
        preferred = preferred_genes(stats)
        if not preferred:
            problem = NO_PREFERENCE
    if problem:
        notes["lift"] = f"no enrichment by lift: {problem}"
    else:
        lists["lift"] = preferred[:top]
    if 0 < len(preferred) < top:
        found = f"{len(preferred)} genes are" if len(preferred) > 1 else "1 gene is"
        notes["lift"] = f"by lift only {found} hidden more than their equals, {top} were asked for"
    uniform = uniform_arm(masks, arm)
    if uniform is None:
        notes["uniform"] = SIMULATED
    if start is not None and arm in mask_arms(start):
        lists["start"] = _most_masked(_without(select_masks(start, arm), without), top)
    rows = select_masks(masks, arm)
    found_uniform = None if uniform is None else select_masks(masks, uniform)
    return _with_controls(Rankings(lists, pd.DataFrame(), arm, notes), rows, found_uniform, top)


def within(
    masks: pd.DataFrame,
    background: Collection[str],
    arm: str | None = None,
    top: int = 200,
    start: pd.DataFrame | None = None,
) -> Rankings:
    """Return `rankings` among some of the genes only: the first `top` of them, and they as universe.

    What a gene is masked beyond its expression is still read against all genes that could be masked.

    Parameters
    ----------
    background
        Gene symbols, as the run writes them.
    masks, arm, top, start
        As in `rankings`.

    Raises
    ------
    InputError
        If fewer than two of them could be masked, or `top` is not smaller than their number.
    """
    arm = arm or default_arm(masks)
    chosen = set(background)
    whole = rankings(masks, arm, len(select_masks(masks, arm).query("opportunities > 0")) - 1, start)
    genes = whole.genes[whole.genes["gene"].isin(chosen)].reset_index(drop=True)
    if len(genes) < 2:
        raise InputError(
            f"{len(genes)} of the {len(chosen):,} genes of the background could be masked: give gene symbols "
            "as the dataset has them"
        )
    if not 0 < top < len(genes):
        raise InputError(f"top is {top}: take 1 to {len(genes) - 1}, the background holds {len(genes)} genes")
    lists = {name: [gene for gene in found if gene in chosen][:top] for name, found in whole.lists.items()}
    notes = {name: note for name, note in whole.notes.items() if name != "lift" or "lift" not in lists}
    if not lists.get("lift", ["any"]):
        del lists["lift"]
        notes["lift"] = "no enrichment by lift: no gene of the background is hidden more than its equals"
    elif len(lists.get("lift", [])) < top and "lift" in lists:
        n = len(lists["lift"])
        notes["lift"] = f"by lift only {n} of the background exceed their equals, {top} were asked for"
    return Rankings(lists, genes, arm, notes)


def group_rankings(
    masks: pd.DataFrame, by: str, arm: str | None = None, top: int = 200
) -> dict[str, Rankings]:
    """Return the `top` genes by frequency, and of each control, within each group of cells.

    For what they can't tell see `GROUP_LIMITS`. A group with fewer than `MIN_OPPORTUNITIES` draws, or no more
    than `top` genes, is left out.

    Parameters
    ----------
    masks
        The run table `masks`, with the rows of `by`.
    by
        ``cell_type``, or another column that masks are counted by.
    arm, top
        As in `rankings`.
    """
    arm = arm or default_arm(masks)
    uniform = uniform_arm(masks, arm)
    rows = masks[(masks["by"] == by) & (masks["fold"] == SUMMED) & (seeds_of(masks) == SUMMED)]
    control = rows[rows["arm"] == uniform] if uniform else rows[:0]
    controls = {str(level): part for level, part in control.groupby("level")}
    found = {}
    for level, mine in rows[rows["arm"] == arm].groupby("level"):
        mine = mine[mine["opportunities"] > 0]
        if len(mine) <= top or mine["opportunities"].max() < MIN_OPPORTUNITIES:
            continue
        lists = {"frequency": _most_masked(mine, top)}
        empty = Rankings(lists, pd.DataFrame(), arm)
        found[str(level)] = _with_controls(empty, mine, controls.get(str(level)), top)
    return found


def uniform_arm(masks: pd.DataFrame, arm: str) -> str | None:
    """Return the uniform arm that `arm` is held against: the one with a summary, if the table has it."""
    arms = mask_arms(masks)
    return next((name for name in ("uniform+summary", "uniform") if name in arms and name != arm), None)


def _without(rows: pd.DataFrame, genes: Collection[str]) -> pd.DataFrame:
    return rows[~rows["gene"].isin(genes)] if genes else rows


def _with_controls(found: Rankings, rows: pd.DataFrame, uniform: pd.DataFrame | None, top: int) -> Rankings:
    """Add the controls that `rows` (of the arm) and the uniform arm's rows give, and the universe."""
    rows = rows[rows["opportunities"] > 0]
    lists = dict(found.lists)
    lists["uniform"] = _most_masked(_simulated(rows) if uniform is None else uniform, top)
    n = rows["opportunities"].to_numpy(float)
    genes = pd.DataFrame(
        {
            "gene": rows["gene"].to_numpy(str).astype(object),
            "expression": rows["value_sum"].to_numpy(float) / n,
            "detection": rows["opportunities_nonzero"].to_numpy(float) / n,
        }
    )
    for name, ascending in (("expression", False), ("inverse", True)):
        ordered = genes.sort_values(["expression", "gene"], ascending=[ascending, True])
        lists[name] = ordered["gene"].head(top).tolist()
    order = [name for name in (*OWN, *CONTROLS) if name in lists]
    return Rankings({name: lists[name] for name in order}, genes, found.arm, found.notes)


def _most_masked(rows: pd.DataFrame, top: int) -> list[str]:
    rows = rows[rows["opportunities"] > 0]
    rows = rows.assign(frequency=rows["masked"] / rows["opportunities"])
    return top_genes(rows, "frequency", top)


def _simulated(rows: pd.DataFrame) -> pd.DataFrame:
    """Draw what a uniform masker would have hidden: the null's mean and variance are counted with the masks.

    A gene's count is a sum over thousands of cells, so it is drawn from a normal distribution.
    """
    drawn = np.random.default_rng(_SEED).normal(rows["expected"], np.sqrt(rows["variance"].clip(lower=0)))
    return rows.assign(masked=np.clip(drawn, 0, rows["opportunities"]))

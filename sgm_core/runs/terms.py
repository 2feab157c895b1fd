"""What the genes that a run hides most do: its tables and a library, brought to the tests of `analysis`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.masks import mask_counts
from sgm_core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.enrichment import Enrichment
    from sgm_core.analysis.term_pairs import Ranked

DETECTED = "detected:"
"""How a background begins that is the genes found in a share of the draws: ``detected:0.05``."""


def run_terms(
    run: Run,
    terms: Mapping[str, Iterable[str]],
    arm: str | None = None,
    top: int = 200,
    min_size: int | None = 5,
    max_size: int | None = 500,
    background: str | Path | Collection[str] | None = None,
    without: Collection[str] = (),
) -> Enrichment:
    """Return `sgm_core.analysis.enrichment.enrich_run` of a run's tables, those before training among them.

    Parameters
    ----------
    background
        Genes, or what `background_genes` reads; None for every gene that could be masked.
    without
        Genes to leave out of lists and universe.

    Raises
    ------
    NotFoundError
        If the run has no masks.
    InputError
        As `enrich_run` and `background_genes`.
    """
    from sgm_core.analysis.enrichment import enrich_run

    masks = masks_of(run)
    if isinstance(background, str | Path):
        background = background_genes(masks, background, arm)
    start = run.read_table("masks_start", by="all")
    return enrich_run(masks, terms, arm, top, min_size, max_size, background, start, without)


def background_genes(masks: pd.DataFrame, given: str | Path, arm: str | None = None) -> tuple[str, ...]:
    """Return the genes of a background: a file with a list of them, or ``detected:SHARE``.

    Parameters
    ----------
    masks
        The run table `masks`; with ``detected:0.05`` the genes that were not zero in 5 % of the draws or
        more, in `arm`.

    Raises
    ------
    InputError
        If it is neither.
    """
    from sgm_core.analysis.masks import select_masks
    from sgm_core.cells.gene_lists import read_genes

    text = str(given)
    if not text.startswith(DETECTED):
        return read_genes(Path(given)).genes
    try:
        share = float(text.removeprefix(DETECTED))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"the background {text!r} is no share: write {DETECTED}0.05 for 5 % of the cells")
    rows = select_masks(masks, arm).query("opportunities > 0")
    return tuple(rows.loc[rows["opportunities_nonzero"] >= share * rows["opportunities"], "gene"])


def ranked_genes(
    run: Run, arm: str | None = None, by: str = "frequency", without: Collection[str] = ()
) -> Ranked:
    """Return all genes of a run but some in the order of one of its rankings, for `pair_terms`.

    Raises
    ------
    InputError
        If the run can't be ranked so.
    """
    from sgm_core.analysis.rankings import rankings
    from sgm_core.analysis.term_pairs import Ranked

    masks = masks_of(run)
    start = run.read_table("masks_start", by="all")
    found = rankings(masks, arm, _most(masks, arm, without), start, without=without)
    if by not in found.lists:
        raise InputError(f"run {run.id}: {found.notes.get(by, f'there is no ranking by {by!r}')}")
    return Ranked(tuple(found.lists[by]), tuple(found.universe))


def gene_values(run: Run, arm: str | None = None, by: str = "frequency") -> pd.Series:
    """Return what `prerank` ranks all genes of a run by: mask frequency, or lift.

    Raises
    ------
    InputError
        If the run can't be ranked so.
    """
    from sgm_core.analysis.masks import gene_statistics, lift_problem

    stats = gene_statistics(masks_of(run), arm=arm).set_index("gene")
    if by == "lift" and (problem := lift_problem(stats)):
        raise InputError(f"run {run.id} can't be ranked by lift: {problem}")
    if by not in ("frequency", "lift"):
        raise InputError(f"genes can't be ranked by {by!r}: take frequency or lift")
    return stats[by]


def diagnosed(run: Run, arm: str) -> dict[str, Any]:
    """Return `sgm_core.analysis.diagnostic.diagnostic` of one arm of a run."""
    from sgm_core.analysis.diagnostic import diagnostic, mask_basis

    cells = run.read_table("mask_cells")
    if cells is None:
        raise NotFoundError(f"run {run.id} has no table 'mask_cells'")
    start = run.read_table("masks_start", by="all")
    return diagnostic(masks_of(run), cells, arm, basis=mask_basis(run.parameters), start=start)


def masks_of(run: Run) -> pd.DataFrame:
    """Return the run's mask counts over all cells.

    Raises
    ------
    NotFoundError
        If it has none.
    """
    masks = mask_counts(run)
    if masks is None:
        raise NotFoundError(
            f"run {run.id} has no table 'masks': it is a {run.kind} run in state {run.state}; "
            "masks come from 'sgm compare' and 'sgm pretrain'"
        )
    return masks


def _most(masks: pd.DataFrame, arm: str | None, without: Collection[str]) -> int:
    from sgm_core.analysis.masks import select_masks

    rows = select_masks(masks, arm)
    return int(((rows["opportunities"] > 0) & ~rows["gene"].isin(without)).sum()) - 1

"""Mask statistics of the run in view: computed once per table, arm and group, shared, never changed."""

from pathlib import Path
from typing import Any

import pandas as pd

from pages.components import tables
from pages.components.kept import kept
from sgm_core import tables as run_tables
from sgm_core.analysis import mask_models
from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.diagnostic_table import diagnostic_table
from sgm_core.analysis.mask_budgets import budget_sentence
from sgm_core.analysis.mask_models import ModelResiduals, model_residuals, model_rows
from sgm_core.analysis.masks import gene_statistics, level_frequencies, mask_arms, mask_levels
from sgm_core.analysis.verdict import Verdict, verdict
from sgm_core.errors import NotFoundError
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import Run


def key(run: Run, name: str = "masks") -> tuple[str, int]:
    """Return what a cache knows a run's table by: its path, and a stamp that changes when the table does."""
    return tables.key(run, name)


def arms(run: Run) -> list[str]:
    """Return the arms that hid genes, in the order of figures."""
    return _arms(*key(run))


@kept()
def _arms(path: str, stamp: int) -> list[str]:
    rows = run_tables.read(Path(path), ["arm"], equal={"by": "all"}, categories=True)
    return in_order(mask_arms(rows.drop_duplicates().astype(object)))


def levels(run: Run) -> dict[str, list[str]]:
    """Return what the counts are split by, with the levels of each."""
    return _levels(*key(run))


def groups(run: Run) -> list[str]:
    """Return the columns that the counts are split by: the roles first, then others such as condition."""
    split = levels(run)
    roles = ["cell_type", "timepoint", "donor"]
    return [by for by in roles if by in split] + sorted(set(split) - {*roles, "epoch"})


@kept()
def _levels(path: str, stamp: int) -> dict[str, list[str]]:
    return mask_levels(run_tables.read(Path(path), ["by", "level"], categories=True).drop_duplicates())


def statistics(run: Run, arm: str, by: str = "all", level: str = "") -> pd.DataFrame:
    """Return `sgm_core.analysis.masks.gene_statistics` of one arm and group."""
    return _statistics(*key(run), arm, by, level)


@kept("Counting masks")
def _statistics(path: str, stamp: int, arm: str, by: str, level: str) -> pd.DataFrame:
    masks = tables.cached(path, stamp, arm=arm, by="all")
    if by == "all":
        return gene_statistics(masks, arm=arm, models=_residuals(path, stamp, arm))
    rows = tables.cached(path, stamp, arm=arm, by=by, level=level)
    return gene_statistics(pd.concat([masks, rows], ignore_index=True), arm=arm, by=by, level=level)


@kept("Holding genes against genes of equal expression")
def _residuals(path: str, stamp: int, arm: str) -> ModelResiduals:
    """Return what each model of an arm prefers: most of the work of ranking and verdict, done once."""
    return model_residuals(model_rows(tables.cached(path, stamp, arm=arm, by="all"), arm))


def residuals(run: Run, arm: str) -> ModelResiduals:
    """Return what each model of an arm prefers."""
    return _residuals(*key(run), arm)


def universe(run: Run) -> tuple[str, ...]:
    """Return the genes that the run could hide."""
    return tuple(statistics(run, arms(run)[0])["gene"])


def by_level(run: Run, arm: str, by: str) -> pd.DataFrame:
    """Return each gene's mask frequency (rows) in each level of `by` (columns)."""
    return _by_level(*key(run), arm, by)


@kept("Counting masks")
def _by_level(path: str, stamp: int, arm: str, by: str) -> pd.DataFrame:
    return level_frequencies(run_tables.read(Path(path), equal={"arm": arm, "by": by}), by, arm)


def gene_levels(run: Run, gene: str, by: str) -> pd.DataFrame:
    """Return how often one gene is hidden in each level, arm by arm: arm, level, frequency, opportunities."""
    columns = ["arm", "level", "masked", "opportunities"]
    rows = run.read_table("masks", columns, gene=gene, by=by)
    if rows is None:
        raise NotFoundError("this run has no mask counts any more: reload the page")
    table = rows[rows["opportunities"] > 0]
    table = table.assign(frequency=table["masked"] / table["opportunities"])
    return table.sort_values("arm", key=lambda names: names.map(in_order(names).index))


def diagnose(run: Run, arm: str) -> dict[str, Any]:
    """Return `sgm_core.analysis.diagnostic.diagnostic` of one arm."""
    return _diagnose(*_places(run, "masks", "mask_cells", "masks_start"), arm, mask_basis(run.parameters))


def judge(run: Run, arm: str) -> Verdict:
    """Return the verdict on one arm's masks: a sentence and its confidence."""
    return verdict(diagnose(run, arm))


def _places(run: Run, *names: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return paths and stamps of tables; the stamp of one that the run lacks is 0."""
    paths, stamps = zip(*(key(run, name) for name in names))
    return paths, stamps


@kept("Comparing with chance")
def _diagnose(paths: tuple[str, ...], stamps: tuple[int, ...], arm: str, basis: str) -> dict[str, Any]:
    (masks, cells, start), (masks_stamp, cells_stamp, start_stamp) = paths, stamps
    own = {"arm": arm, "by": "all"}
    return diagnostic(
        tables.cached(masks, masks_stamp, **own),
        tables.cached(cells, cells_stamp),
        arm,
        basis=basis,
        start=tables.cached(start, start_stamp, **own) if start_stamp else None,
        residuals=_residuals(masks, masks_stamp, arm),
        before=_residuals(start, start_stamp, arm) if start_stamp else None,
    )


def budgets(run: Run) -> str:
    """Say whether the arms hide equally many genes of a cell; empty where that is not known."""
    rows = tables.read(run, "mask_cells")
    return "" if rows is None or rows.empty else budget_sentence(rows, arm_name)


def two_seeds(run: Run, arm: str) -> dict[str, pd.DataFrame]:
    """Return what the models of two seeds prefer, before training and after; empty with one seed."""
    return _two_seeds(*_places(run, "masks_start", "masks"), arm)


@kept("Comparing seeds")
def _two_seeds(paths: tuple[str, ...], stamps: tuple[int, ...], arm: str) -> dict[str, pd.DataFrame]:
    found = {}
    for name, path, stamp in zip(("Before training", "In training"), paths, stamps):
        if stamp:
            pair = mask_models.two_seeds(_residuals(path, stamp, arm))
            if pair is not None:
                found[name] = pair
    return found


def diagnostics(run: Run, of: list[str]) -> pd.DataFrame:
    """Return the diagnostic of each arm as a table for people: one row a measure, with its meaning."""
    return diagnostic_table({arm: diagnose(run, arm) for arm in of})


def rank_pairs(run: Run, arm: str) -> dict[str, pd.DataFrame]:
    """Return what two models of other seeds prefer, of the same donors and of others; empty with one seed.

    The genes are those of the correlation in `diagnose`: known in every model.
    """
    models = residuals(run, arm).known()
    found = {"seeds": mask_models.two_seeds(models), "donors": mask_models.two_seeds(models, False)}
    return {name: pair for name, pair in found.items() if pair is not None and len(pair)}

"""Mask statistics of the run in view: computed once per table, arm and group, shared, never changed."""

from typing import Any

import pandas as pd
import streamlit as st

from pages.components import tables
from sgm_core.analysis import mask_models
from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.mask_models import model_residuals, model_rows
from sgm_core.analysis.masks import gene_statistics, level_frequencies, mask_arms, mask_levels
from sgm_core.analysis.verdict import Verdict, verdict
from sgm_core.errors import NotFoundError
from sgm_core.figures.compare import in_order
from sgm_core.runs.store import Run

# Column of a diagnostic, how it is called, how it is written, what it means. A column of `start`, what the
# same masker did before the first update, is named start.COLUMN.
MEASURES = (
    ("effective_share", "Effective share of genes", ".3f", "1 = every gene equally likely within a cell"),
    ("effective_share_start", "The same, before training", ".3f", "what the masker starts from"),
    ("effective_share_last_epoch", "The same, last epoch", ".3f", "what training made of it"),
    ("spread_relative", "Spread beyond chance", ".1%", "how far gene frequencies differ, uniform draws: 0 %"),
    ("start.spread_relative", "The same, before training", ".1%", "what the masker starts from"),
    ("nonzero_share", "Non-zero share of the masks", ".3f", "how much of what is hidden was expressed"),
    ("base_rate", "Non-zero share of all positions", ".3f", "what a uniform draw would hide"),
    ("rank_correlation", "Rank correlation with expression", "+.2f", "1 = frequency follows expression"),
    ("residual_sd", "Spread between genes of equal expression", ".1%", "what expression does not explain"),
    ("start.residual_sd", "The same, before training", ".1%", "random weights alone prefer genes"),
    ("added_sd", "What training changed of it", ".1%", "sampling noise taken out"),
    ("reproducible_sd", "What comes back with every seed", ".1%", "the rest is one model's own: chance"),
    ("start.reproducible_sd", "The same, before training", ".1%", "what the match by expression leaves"),
    (
        "agreement_between_seeds",
        "Agreement between seeds",
        "+.2f",
        "rank correlation, 0 = chance",
    ),
    (
        "start.agreement_between_seeds",
        "The same, before training",
        "+.2f",
        "the masker knows nothing yet",
    ),
    ("agreement_between_donors", "Agreement between seeds and donors", "+.2f", "other seed and other fold"),
    ("shared_top", "First 50 genes that two seeds share", ".0f", "of those hidden beyond expression"),
    ("shared_top_chance", "The same by chance", ".0f", "two random choices of 50"),
    ("value_leak", "What a mask tells of the value", ".1%", "variance that knowing the mask alone explains"),
)


def key(run: Run, name: str = "masks") -> tuple[str, int]:
    """Return what a cache knows a run's table by: its path, and a stamp that changes when the table does."""
    path = run.table_path(name)
    return str(path), tables.stamp(path)


def arms(run: Run) -> list[str]:
    """Return the arms that hid genes, in the order of figures."""
    return in_order(_arms(*key(run)))


@st.cache_data(max_entries=32, show_spinner=False)
def _arms(path: str, stamp: int) -> list[str]:
    return mask_arms(tables.cached(path, stamp))


def levels(run: Run) -> dict[str, list[str]]:
    """Return what the counts are split by, with the levels of each."""
    return _levels(*key(run))


def groups(run: Run) -> list[str]:
    """Return the columns that the counts are split by: the roles first, then others such as condition."""
    split = levels(run)
    roles = ["cell_type", "timepoint", "donor"]
    return [by for by in roles if by in split] + sorted(set(split) - {*roles, "epoch"})


@st.cache_data(max_entries=32, show_spinner=False)
def _levels(path: str, stamp: int) -> dict[str, list[str]]:
    return mask_levels(tables.cached(path, stamp))


def statistics(run: Run, arm: str, by: str = "all", level: str = "") -> pd.DataFrame:
    """Return `sgm_core.analysis.masks.gene_statistics` of one arm and group."""
    return _statistics(*key(run), arm, by, level)


@st.cache_resource(max_entries=128, show_spinner="Counting masks")
def _statistics(path: str, stamp: int, arm: str, by: str, level: str) -> pd.DataFrame:
    return gene_statistics(tables.cached(path, stamp), arm=arm, by=by, level=level)


def universe(run: Run) -> tuple[str, ...]:
    """Return the genes that the run could hide."""
    return tuple(statistics(run, arms(run)[0])["gene"])


def by_level(run: Run, arm: str, by: str) -> pd.DataFrame:
    """Return each gene's mask frequency (rows) in each level of `by` (columns)."""
    return _by_level(*key(run), arm, by)


@st.cache_resource(max_entries=64, show_spinner="Counting masks")
def _by_level(path: str, stamp: int, arm: str, by: str) -> pd.DataFrame:
    return level_frequencies(tables.cached(path, stamp), by, arm)


def gene_levels(run: Run, gene: str, by: str) -> pd.DataFrame:
    """Return how often one gene is hidden in each level, arm by arm: arm, level, frequency, opportunities."""
    masks = tables.read(run, "masks")
    if masks is None:
        raise NotFoundError("this run has no mask counts any more: reload the page")
    rows = masks[(masks["gene"] == gene) & (masks["by"] == by) & (masks["opportunities"] > 0)]
    table = rows[["arm", "level", "masked", "opportunities"]]
    table = table.assign(frequency=table["masked"] / table["opportunities"])
    return table.sort_values("arm", key=lambda names: names.map(in_order(names).index))


def diagnose(run: Run, arm: str) -> dict[str, Any]:
    """Return `sgm_core.analysis.diagnostic.diagnostic` of one arm."""
    return _diagnose(*key(run), *key(run, "mask_cells"), *_start(run), arm, mask_basis(run.parameters))


def judge(run: Run, arm: str) -> Verdict:
    """Return the verdict on one arm's masks: a sentence and its confidence."""
    return verdict(diagnose(run, arm))


def _start(run: Run) -> tuple[str, int]:
    """Return the `key` of the masks before training; an empty path in runs that kept none."""
    return key(run, "masks_start") if run.table_path("masks_start").exists() else ("", 0)


@st.cache_data(max_entries=64, show_spinner="Comparing with chance")
def _diagnose(
    path: str, stamp: int, cells: str, cells_stamp: int, start: str, start_stamp: int, arm: str, basis: str
) -> dict[str, Any]:
    before = tables.cached(start, start_stamp) if start else None
    masks = tables.cached(path, stamp)
    return diagnostic(masks, tables.cached(cells, cells_stamp), arm, basis=basis, start=before)


def two_seeds(run: Run, arm: str) -> dict[str, pd.DataFrame]:
    """Return what the models of two seeds prefer, before training and after; empty with one seed."""
    return _two_seeds(*key(run), *_start(run), arm)


@st.cache_resource(max_entries=16, show_spinner="Comparing seeds")
def _two_seeds(path: str, stamp: int, start: str, start_stamp: int, arm: str) -> dict[str, pd.DataFrame]:
    moments = {"Before training": (start, start_stamp), "In training": (path, stamp)}
    found = {}
    for name, place in moments.items():
        if place[0]:
            pair = mask_models.two_seeds(model_residuals(model_rows(tables.cached(*place), arm)))
            if pair is not None:
                found[name] = pair
    return found


def diagnostics(run: Run, of: list[str], names: dict[str, str]) -> pd.DataFrame:
    """Return the diagnostic of each arm as a table for people: one row a measure, with its meaning."""
    found = {arm: diagnose(run, arm) for arm in of}
    rows = []
    for key, name, form, meaning in MEASURES:
        values = {names[arm]: _written(found[arm], key, form) for arm in of}
        if set(values.values()) != {"–"}:
            rows.append({"Measure": name, **values, "What it means": meaning})
    return pd.DataFrame(rows)


def _written(d: dict[str, Any], key: str, form: str) -> str:
    """Write one figure of a diagnostic, with its interval where it has one."""
    where, _, name = key.rpartition(".")
    of = d[where] if where else d
    if of is None or of[name] != of[name]:
        return "–"
    text = format(of[name], form)
    low, high = of.get(f"{name}_low"), of.get(f"{name}_high")
    return text if low is None else f"{text} ({format(low, form)} to {format(high, form)})"

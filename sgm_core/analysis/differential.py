"""Which genes are higher in one group of cells than in another."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.analysis.cell_ranking import MOST_CELLS, balanced_sample, cell_ranking
from sgm_core.analysis.donor_test import donor_test
from sgm_core.analysis.pseudobulk import MIN_DONORS, Plan, plan_donors, pseudobulk
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.quality import gene_families
from sgm_core.errors import InputError
from sgm_core.progress import Observer

VERSION = 1
"""Raised when the same cells would get other numbers; an earlier answer is not taken for this one then."""
METHODS = {"auto": "by the donors there are", "pseudobulk": "pseudobulk", "wilcoxon": "Wilcoxon"}
FDR = 0.05
MIN_SIDE = 3
TABLE, FACTS = "differential", "differential.json"


@dataclass(frozen=True)
class Differential:
    """The answer.

    Parameters
    ----------
    table : one row a gene that either side expresses, the most telling first; see `differential`
    facts : method, design, numbers of cells, donors and genes, notes; what `answer` reads
    """

    table: pd.DataFrame
    facts: dict[str, Any]


def check_method(method: str, min_cells: int | None) -> None:
    """Refuse a method that is none, and donors of no cells.

    Raises
    ------
    InputError
        If the method is unknown, or `min_cells` below 1.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r} is unknown: take {', '.join(METHODS)}")
    if min_cells is not None and min_cells < 1:
        raise InputError(f"a donor needs at least 1 cell on a side, not {min_cells} (--min-cells)")


def check_sides(
    dataset: Dataset, cells_a: np.ndarray, cells_b: np.ndarray, name_a: str = "A", name_b: str = "B"
) -> tuple[np.ndarray, np.ndarray]:
    """Return two sides as ascending row numbers.

    Parameters
    ----------
    dataset
        The cells.
    cells_a, cells_b
        Row numbers in any order, or bool (n_cells,).
    name_a, name_b
        What messages call the sides.

    Raises
    ------
    InputError
        If a side has fewer than three cells or rows that don't exist, or the sides share a cell.
    """
    sides = []
    for name, cells in ((name_a, cells_a), (name_b, cells_b)):
        mask = _mask(dataset, np.asarray(cells), name)
        n = int(mask.sum())
        if n < MIN_SIDE:
            raise InputError(f"{name} has {n} cells: a comparison needs at least {MIN_SIDE}")
        sides.append(mask)
    shared = int((sides[0] & sides[1]).sum())
    if shared:
        raise InputError(f"{shared:,} cells are in {name_a} and in {name_b}: take them out of one")
    return np.flatnonzero(sides[0]), np.flatnonzero(sides[1])


def _mask(dataset: Dataset, cells: np.ndarray, name: str) -> np.ndarray:
    """Return cells, given as row numbers or bool, as bool (n_cells,)."""
    if cells.dtype == bool:
        if len(cells) != dataset.n_cells:
            raise InputError(
                f"{name} marks {len(cells):,} cells, but dataset {dataset.name!r} has {dataset.n_cells:,}"
            )
        return cells
    if len(cells) and (cells.dtype.kind not in "iu" or cells.min() < 0 or cells.max() >= dataset.n_cells):
        raise InputError(f"{name} has cells that dataset {dataset.name!r} has not: select them again")
    mask = np.zeros(dataset.n_cells, dtype=bool)
    mask[cells.astype(np.int64)] = True
    return mask


def plan(
    dataset: Dataset, rows_a: np.ndarray, rows_b: np.ndarray, min_cells: int | None = None
) -> Plan | None:
    """Return which donors a comparison would go over (`plan_donors`); None without a donor column."""
    if not dataset.has_donors:
        return None
    donors = dataset.donors()
    return plan_donors(donors.iloc[rows_a], donors.iloc[rows_b], min_cells)


def no_test(plan: Plan | None) -> str:
    """Return why there can be no test over donors, empty if there can."""
    if plan is None:
        return "the dataset has no donor column"
    if plan.enough:
        return ""
    donors = f"{len(plan.donors_a)} and {len(plan.donors_b)} donors"
    return f"{donors} have {plan.min_cells} cells in A and B, and a test needs {MIN_DONORS} on each side"


def differential(
    dataset: Dataset,
    cells_a: np.ndarray,
    cells_b: np.ndarray,
    method: str = "auto",
    min_cells: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> Differential:
    """Compare the expression of two groups of cells.

    ``pseudobulk`` sums counts by donor and side and tests over donors (`donor_test`). ``wilcoxon`` ranks
    genes by single cells (`cell_ranking`) of at most 2,000 cells a side drawn evenly over donors, and
    describes only: cells of a donor are no independent samples, and cells chosen by their expression differ
    in it. ``auto`` takes the first wherever each side has three donors.

    Parameters
    ----------
    dataset
        The cells.
    cells_a, cells_b
        The sides: row numbers, or bool (n_cells,); no cell is in both.
    method
        A key of `METHODS`.
    min_cells
        Least cells of a donor on a side (pseudobulk); None: 10, or 5 where only that leaves three donors.
    seed
        Of the cells that are drawn (wilcoxon).
    observer
        Told how far it is.

    Returns
    -------
    Differential
        Its table has gene, log2_fold_change (a over b), share_a, share_b (of cells with a count), mean_a,
        mean_b (of ln(1 + 10,000 * count / total)), the flags of `gene_families`; by pseudobulk base_mean,
        standard_error, statistic, p_value, q_value and remark too, by wilcoxon score.

    Raises
    ------
    InputError
        If the sides can't be compared, or pseudobulk is asked for where there are too few donors.
    """
    check_method(method, min_cells)
    dataset.require_counts("differential expression")
    observer = observer or Observer()
    a, b = check_sides(dataset, cells_a, cells_b)
    planned = plan(dataset, a, b, min_cells)
    reason = no_test(planned)
    if method == "pseudobulk" and reason:
        raise InputError(f"no test over donors: {reason}; take another group, or method 'wilcoxon'")
    facts: dict[str, Any] = {"version": VERSION, "n_cells_a": len(a), "n_cells_b": len(b)}
    if planned is None or reason or method == "wilcoxon":
        facts |= {"method": "wilcoxon", "why": reason or "single cells were asked for", "seed": seed}
        table, more = _by_cells(dataset, a, b, seed, observer)
    else:
        facts |= {"method": "pseudobulk"}
        table, more = _by_donors(dataset, a, b, planned, observer)
    table = table.join(gene_families(table["gene"].to_numpy(dtype=str)).reset_index(drop=True))
    return Differential(table, facts | more)


def _by_donors(
    dataset: Dataset, a: np.ndarray, b: np.ndarray, planned: Plan, observer: Observer
) -> tuple[pd.DataFrame, dict[str, Any]]:
    observer.message(f"pseudobulk of {len(planned.donors_a)} and {len(planned.donors_b)} donors")
    sums = pseudobulk(dataset, a, b, planned, observer)
    table = donor_test(sums, dataset.genes, planned.paired, observer)
    column = dataset.gene_columns(table["gene"].to_numpy(dtype=str))
    for side, name in enumerate("ab"):
        table[f"share_{name}"], table[f"mean_{name}"] = sums.share[side, column], sums.mean[side, column]
    table = table.sort_values(["p_value", "gene"], ignore_index=True)
    found = table["q_value"] < FDR
    used = sums.samples.groupby("side")["n_cells"].sum()
    facts = {
        "design": "donor + side" if planned.paired else "side",
        "paired": planned.paired,
        "min_cells": planned.min_cells,
        "n_donors_a": len(planned.donors_a),
        "n_donors_b": len(planned.donors_b),
        "used_a": int(used["a"]),
        "used_b": int(used["b"]),
        "n_tested": int(table["p_value"].notna().sum()),
        "n_higher": int((found & (table["log2_fold_change"] > 0)).sum()),
        "n_lower": int((found & (table["log2_fold_change"] < 0)).sum()),
        "closest": _closest(table),
        "notes": list(planned.notes),
        "samples": sums.samples.to_dict("list"),
    }
    return table, facts


def _closest(table: pd.DataFrame) -> dict[str, Any]:
    """Return the gene that is nearest to be called higher, and its adjusted p; empty if none has one."""
    up = table[(table["log2_fold_change"] > 0) & table["q_value"].notna()]
    if up.empty:
        return {}
    row = up.sort_values("p_value", kind="stable").iloc[0]
    return {"gene": str(row["gene"]), "q_value": float(row["q_value"])}


def _by_cells(
    dataset: Dataset, a: np.ndarray, b: np.ndarray, seed: int, observer: Observer
) -> tuple[pd.DataFrame, dict[str, Any]]:
    donors = dataset.donors() if dataset.has_donors else None
    drawn = [balanced_sample(donors, rows, MOST_CELLS, seed) for rows in (a, b)]
    observer.message(f"Wilcoxon on {len(drawn[0]):,} and {len(drawn[1]):,} cells")
    observer.progress(0, 1, "ranking genes")
    table = cell_ranking(dataset, *drawn)
    observer.progress(1, 1, "ranking genes")
    notes = [
        f"{len(mine):,} of {len(rows):,} cells of {name} were drawn, evenly over donors"
        for name, mine, rows in zip("AB", drawn, (a, b))
        if len(mine) < len(rows)
    ]
    table = table.sort_values(["score", "gene"], ascending=[False, True], ignore_index=True)
    higher = table.loc[table["score"] > 0, "gene"].head(3).tolist()
    facts = {"used_a": len(drawn[0]), "used_b": len(drawn[1]), "n_tested": len(table), "top": higher}
    return table, facts | {"notes": notes}


def answer(facts: Mapping[str, Any], name_a: str = "A", name_b: str = "B") -> str:
    """Say in one sentence what was found.

    Parameters
    ----------
    facts
        Of a `Differential`, or read from the run's ``differential.json``.
    name_a, name_b
        What the sides are called.
    """
    if facts["method"] == "wilcoxon":
        top = (
            f"; by single cells, the highest in {name_a} are {', '.join(facts['top'])}"
            if facts["top"]
            else ""
        )
        return f"No test of {name_a} against {name_b}: {facts['why']}{top} (descriptive)"
    higher, lower = facts["n_higher"], facts["n_lower"]
    near = facts["closest"]
    closest = f" (closest: {near['gene']}, adjusted p {near['q_value']:.2g})" if near and not higher else ""
    noun = "gene" if higher == 1 else "genes"
    genes = f"{higher:,} {noun} higher{closest} and {lower:,} lower in {name_a} than in {name_b}"
    if not higher + lower:
        genes = f"No gene of {facts['n_tested']:,} is higher or lower in {name_a} than in {name_b}{closest}"
    donors = (
        f"{facts['n_donors_a']} donors, each against itself"
        if facts["paired"]
        else f"{facts['n_donors_a']} and {facts['n_donors_b']} donors"
    )
    return f"{genes} (pseudobulk of {donors}, FDR {FDR:.0%})"


def differential_run(parameters: Mapping[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``differential``.

    Parameters
    ----------
    parameters
        ``data``, ``method``, ``min_cells``, ``seed``.
    folder
        The run's folder with ``cells_a.npy`` and ``cells_b.npy``, row numbers; gets ``differential.json``.
    observer
        Gets the table ``differential``.

    Raises
    ------
    InputError
        If the folder lacks the cells.
    """
    sides = [folder / f"cells_{name}.npy" for name in "ab"]
    if not all(path.is_file() for path in sides):
        raise InputError(f"{folder.name} lacks the cells it compares: ask the question again")
    a, b = (np.load(path, allow_pickle=False) for path in sides)
    dataset = open_dataset(parameters["data"])
    asked = (parameters["method"], parameters["min_cells"], parameters["seed"])
    found = differential(dataset, a, b, *asked, observer)
    home.write_json(folder / FACTS, found.facts)
    observer.table(TABLE, found.table)
    observer.message(answer(found.facts, parameters["name_a"], parameters["name_b"]))

"""The demo's files in ``data/``: where they are, and the gene panel of the simulator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core.errors import NotFoundError

STATES = ("malignant", "cycling", "treated", "relapsed")
"""Columns of a panel's effects that are no cell types."""


@dataclass(frozen=True)
class Panel:
    """The demo's genes, sorted by symbol.

    `level` is the base abundance (log2, relative); `effects` the log2 fold change of each gene (rows) in each
    cell type and state (columns).
    """

    genes: np.ndarray
    roles: np.ndarray
    level: np.ndarray
    effects: pd.DataFrame


def data_file(name: str) -> Path:
    """Return a file of the repository's ``data/`` folder.

    Raises
    ------
    NotFoundError
        If it is not there, as in a package installed without its repository.
    """
    path = Path(__file__).resolve().parents[2] / "data" / name
    if not path.is_file():
        raise NotFoundError(
            f"the demo's file {path} is missing: run from a checkout of the repository (pip install -e .)"
        )
    return path


def read_panel(path: Path | None = None) -> Panel:
    """Read the gene panel (``data/demo_genes.tsv``)."""
    table = pd.read_csv(path or data_file("demo_genes.tsv"), sep="\t", comment="#", keep_default_na=False)
    table = table.sort_values("gene", ignore_index=True)
    cells: list[tuple[str, str]] = []
    folds: list[float] = []
    for gene, text in zip(table["gene"], table["higher_in"]):
        for item in filter(None, text.split(";")):
            where, fold = item.split("=")
            cells.append((gene, where))
            folds.append(float(fold))
    effects = pd.Series(folds, index=pd.MultiIndex.from_tuples(cells)).unstack(fill_value=0)
    return Panel(
        table["gene"].to_numpy(str),
        table["role"].to_numpy(str),
        table["level"].to_numpy(float),
        effects.reindex(table["gene"], fill_value=0.0),
    )


def planted_in_types(panel: Panel | None = None) -> dict[str, list[str]]:
    """Return the genes that the simulator raises in each cell type."""
    panel = panel or read_panel()
    raised = (panel.effects > 0).drop(columns=list(STATES), errors="ignore")
    return {str(name): panel.genes[chosen.to_numpy()].tolist() for name, chosen in raised.items()}


def planted_genes(panel: Panel | None = None) -> dict[str, list[str]]:
    """Return what the simulator planted: the genes that it raises somewhere, by where.

    They are the regulators of the simulation: cells differ in type and state by them alone. All other genes
    vary by donor and by chance.

    Returns
    -------
    dict
        ``a cell type or state`` (all of them), ``malignant cells`` (the AML programme) and ``cell types``.
    """
    panel = panel or read_panel()
    raised = panel.effects > 0
    types = raised.drop(columns=list(STATES), errors="ignore")
    parts = {
        "a cell type or state": raised.any(axis=1),
        "cell types": types.any(axis=1),
        "malignant cells": raised["malignant"],
    }
    return {name: panel.genes[chosen.to_numpy()].tolist() for name, chosen in parts.items()}

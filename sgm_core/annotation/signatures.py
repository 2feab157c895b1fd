"""Scores of signatures as one matrix product a block, and whether predictions agree with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata

from sgm_core.analysis.gene_scores import control_genes
from sgm_core.cells.dataset import Dataset
from sgm_core.resources.store import list_resources, read_gene_sets

MARKERS = "markers: "
N_MARKERS, CONTROLS = 20, 50
CLEAR = 0.75
"""AUROC from which a signature marks a class."""
FEWEST = 20
"""Cells of a class, and of all others, below which its signature is not judged."""
LIKENESS = {
    "HSC-like": "vanGalen_AML_HSC",
    "progenitor-like": "vanGalen_AML_Prog",
    "GMP-like": "vanGalen_AML_GMP",
    "promonocyte-like": "vanGalen_AML_ProMono",
    "monocyte-like": "vanGalen_AML_Mono",
    "cDC-like": "vanGalen_AML_cDC",
}
"""AML cell states of van Galen et al. 2019 (doi:10.1016/j.cell.2019.01.031) and their signatures."""


def registered_signatures() -> dict[str, list[str]]:
    """Return all sets of the signatures that are registered, by name."""
    found: dict[str, list[str]] = {}
    for resource in list_resources("signatures"):
        found |= read_gene_sets(resource.path).terms
    return found


def choose_signatures(
    dataset: Dataset, means: np.ndarray, classes: Sequence[str], sets: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return signatures with controls: `sets`, and the markers of each class.

    Parameters
    ----------
    dataset : the training cells
    means : mean ln(1 + 10,000 count / total) by class and gene (C, G)
    classes : the classes
    sets : gene sets by name, such as those of a GMT
    """
    found: dict[str, Any] = {}
    chosen: dict[str, Sequence[str]] = dict(sets)
    for number, name in enumerate(classes):
        others = np.delete(means, number, axis=0).max(axis=0) if len(classes) > 1 else 0
        best = np.argsort(-(means[number] - others), kind="stable")[:N_MARKERS]
        chosen[MARKERS + name] = [str(gene) for gene in dataset.genes[best]]
    known = set(dataset.genes)
    for name, genes in chosen.items():
        there = [gene for gene in dict.fromkeys(genes) if gene in known]
        controls = control_genes(dataset, there, CONTROLS) if there else []
        if controls:
            found[name] = {"genes": there, "controls": controls, "n_set": len(set(genes))}
    return found


def weights(signatures: Mapping[str, Any], genes: np.ndarray) -> sparse.csr_matrix:
    """Return the matrix (G, S) whose product with values is the scores (n, S)."""
    place = pd.Index(genes)
    rows, columns, values = [], [], []
    for column, each in enumerate(signatures.values()):
        for part, sign in (("genes", 1.0), ("controls", -1.0)):
            at = place.get_indexer(pd.Index(each[part]))
            at = at[at >= 0]
            rows += at.tolist()
            columns += [column] * len(at)
            values += [sign / max(len(at), 1)] * len(at)
    shape = (len(genes), len(signatures))
    return sparse.csr_matrix((values, (rows, columns)), shape=shape, dtype=np.float32)


def describe(signatures: dict[str, Any], scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Add to each signature its mean and SD over the training cells, and its AUROC by class."""
    for column, each in enumerate(signatures.values()):
        own = scores[:, column]
        each |= {"mean": float(own.mean()), "sd": float(own.std()) or 1.0}
        each["auroc"] = {name: auroc(labels == name, own) for name in np.unique(labels).tolist()}
    return signatures


def auroc(inside: np.ndarray, scores: np.ndarray) -> float:
    """Return the chance that a cell inside scores above one outside; NaN without either."""
    if not inside.any() or inside.all():
        return float("nan")
    n, m = int(inside.sum()), int((~inside).sum())
    above = rankdata(scores)[inside].sum() - n * (n + 1) / 2
    return float(above / (n * m))


def expected_signature(signatures: Mapping[str, Any], name: str) -> str | None:
    """Return the signature that marks a class: the clearest of the gene sets, else its own markers."""
    by = {key: each["auroc"].get(name, 0.0) for key, each in signatures.items()}
    outside = {key: value for key, value in by.items() if not key.startswith(MARKERS)}
    for among in (outside, {key: value for key, value in by.items() if key == MARKERS + name}):
        if among and max(among.values()) >= CLEAR:
            return max(among, key=lambda key: among[key])
    return None


def agreement(
    predictions: pd.DataFrame, signatures: Mapping[str, Any], classes: Sequence[str]
) -> pd.DataFrame:
    """Say for each class whether the cells named so score higher on its signature than the others.

    Parameters
    ----------
    predictions : of `sgm_core.annotation.annotate`, with the columns ``best`` and ``score:NAME``
    signatures : of the model
    classes : of the model

    Returns
    -------
    DataFrame
        cell_type, signature, independent (no markers of the training labels), n_cells, auroc,
        auroc_training, flagged (the signature tells less than half as well here as among the training
        cells), note (why it is not judged, else empty).
    """
    best = predictions["best"].to_numpy(str)
    rows = []
    for name in classes:
        inside = best == name
        n, signature = int(inside.sum()), expected_signature(signatures, name)
        row: dict[str, Any] = {"cell_type": name, "signature": signature or "", "n_cells": n}
        row |= {"independent": bool(signature) and not str(signature).startswith(MARKERS)}
        row |= {"auroc": np.nan, "auroc_training": np.nan, "flagged": False, "note": ""}
        if signature is None:
            row["note"] = "no signature marks this class"
        elif min(n, len(best) - n) < FEWEST:
            row["note"] = f"too few cells to judge ({n} of {len(best)})"
        else:
            there = signatures[signature]["auroc"][name]
            here = auroc(inside, predictions[f"score:{signature}"].to_numpy())
            row |= {"auroc": here, "auroc_training": there, "flagged": here < 0.5 + (there - 0.5) / 2}
        rows.append(row)
    return pd.DataFrame(rows)


def likeness(
    predictions: pd.DataFrame, signatures: Mapping[str, Any], samples: np.ndarray | None = None
) -> pd.DataFrame:
    """Return, by sample, the shares of cells that are HSC-like, progenitor-like ... mono-like.

    A cell is like the van Galen AML state whose score is the highest, each standardised by the training
    cells. It is a likeness: whether a cell is malignant is not asked.

    Parameters
    ----------
    predictions : with columns ``score:NAME``; choose the cells that the question is about first
    signatures : of the model
    samples : sample of each cell (n,); all are one by default

    Returns
    -------
    DataFrame
        sample, state, n_cells, share; empty where the model lacks these signatures.
    """
    there = {state: name for state, name in LIKENESS.items() if name in signatures}
    columns = ["sample", "state", "n_cells", "share"]
    if len(there) < 2 or not len(predictions):
        return pd.DataFrame(columns=columns)
    standard = np.stack(
        [(predictions[f"score:{n}"] - signatures[n]["mean"]) / signatures[n]["sd"] for n in there.values()], 1
    )
    states = np.array(list(there))[standard.argmax(1)]
    sample = np.repeat("all", len(states)) if samples is None else np.asarray(samples, str)
    table = pd.crosstab(sample, states).reindex(columns=list(there), fill_value=0)
    long = table.rename_axis("sample").reset_index().melt("sample", var_name="state", value_name="n_cells")
    long["share"] = long["n_cells"] / long.groupby("sample")["n_cells"].transform("sum")
    return long[columns]

"""Quality of cells, and families of genes that a reviewer wants to see flagged."""

import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.cells.dataset import Dataset

# Immediate-early and heat-shock genes that dissociation switches on: van den Brink et al. 2017,
# doi:10.1038/nmeth.4437, and Denisenko et al. 2020, doi:10.1186/s13059-020-02048-6.
_STRESS = frozenset(
    {
        "FOS", "FOSB", "FOSL1", "FOSL2", "JUN", "JUNB", "JUND", "EGR1", "EGR2", "EGR3", "ATF3",
        "IER2", "IER3", "IER5", "ZFP36", "BTG1", "BTG2", "DUSP1", "DUSP2", "NR4A1", "NR4A2", "KLF2",
        "KLF4", "KLF6", "MYADM", "NFKBIA", "SOCS3", "GADD45B", "PPP1R15A", "UBC", "HSPA1A",
        "HSPA1B", "HSPA5", "HSPA6", "HSPA8", "HSPB1", "HSPE1", "HSPH1", "HSP90AA1", "HSP90AB1",
        "DNAJA1", "DNAJB1", "DNAJB4", "HSPD1",
    }
)  # fmt: skip
_SEX = frozenset(
    {
        "XIST", "TSIX", "RPS4Y1", "RPS4Y2", "DDX3Y", "UTY", "USP9Y", "KDM5D", "EIF1AY", "ZFY",
        "TMSB4Y", "NLGN4Y", "TXLNGY", "TTTY14", "TTTY15", "PRKY",
    }
)  # fmt: skip
_HAEMOGLOBIN = frozenset(
    {
        "HBA1", "HBA2", "HBB", "HBD", "HBE1", "HBG1", "HBG2", "HBM", "HBQ1", "HBZ",
    }
)  # fmt: skip
_PATTERNS = {
    "mitochondrial": re.compile(r"MT-.+"),
    "ribosomal": re.compile(r"(RP[LS]\d+[AXYL]?\d*(-\d+)?|RPLP[012]|RPSA|MT-RNR[12]|RNA(5|18|28|45)S.*)"),
    "immunoglobulin_tcr": re.compile(
        r"(IG[HKL][VDJC]\d?.*|IGH[AEGM]\d?P?|IGHD|IGLL\d|JCHAIN|TR[ABDG][VDJC]\d*([-/].+)?)"
    ),
}


def gene_families(genes: Sequence[str] | np.ndarray) -> pd.DataFrame:
    """Flag genes that often dominate for technical or trivial reasons.

    Returns
    -------
    flags
        Indexed by gene; boolean columns mitochondrial, ribosomal, haemoglobin, immunoglobulin_tcr, sex_linked
        and stress (dissociation).
    """
    names = [str(gene) for gene in genes]
    flags = {family: [bool(p.fullmatch(name)) for name in names] for family, p in _PATTERNS.items()}
    return pd.DataFrame(
        {
            "mitochondrial": flags["mitochondrial"],
            "ribosomal": flags["ribosomal"],
            "haemoglobin": [name in _HAEMOGLOBIN for name in names],
            "immunoglobulin_tcr": flags["immunoglobulin_tcr"],
            "sex_linked": [name in _SEX for name in names],
            "stress": [name in _STRESS for name in names],
        },
        index=pd.Index(names, name="gene"),
    )


def cell_quality(ds: Dataset) -> pd.DataFrame:
    """Return the quality of each cell, computed once and kept in the dataset's folder.

    The values of `scanpy.pp.calculate_qc_metrics` (tested), which wants the whole matrix in memory and takes
    seconds to import, where a page waits.

    Returns
    -------
    quality
        One row a cell: n_genes, n_counts, percent_mito (% of the counts in mitochondrial genes; 0 where
        the dataset has none).
    """
    path = ds.path / "quality.parquet"
    if path.is_file():
        return pd.read_parquet(path)
    ds.require_counts("the quality of cells")
    mito = np.flatnonzero(gene_families(ds.genes)["mitochondrial"].to_numpy())
    in_mito = ds.genes_matrix(mito, normalised=False).sum(axis=1, dtype=np.float64)
    quality = quality_table(ds.n_genes_per_cell(), ds.totals(), np.asarray(in_mito).ravel())
    with suppress(OSError):  # it may be that this user may not write there
        home.write_table(path, quality)
    return quality


def quality_table(n_genes: np.ndarray, totals: np.ndarray, in_mito: np.ndarray) -> pd.DataFrame:
    """Return the table of `cell_quality` from genes, counts and mitochondrial counts of each cell (n,)."""
    return pd.DataFrame(
        {
            "n_genes": n_genes.astype(np.int64),
            "n_counts": totals,
            "percent_mito": 100 * in_mito / np.maximum(totals, 1),
        }
    )


def donor_table(ds: Dataset) -> pd.DataFrame:
    """Return one row a donor: cells, labelled cells, classes, median genes, counts and % mitochondrial.

    Without counts there are no medians.
    """
    return _summary(ds, ds.donors().rename("donor"), {"classes": ds.labels()})


def class_table(ds: Dataset) -> pd.DataFrame:
    """Return one row a class: cells, donors, median genes, counts and % mitochondrial.

    Without donors or counts their columns are missing.
    """
    return _summary(ds, ds.labels().rename("cell_type"), {"donors": ds.donors()} if ds.has_donors else {})


def _summary(ds: Dataset, by: pd.Series, distinct: dict[str, pd.Series]) -> pd.DataFrame:
    codes, names = pd.factorize(by, sort=True)
    known = codes >= 0
    table = pd.DataFrame({by.name: names, "cells": np.bincount(codes[known], minlength=len(names))})
    for name, values in distinct.items():
        others = pd.factorize(values)[0]
        both = pd.DataFrame({"a": codes, "b": others})[known & (others >= 0)].drop_duplicates()
        table[name] = np.bincount(both["a"], minlength=len(names))
    if ds.has_counts:
        groups = cell_quality(ds)[known].groupby(codes[known])
        for column in ("n_genes", "n_counts", "percent_mito"):
            table[f"median_{column}"] = groups[column].median().to_numpy()
    return table


def composition(ds: Dataset) -> pd.DataFrame:
    """Return the cells per donor, cell type and timepoint (columns donor, cell_type, timepoint, cells).

    Unlabelled cells count as ``(no label)``; donor and timepoint are empty
    where the dataset has none.
    """
    frame = pd.DataFrame(
        {
            "donor": ds.donors() if ds.has_donors else "",
            "cell_type": ds.labels().fillna("(no label)"),
            "timepoint": ds.annotations[ds.timepoint_column].fillna("") if ds.timepoint_column else "",
        }
    )
    return frame.value_counts(sort=False).rename("cells").reset_index()

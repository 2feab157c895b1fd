"""Genes among the features of a file: antibodies, guides and peaks are no genes."""

from pathlib import Path

import pandas as pd

from sgm_core.errors import InputError

_COLUMNS = ("feature_type", "feature_types", "feature type", "type", "modality")
GENES = "Gene Expression"
_GENE = ("gene expression", "gene", "genes", "expression", "rna", "mrna")
# 10x Genomics, "Feature Reference CSV"; muon and Seurat abbreviate them.
_OTHER = (
    "antibody capture", "antigen capture", "crispr guide capture", "multiplexing capture", "custom", "peaks",
    "adt", "hto", "antibody", "protein", "vdj", "atac", "cre",
)  # fmt: skip
TYPES = frozenset((*_GENE, *_OTHER))  # in lower case


def mark_genes(path: Path, var: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return `var` with genes told from other features, and what there is to say about it.

    The column ``feature_type`` is `GENES` for a gene; without one, everything is a gene. A column counts as
    types if its content does: ``feature_type`` of CELLxGENE is a biotype, and the third column of a genes.tsv
    may be a chromosome.

    Raises
    ------
    InputError
        If there are features and none is a gene.
    """
    lower = {str(column).lower(): column for column in var.columns}
    kinds = None
    for name in _COLUMNS:
        if name in lower:
            values = var[lower[name]].astype(object)
            values = values.where(values.notna(), "").astype(str).str.strip()
            found = set(values.str.lower()) - {""}
            if GENES.lower() in found or (found <= TYPES and found & set(_OTHER)):
                kinds = values
                break
    var = (
        var.rename(columns={lower["feature_type"]: "feature_type_in_file"})
        if "feature_type" in lower
        else var
    )
    if kinds is None:
        return var, []
    gene = kinds.str.lower().isin(_GENE)
    # CellRanger leaves no field empty; files put together by hand do, for genes.
    gene |= kinds == ""
    others = kinds[~gene].value_counts()
    listed = ", ".join(f"{number:,} {kind}" for kind, number in others.items())
    if not gene.any():
        raise InputError(f"{path.name} holds no gene expression: its features are {listed}")
    notes = (
        [f"{int(others.sum()):,} features that are no genes were left out ({listed})"] if len(others) else []
    )
    return var.assign(feature_type=kinds.where(~gene, GENES).to_numpy()), notes

"""What a dataset is, in a sentence and in tables: for pages and reports alike."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, scored_classes
from sgm_core.units import count, written


def dataset_headline(dataset: Dataset) -> str:
    """Say in one sentence how much a dataset holds, and whether all of it can be scored."""
    facts = [count(dataset.n_cells, "cell")]
    if dataset.has_donors:
        facts.append(count(dataset.meta["n_donors"], "donor"))
    if not (dataset.has_counts and dataset.has_donors):
        facts.append(count(dataset.labels().nunique(), "type"))
        if dataset.timepoint_column:
            facts.append(count(dataset.obs[dataset.timepoint_column].nunique(), "timepoint"))
        what = "" if dataset.has_counts else ": coordinates and labels only, no counts"
        return f"{', '.join(facts)}{what}."
    scored, rare = scored_classes(dataset)
    facts.append(count(len(scored) + len(rare), "type"))
    if rare.empty:
        return f"{', '.join(facts)}; every type has enough cells and donors to be scored."
    verb = "is" if len(rare) == 1 else "are"
    return f"{', '.join(facts)}; {count(len(rare), 'type')} {verb} too rare to score."


def fold_donors(folds: Sequence[Fold]) -> pd.DataFrame:
    """Return one row a fold: its test and validation donors, and the number of training donors."""
    return pd.DataFrame(
        [
            {
                "fold": fold.index,
                "test donors": ", ".join(fold.test),
                "validation donors": ", ".join(fold.validation),
                "training donors": len(fold.train),
            }
            for fold in folds
        ]
    )


def gene_losses(report: dict[str, Any], filters: dict[str, Any]) -> pd.DataFrame:
    """Return what happened to the file's genes: what, how many, why, examples."""
    reasons = (
        ("genes_in_file", "In the file", ""),
        ("ensembl_without_symbol", "Ensembl ids without a symbol", "kept under the id"),
        ("other_features", "Other features", "antibodies, guides or peaks, no gene expression"),
        ("summed_duplicates", "Symbols that occurred more than once", "their counts were added up"),
        ("aliases_mapped", "Former symbols", "mapped to the approved symbol"),
        ("ambiguous", "Ambiguous former symbols", "more than one approved symbol, left as they were"),
        ("genes_kept", "In the dataset", ""),
    )
    examples = {
        "summed_duplicates": "summed_examples",
        "aliases_mapped": "aliases_mapped_examples",
        "ambiguous": "ambiguous_examples",
    }
    rows = []
    for key, what, why in reasons:
        if key == "genes_kept" and filters.get("genes_dropped"):
            least = filters.get("min_cells")
            rows.append(("Too rare", filters["genes_dropped"], f"found in fewer than {least} cells", ""))
        if report.get(key):
            shown = report.get(examples.get(key, ""), ())
            rows.append((what, report[key], why, written(list(shown)) if shown else ""))
    table = pd.DataFrame(rows, columns=["genes", "number", "reason", "examples"])
    return table if (table["examples"] != "").any() else table.drop(columns="examples")

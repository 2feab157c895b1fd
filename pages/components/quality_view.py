"""The evidence on the page Datasets: cells, donors, folds and genes of one dataset."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages.components import frame, show, words
from pages.components.kept import kept
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.quality import cell_quality, composition, donor_table
from sgm_core.cells.split import class_coverage, scored_classes
from sgm_core.escape import escape
from sgm_core.figures import quality as figures
from sgm_core.report.dataset_words import dataset_headline, fold_donors, gene_losses
from sgm_core.training.folds import run_folds

_MEASURES = {
    "n_genes": ("Genes per cell", "Genes"),
    "n_counts": ("Counts per cell", "Counts"),
    "percent_mito": ("Mitochondrial share", "% of counts"),
}


@kept("Reads the cells")
def _quality(dataset: Dataset, content_hash: str) -> pd.DataFrame:
    return cell_quality(dataset)


@kept()
def rare_classes(dataset: Dataset, content_hash: str) -> tuple[int, pd.DataFrame]:
    """Return the number of classes, and those too rare to score with the reason."""
    scored, others = scored_classes(dataset)
    return len(scored) + len(others), others


@kept("Counts cells per sample")
def _samples(dataset: Dataset, content_hash: str) -> pd.DataFrame:
    return figures.sample_table(composition(dataset))


@kept("Counts cells per donor")
def _donors(dataset: Dataset, content_hash: str) -> pd.DataFrame:
    return donor_table(dataset)


@kept()
def _types(dataset: Dataset, content_hash: str) -> pd.DataFrame:
    timepoint = dataset.timepoint_column
    when = dataset.obs[timepoint] if timepoint else pd.Series("all cells", index=dataset.obs.index)
    return figures.type_table(dataset.labels().fillna("(no label)"), when.fillna("(no timepoint)"))


@kept("Splits the donors")
def _coverage(
    dataset: Dataset, content_hash: str, scheme: str, n_folds: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    folds = run_folds(dataset, {"split": scheme, "folds": n_folds})
    return fold_donors(folds), class_coverage(dataset, folds)


def views(dataset: Dataset) -> dict[str, Callable[[Dataset], None]]:
    """Return what can be shown of a dataset, by name."""
    found: dict[str, Callable[[Dataset], None]] = {}
    if dataset.has_counts:
        found["Quality"] = cells
    else:
        found["Types"] = types
    if dataset.has_donors:
        found["Donors and types"] = donors
        found["Folds"] = folds
    if dataset.has_counts:
        found["Genes"] = genes
    return found


def headline(dataset: Dataset) -> str:
    """Return the page's finding in one sentence."""
    return _headline(dataset, dataset.content_hash)


@kept("Counts cells per type")
def _headline(dataset: Dataset, content_hash: str) -> str:
    return dataset_headline(dataset)


@st.fragment
def cells(dataset: Dataset) -> None:
    """Show the quality of cells, with ranges that say live what they keep."""
    with frame.guard():
        quality = _quality(dataset, dataset.content_hash)
        verdict = st.container()
        keep = pd.Series(True, index=quality.index)
        for column, (name, (title, unit)) in zip(st.columns(3, gap="medium"), _MEASURES.items(), strict=True):
            with column:
                values = quality[name]
                chart = st.container()
                low, high = _bounds(values)
                if high <= low:
                    st.caption(f"{title}: {low:g} in every cell.")
                    continue
                chosen = st.slider(
                    f"Keep cells with {title.lower()} between",
                    low,
                    high,
                    (low, high),
                    key=f"{name}-{dataset.content_hash[:8]}",
                    format="%g",
                    label_visibility="collapsed",
                )
                with chart:
                    fig = figures.histogram(values, title, unit, chosen)
                    show.figure(
                        fig, f"histogram-{name}", quality[[name]], alt=f"{title}: distribution over cells"
                    )
                keep &= values.between(*chosen)
        verdict.markdown(_kept(keep, dataset))
        st.caption("The ranges here only show what a filter would keep; the data stays as it was imported.")


def _bounds(values: pd.Series) -> tuple[float, float] | tuple[int, int]:
    if pd.api.types.is_integer_dtype(values) or (values % 1 == 0).all():
        return int(values.min()), int(values.max())
    return float(values.min() // 1), float(-(-values.max() // 1))


def _kept(keep: pd.Series, dataset: Dataset) -> str:
    text = f"**Keeps {keep.sum():,} of {words.count(len(keep), 'cell')}** ({keep.mean():.1%})."
    if keep.all():
        return text
    if not dataset.has_donors:
        return text
    share = keep.groupby(dataset.donors().to_numpy()).mean()
    return f"{text} Donor {escape(share.idxmin())} keeps least, {share.min():.0%} of its cells."


def types(dataset: Dataset) -> None:
    """Show which types there are at which timepoint, for datasets of coordinates and labels."""
    table = _types(dataset, dataset.content_hash)
    empty = int((table == 0).sum().sum())
    if dataset.timepoint_column:
        st.markdown(
            f"**{words.count(len(table), 'timepoint')} x {words.count(table.shape[1], 'type')}**: "
            f"{empty:,} of {table.size:,} combinations have no cell."
        )
    fig = figures.donor_heatmap(table, "Cells per timepoint and type" if len(table) > 1 else "Cells per type")
    show.figure(fig, "types", table.reset_index(), alt="Number of cells per timepoint and cell type")
    st.caption(
        "This dataset holds coordinates and labels: quality, training and masks need counts. Its map and "
        "selections of its cells are on the page Cells."
    )
    st.page_link("pages/cells.py", label="Look at its cells", icon=":material/scatter_plot:")


def donors(dataset: Dataset) -> None:
    """Show who has which cells: samples x types, and one row a donor."""
    table = _samples(dataset, dataset.content_hash)
    empty = int((table == 0).sum().sum())
    st.markdown(
        f"**{words.count(len(table), 'sample')} x {words.count(table.shape[1], 'type')}**: "
        f"{empty:,} of {table.size:,} combinations have no cell."
    )
    fig = figures.donor_heatmap(table)
    show.figure(fig, "donors", table.reset_index(), alt="Number of cells per sample and cell type")
    if not dataset.has_counts:
        return
    show.table(
        _donors(dataset, dataset.content_hash),
        "donor-table",
        column_config={
            "donor": "Donor",
            "cells": st.column_config.NumberColumn("Cells", format="localized"),
            "classes": "Types",
            "median_n_genes": st.column_config.NumberColumn("Median genes", format="%.0f"),
            "median_n_counts": st.column_config.NumberColumn("Median counts", format="localized"),
            "median_percent_mito": st.column_config.NumberColumn("Median % mitochondrial", format="%.1f"),
        },
    )


def folds(dataset: Dataset) -> None:
    """Show the donor folds and which classes they cover."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scheme = st.segmented_control(
            "Split",
            ["cv", "holdout"],
            default="cv",
            key="split",
            bind="query-params",
            required=True,
            format_func={"cv": "Cross-validation", "holdout": "Hold-out 80 / 10 / 10"}.__getitem__,
        )
        most = max(2, min(10, dataset.meta["n_donors"]))
        n_folds = st.number_input(
            "Folds",
            2,
            most,
            min(5, most),
            key="folds",
            bind="query-params",
            disabled=scheme != "cv",
            width=120,
        )
        part = st.selectbox(
            "Part", ["test", "validation", "train"], key="part", bind="query-params", width=160
        )
    table, coverage = _coverage(dataset, dataset.content_hash, scheme, n_folds)
    missing = int(((coverage[f"{part}_cells"] == 0) & coverage["scored"]).sum())
    said = f"Every scored class is in the {part} part of every fold."
    if missing:
        classes = words.count(missing, "scored class", "scored classes")
        said = f"**{classes} missing** from the {part} part of some fold."
    st.markdown(f"Donors never cross a split. {said}")
    fig = figures.coverage_heatmap(coverage, part)
    show.figure(fig, "coverage", coverage, alt=f"{part} cells per fold and class")
    show.table(table, "folds")
    _, rare = rare_classes(dataset, dataset.content_hash)
    if not rare.empty:
        st.markdown(
            "**Too rare to be scored**: pretrained on, finetuned on, listed, not in the primary score."
        )
        show.table(rare, "rare")


def genes(dataset: Dataset) -> None:
    """Show how many genes there are, and why others were lost."""
    report, filters = dataset.meta["gene_report"], dataset.meta["filters"]
    st.markdown(f"**{words.count(dataset.n_genes, 'gene')}** in the dataset.")
    rows = gene_losses(report, filters)
    if rows.empty:
        st.caption("Nothing was lost: the genes are those of the source.")
    else:
        show.table(rows, "gene-report")
    shares = {
        "coverage_counts": "of the file's counts are kept",
        "coverage_genes": "of the file's genes are known",
        "coverage_vocabulary": "of the gene list's genes are in the file",
    }
    for key, text in shares.items():
        if key in report:
            st.markdown(f"{report[key]:.1%} {text}.")
    var = dataset.var.assign(detected=dataset.var["n_cells"] / max(dataset.n_cells, 1))
    show.table(
        var.sort_values("n_cells", ascending=False),
        "genes",
        height=300,
        column_config={
            "detected": st.column_config.ProgressColumn(
                "Detected in", format="percent", min_value=0, max_value=1
            ),
            "mean": st.column_config.NumberColumn("Counts per cell", format="%.3f"),
        },
    )

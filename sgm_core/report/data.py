"""The report's sections on the data: where the cells come from, what was left out, who is tested on whom."""

from sgm_core.cells.quality import class_table, donor_table
from sgm_core.cells.split import class_coverage, scored_classes
from sgm_core.figures.quality import coverage_heatmap
from sgm_core.report.content import Block, Drawing, Facts, Said, Section, Table
from sgm_core.report.dataset_words import dataset_headline, fold_donors, gene_losses
from sgm_core.report.source import Source
from sgm_core.training.folds import run_folds
from sgm_core.units import count

_NAMES = {
    "donor": "Donor",
    "cell_type": "Cell type",
    "cells": "Cells",
    "classes": "Types",
    "donors": "Donors",
    "median_n_genes": "Median genes",
    "median_n_counts": "Median counts",
    "median_percent_mito": "Median % mitochondrial",
}


def data_section(source: Source) -> Section:
    """Say where the cells come from, and what the import kept, left out and assumed."""
    dataset = source.dataset
    meta = dataset.meta
    origin, filters = meta.get("source") or {}, meta.get("filters") or {}
    rows = [("Dataset", dataset.name)]
    if origin:
        rows.append(("Source", f"{origin['path']} ({origin['format']}, counts in {origin.get('counts')})"))
    if meta.get("note"):
        rows.append(("Note", str(meta["note"])))
    rows += [("What the import assumed", str(note)) for note in origin.get("notes", ())]
    if filters:
        dropped = f"{filters['cells_dropped']:,} of {count(filters['cells_in_file'], 'cell')} left out"
        rows.append(("Filter of cells", f"at least {filters['min_genes']} genes: {dropped}"))
        lost = f"{count(filters['genes_dropped'], 'gene')} left out"
        rows.append(("Filter of genes", f"found in at least {filters['min_cells']} cells: {lost}"))
    roles = [f"{role.replace('_', ' ')}: {column}" for role, column in meta["roles"].items() if column]
    rows.append(("Columns", ", ".join(roles)))
    if meta.get("unlabelled"):
        rows.append(("Values that mean 'no label'", ", ".join(map(str, meta["unlabelled"]))))
    rows += [("Genes", f"{dataset.n_genes:,}"), ("Content hash", dataset.content_hash)]
    headline = dataset_headline(dataset)
    blocks: list[Block] = [Said(headline), Facts(tuple(rows))]
    losses = gene_losses(meta.get("gene_report") or {}, filters)
    if len(losses):
        blocks.append(
            Table("genes-lost", losses.rename(columns=str.capitalize), "What became of the file's genes")
        )
    if dataset.has_donors:
        blocks.append(Table("donors", donor_table(dataset).rename(columns=_NAMES), "Donors"))
    types = class_table(dataset).rename(columns=_NAMES).sort_values("Cells", ascending=False)
    blocks.append(Table("cell-types", types, "Cell types", most=60))
    return Section("data", "Data and filters", tuple(blocks))


def folds_section(source: Source) -> Section | None:
    """Say which donors each fold tests, and which types can be scored; None where all share a pretraining."""
    run, dataset = source.run, source.dataset
    if (run.kind == "pretrain" and run.parameters.get("fold") is None) or not dataset.has_donors:
        return None
    folds = run_folds(dataset, run.parameters)
    wanted = run.parameters.get("fold")
    if wanted is not None:
        folds = [fold for fold in folds if fold.index == wanted]
    label = run.parameters.get("label")
    coverage = class_coverage(dataset, folds, label)
    crossing = {donor for fold in folds for donor in fold.test if donor in (*fold.train, *fold.validation)}
    said = (
        f"in training and in test: {', '.join(sorted(crossing))}" if crossing else "no donor crosses a split"
    )
    blocks: list[Block] = [Said(f"{count(len(folds), 'fold')}, {said}.", limits=bool(crossing))]
    blocks.append(Table("folds", fold_donors(folds).rename(columns=str.capitalize)))
    missing = int(((coverage["test_cells"] == 0) & coverage["scored"]).sum())
    if missing:
        classes = count(missing, "scored class", "scored classes")
        blocks.append(Said(f"{classes} missing from the test part of some fold.", limits=True))
    fig = coverage_heatmap(coverage, "test")
    blocks.append(Drawing("coverage", fig, "Test cells per fold and type", coverage))
    _, rare = scored_classes(dataset, label)
    if len(rare):
        names = {"cell_type": "Cell type", "n_cells": "Cells", "n_donors": "Donors", "reason": "Reason"}
        blocks.append(Table("not-scored", rare.rename(columns=names), "Types too rare to be scored"))
    return Section("folds", "Donors and folds", tuple(blocks))

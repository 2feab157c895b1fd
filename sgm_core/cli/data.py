"""`sgm data`: import, list, show and split datasets."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.fetch import register_fetch
from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.cells.dataset import Dataset
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm data`` and its commands."""
    parser = sub.add_parser("data", help="import, list, show and split datasets")
    data_sub = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _register_import(data_sub)
    register_fetch(data_sub)
    add_command(data_sub, "list", "list the datasets", _list)
    show = add_command(data_sub, "show", "show a dataset: where it comes from, its donors and quality", _show)
    show.add_argument("name", metavar="NAME")
    complete = add_command(
        data_sub, "complete", "make what an older program's import lacks: counts by gene, sums", _complete
    )
    complete.add_argument("name", metavar="NAME")
    split = add_command(data_sub, "split", "show donor folds and which classes they cover", _split)
    split.add_argument("name", metavar="NAME")
    split.add_argument(
        "--scheme",
        choices=("cv", "holdout", "authors"),
        default="cv",
        help="folds, 80/10/10 by donor, or the authors' five draws of its test cells",
    )
    split.add_argument("--folds", type=int, default=5, help="number of folds (default 5)")
    split.add_argument("--label", metavar="COL", help="label column (default: the dataset's cell type)")


def _register_import(sub: argparse._SubParsersAction[Any]) -> None:
    parser = add_command(sub, "import", "import a file of raw counts (or a map) as a dataset", _import)
    parser.add_argument(
        "file", metavar="FILE",
        help="h5ad, 10x .h5 or folder, loom, CSV/TSV, GEO dem/anno pairs; or coordinates and labels without "
        "counts (parquet, CSV/TSV)",
    )  # fmt: skip
    parser.add_argument("--name", required=True, help="name of the dataset")
    parser.add_argument("--donor", metavar="COL", help="column of the donor")
    parser.add_argument("--cell-type", metavar="COL", help="column of the cell type")
    parser.add_argument("--timepoint", metavar="COL", help="column of the timepoint")
    parser.add_argument(
        "--unlabelled", metavar="VALUE", nargs="+", action="extend", default=[],
        help="values of the cell type that mean 'no label' (nan: cells without a value); "
        "COLUMN=VALUE for another label",
    )  # fmt: skip
    parser.add_argument(
        "--cells", metavar="TABLE", help="table of cells (CSV, TSV, parquet) to add, by cell name"
    )
    parser.add_argument("--genes", metavar="LIST", help="keep only the genes of this list")
    parser.add_argument(
        "--aliases", metavar="MAP", help="alias table Symbol -> Approved.Symbol (file or name)"
    )
    parser.add_argument("--min-genes", type=int, default=200, help="genes a cell must have (default 200)")
    parser.add_argument("--min-cells", type=int, default=3, help="cells a gene must be in (default 3)")
    parser.add_argument(
        "--map", nargs=2, metavar=("X", "Y"),
        help="columns of the coordinates in a table without counts (default: found by their names)",
    )  # fmt: skip
    parser.add_argument("--layer", help="where the counts are: X, raw or a layer (default: found by testing)")


def _import(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.build import import_dataset

    dataset = import_dataset(
        args.file, args.name, args.donor, args.cell_type, args.timepoint, args.unlabelled, args.genes,
        args.aliases, args.min_genes, args.min_cells, args.layer, observer, cells=args.cells,
        map_columns=args.map,
    )  # fmt: skip
    return Output(dataset.meta, _describe(dataset))


def _describe(dataset: Dataset) -> str:
    """Return what a dataset is, in a few lines."""
    from sgm_core.cells.facts import is_complete

    meta = dataset.meta
    source, filters, report = meta["source"], meta["filters"], meta["gene_report"]
    labels = dataset.labels()
    simulated = "  SIMULATED" if dataset.simulated else ""
    genes = f"{dataset.n_cells:,} cells x {dataset.n_genes:,} genes"
    what = genes if dataset.has_counts else f"{dataset.n_cells:,} cells, coordinates and labels only"
    donors = f"{meta['n_donors']} donors, " if dataset.has_donors else ""
    lines = [f"{dataset.name}: {what}, {donors}{labels.nunique()} classes{simulated}"]
    if source:
        place = f", counts in {source['counts']}" if dataset.has_counts else ""
        lines.append(f"  from      {source['path']} ({source['format']}{place})")
        lines += [f"  note      {note}" for note in source.get("notes", ())]
    if filters:
        lines.append(
            f"  filters   {filters['cells_dropped']:,} of {filters['cells_in_file']:,} cells dropped "
            f"(under {filters['min_genes']} genes), {filters['genes_dropped']:,} genes "
            f"(in under {filters['min_cells']} cells)"
        )
    lines.append(
        "  columns   " + ", ".join(f"{role}: {column}" for role, column in meta["roles"].items() if column)
    )
    if not is_complete(dataset):
        lines.append(f"  lacks     counts by gene, for speed: 'sgm data complete {dataset.name}'")
    if maps := dataset.maps():
        lines.append(f"  maps      {', '.join(maps)}")
    without = int(labels.isna().sum())
    if without:
        lines.append(
            f"  unlabelled {without:,} cells ({', '.join(meta['unlabelled'])}): pretrain only, never scored"
        )
    if report:
        lines.append("  genes     " + _describe_genes(report))
    return "\n".join(lines)


def _describe_genes(report: dict[str, Any]) -> str:
    parts = [f"{report['genes_in_file']:,} in the file", f"{report['summed_duplicates']:,} symbols summed"]
    if "symbols_from" in report:
        parts.append(f"symbols from column {report['symbols_from']}")
    if "aliases_mapped" in report:
        parts.append(
            f"{report['aliases_mapped']:,} aliases mapped, {report['ambiguous']:,} ambiguous left alone"
        )
    if "vocabulary" in report:
        parts.append(
            f"{report['vocabulary_found']:,} of the list's {report['vocabulary']:,} found, "
            f"holding {report['coverage_counts']:.1%} of the counts"
        )
    return "; ".join(parts)


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    import pandas as pd

    from sgm_core.cells.dataset import damaged_datasets, list_datasets

    datasets, damaged = list_datasets(), damaged_datasets()
    rows = [
        {
            "name": ds.name,
            "cells": ds.n_cells,
            "genes": ds.n_genes,
            "donors": ds.meta["n_donors"],
            "simulated": ds.simulated,
            "created": ds.meta["created"],
        }
        for ds in datasets
    ]
    text = (
        pd.DataFrame(rows).to_string(index=False)
        if rows
        else "no dataset yet: import one with 'sgm data import'"
    )
    text = "\n".join([text, *(f"{name}  damaged: {reason}" for name, reason in damaged.items())])
    return Output({"datasets": rows, "damaged": damaged}, text)


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.cells.quality import class_table, donor_table

    dataset = open_dataset(args.name)
    frames = {"classes": class_table(dataset)}
    if dataset.has_donors:
        frames = {"donors": donor_table(dataset), **frames}
    data = {**dataset.meta, **{name: frame.to_dict("records") for name, frame in frames.items()}}
    tables = [frame.round(2).to_string(index=False) for frame in frames.values()]
    return Output(data, "\n\n".join([_describe(dataset), *tables]))


def _complete(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.cells.facts import gene_moments
    from sgm_core.cells.quality import cell_quality

    dataset = open_dataset(args.name)
    gene_moments(dataset, observer)
    cell_quality(dataset)
    return Output({"name": dataset.name}, f"{dataset.name} has its counts by gene and the sums of each donor")


def _split(args: argparse.Namespace, observer: Observer) -> Output:
    from dataclasses import asdict

    from sgm_core.cells.dataset import open_dataset
    from sgm_core.cells.split import class_coverage, fold_cells, scored_classes
    from sgm_core.training.folds import scored_folds

    dataset = open_dataset(args.name)
    # those of a run: its seed plays no part
    folds = scored_folds(dataset, {"split": args.scheme, "folds": args.folds, "label": args.label})
    coverage = class_coverage(dataset, folds, args.label)
    scored, others = scored_classes(dataset, args.label)
    lines = ["draws of the test cells of one split: no donor folds"] if args.scheme == "authors" else []
    for fold in folds:
        sizes = [len(rows) for rows in fold_cells(dataset, fold)]
        lines.append(
            f"fold {fold.index}: {sizes[0]:,} / {sizes[1]:,} / {sizes[2]:,} cells to train / validate / test"
        )
        lines += [f"  test        {', '.join(fold.test)}", f"  validation  {', '.join(fold.validation)}"]
    table = coverage.assign(entry=[f"{c} ({d})" for c, d in zip(coverage.test_cells, coverage.test_donors)])
    table = table.pivot(index="cell_type", columns="fold", values="entry").rename(columns="fold {}".format)
    lines += ["", "test cells (donors) per class:", table.to_string()]
    lines.append(f"\n{len(scored)} classes are scored")
    lines += [f"  not scored: {row.cell_type} ({row.reason})" for row in others.itertuples()]
    data = {
        "dataset": dataset.name,
        "scheme": args.scheme,
        "folds": [asdict(fold) for fold in folds],
        "scored_classes": scored,
        "not_scored": others.to_dict("records"),
        "coverage": coverage.to_dict("records"),
    }
    return Output(data, "\n".join(lines))

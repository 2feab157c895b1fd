"""`sgm data fetch`: download a public dataset and import it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.progress import Observer


def register_fetch(data_sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm data fetch``."""
    parser = add_command(data_sub, "fetch", "download a public AML dataset and import it", _fetch)
    parser.add_argument("source", metavar="SOURCE", help="vangalen2019 (GEO) or ennis2023 (Zenodo)")
    parser.add_argument("--name", help="name of the dataset (default: the source's)")
    parser.add_argument("--base-url", metavar="URL", help="a mirror with the same paths as the source")


def _fetch(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.catalog import fetch

    dataset = fetch(args.source, args.name, args.base_url, observer)
    size = f"{dataset.n_cells:,} cells x {dataset.n_genes:,} genes, {dataset.meta['n_donors']} donors"
    return Output(dataset.meta, f"{dataset.name}: {size}")

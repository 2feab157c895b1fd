"""`sgm embed`: embed the cells of a dataset or a file with imported weights."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.progress import Observer

_OPTIONS = (
    "key", "pool", "target_depth", "genes_out", "precision", "device", "batch_tokens", "max_tokens",
    "max_cells", "seed",
)  # fmt: skip


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm embed``."""
    parser = add_command(
        sub, "embed", "embed cells with imported weights; repeat the command to resume", _embed
    )
    parser.add_argument("--data", required=True, metavar="NAME|FILE", help="a dataset, or a file of counts")
    parser.add_argument(
        "--weights", "--backbone", required=True, metavar="NAME", help="imported weights (sgm weights list)"
    )
    parser.add_argument(
        "--out", required=True, metavar="X.h5ad|X.npy",
        help="h5ad with obsm X_scfoundation (X_scgpt, X_scbert), or npy with a json of the cells beside it",
    )  # fmt: skip
    parser.add_argument(
        "--key",
        choices=("cell", "gene", "rde"),
        default="cell",
        help="weight set of scFoundation (default cell)",
    )
    parser.add_argument(
        "--pool", metavar="NAME",
        help="scFoundation: all (S, T, max and mean; default) or max; scGPT: cls (default), mean or "
        "weighted; scBERT: mean (default), gene-mean or cls",
    )  # fmt: skip
    parser.add_argument(
        "--target-depth", default="t4", metavar="t4|f1|a5",
        help="read depth aimed at: t4 10^4 counts (default), f2 twice the cell's, a1 ten times the cell's",
    )  # fmt: skip
    parser.add_argument(
        "--genes-out", metavar="Y.npy",
        help="also write the mean over cells of the gene embeddings (weight set gene); takes much longer",
    )  # fmt: skip
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default fp32")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--max-cells", type=int, metavar="N", help="take N cells, evenly spread")
    parser.add_argument(
        "--max-tokens", type=int, default=15_000, metavar="N", help="most tokens of one cell (default 15,000)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="of scGPT's random bins, and of the genes read of a cell over its length limit (default 0)",
    )  # fmt: skip
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="most tokens at once; only for speed")


def _embed(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.embedding.files import embed_to_file
    from sgm_core.training.memory import keep_freed_memory

    keep_freed_memory()
    given = {name: getattr(args, name) for name in _OPTIONS}
    done = embed_to_file(args.data, args.weights, args.out, **given, observer=observer)
    lines = [f"{done['out']}: {done['n_cells']:,} cells x {done['width']:,} ({done['key']}, {done['pool']})"]
    if args.genes_out:
        lines.append(f"{done['genes_out']}: gene embeddings, mean over the cells")
    return Output(done, "\n".join([*lines, done["licence"]]))

"""`sgm de`: which genes are higher in one group of cells than in another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    import numpy as np

    from sgm_core.cells.dataset import Dataset
    from sgm_core.progress import Observer

_SHOWN = ("gene", "log2_fold_change", "score", "p_value", "q_value", "share_a", "share_b", "mean_a", "mean_b")


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm de``."""
    de = add_command(
        sub, "de", "which genes are higher in one group of cells than in another (over donors)", _de
    )
    de.add_argument("name", metavar="NAME", help="the dataset")
    de.add_argument(
        "--a", action="append", required=True, metavar="COLUMN=LEVEL",
        help="the cells of A; several are joined by 'and', levels of one by '|'",
    )  # fmt: skip
    de.add_argument(
        "--b", action="append", metavar="COLUMN=LEVEL", help="the cells of B (default: all that are not in A)"
    )
    de.add_argument(
        "--method", choices=("auto", "pseudobulk", "wilcoxon"), default="auto",
        help="auto (default): pseudobulk where each side has three donors, else Wilcoxon, which describes",
    )  # fmt: skip
    de.add_argument(
        "--min-cells", type=int, metavar="N",
        help="least cells of a donor on a side (default 10, or 5 where only that leaves three donors)",
    )  # fmt: skip
    de.add_argument("--top", type=int, default=20, help="genes to print (default 20)")


def _de(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.analysis.differential import answer
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.runs.differential import create_differential, read_differential
    from sgm_core.runs.worker import run_in_foreground

    dataset = open_dataset(args.name)
    dataset.require_counts("differential expression")
    a, name_a = _cells(dataset, args.a)
    if args.b:
        b, name_b = _cells(dataset, args.b)
    else:
        b, name_b = ~a, "all other cells"
    run = create_differential(dataset, a, b, name_a, name_b, args.method, args.min_cells)
    run_in_foreground(run, observer)
    table, facts = read_differential(run)
    shown = [name for name in _SHOWN if name in table]
    path = run.table_path("differential")
    lines = [f"{answer(facts, name_a, name_b)}.", *(f"  {note}" for note in facts["notes"]), ""]
    lines += [table[shown].head(args.top).to_string(index=False, float_format=lambda v: f"{v:.4g}")]
    lines += ["", f"the whole table ({len(table):,} genes): {path}"]
    data = {"run": run.id, "answer": answer(facts, name_a, name_b), **facts, "path": str(path)}
    return Output(data | {"genes": table.to_dict("records")}, "\n".join(lines))


def _cells(dataset: Dataset, filters: list[str]) -> tuple[np.ndarray, str]:
    """Return the cells that meet all filters, bool (n_cells,), and what they are called."""
    import numpy as np

    from sgm_core.errors import InputError

    chosen, names = np.ones(dataset.n_cells, dtype=bool), []
    for text in filters:
        column, sign, wanted = text.partition("=")
        if not sign or not wanted:
            raise InputError(f"{text!r} is no filter: write COLUMN=LEVEL, for example condition=AML")
        labels = dataset.labels(column)
        levels = wanted.split("|")
        unknown = sorted(set(levels) - set(labels.dropna()))
        if unknown:
            there = ", ".join(sorted(set(labels.dropna()))[:20])
            raise InputError(f"column {column!r} has no level {unknown[0]!r}; it has {there}")
        chosen &= labels.isin(levels).to_numpy()
        names.append(" or ".join(levels))
    return chosen, ", ".join(names)

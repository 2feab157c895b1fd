"""Where each term's genes lie among all genes of a run, as a run: the same question has one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sgm_core import home
from sgm_core import tables as run_tables
from sgm_core.analysis.prerank import RANKED, VERSION
from sgm_core.errors import NotFoundError
from sgm_core.resources.store import Resource
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, open_run

if TYPE_CHECKING:
    import pandas as pd


def prerank_id(
    run: Run,
    arm: str,
    by: str,
    library: Resource,
    sizes: tuple[int, int],
    without: Collection[str] = (),
    seed: int = 0,
) -> str:
    """Return the ID that a question's run has: it follows from the masks, the library and how it is asked.

    Parameters
    ----------
    run, arm, by
        Whose genes, and what they are ranked by, as `sgm_core.runs.terms.gene_values` takes them.
    library
        The gene sets.
    sizes
        Genes of the smallest and the largest term.
    without
        Genes to leave out.
    seed
        Of the permutations.
    """
    stamps = run_tables.stamp(run.table_path("masks")), run_tables.stamp(library.path)
    asked = [VERSION, run.id, arm, by, str(library.path), *stamps, *sizes, sorted(without), seed]
    return f"prerank-{run.dataset_name[:36]}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:10]}"


def create_prerank(
    run: Run,
    arm: str,
    by: str,
    library: Resource,
    sizes: tuple[int, int],
    without: Collection[str],
    values: pd.Series,
    seed: int = 0,
) -> Run:
    """Make the run that ranks all genes, or return the one that exists; nothing is started.

    Parameters
    ----------
    run, arm, by, library, sizes, without, seed
        As in `prerank_id`.
    values
        What the genes are ranked by (index: gene), see `sgm_core.runs.terms.gene_values`.
    """
    run_id = prerank_id(run, arm, by, library, sizes, without, seed)
    try:
        asked = open_run(run_id)
    except NotFoundError:
        parameters: dict[str, Any] = {"data": run.dataset_name, "run": run.id, "arm": arm, "by": by}
        parameters |= {"library": library.name, "path": str(library.path), "seed": seed}
        parameters |= {"min_size": sizes[0], "max_size": sizes[1]}
        asked = create_run("prerank", run.dataset_name, parameters, run_id=run_id)
    path = asked.table_path(RANKED)
    if not path.exists():
        values = values.drop(index=list(without), errors="ignore")
        home.write_table(path, values.rename("value").rename_axis("gene").reset_index())
    return asked

"""Take verdicts from files: all or nothing of what can be read, nothing twice, nothing newer covered up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sgm_core.access import acts
from sgm_core.errors import InputError, NotFoundError
from sgm_core.review.database import writing
from sgm_core.review.queue import maskable_genes
from sgm_core.review.reading import read_steps
from sgm_core.review.store import Verdict, add_steps, verdicts
from sgm_core.runs.run import Run, now
from sgm_core.runs.store import open_run

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Parameters
    ----------
    taken
        Steps that are new here.
    known
        Rows that were here already, or twice in the file.
    left_out
        What was not taken and why, a phrase each.
    notes
        What was changed to take a row (names of genes), a phrase each.
    """

    taken: int
    known: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        parts = [f"{_rows(self.taken, 'verdict')} taken"]
        parts += [f"{_rows(self.known, 'row')} known already"] if self.known else []
        parts += [f"left out: {'; '.join(self.left_out)}"] if self.left_out else []
        return "; ".join([*parts, *self.notes])


@acts("import verdicts", lambda path, run=None: Path(path).name)
def import_verdicts(path: str | Path, run: str | Run | None = None) -> Imported:
    """Take verdicts from a file of `export_verdicts`, or from any table with gene, reviewer and verdict.

    A row that can't be read stops the whole import and changes nothing. Rows of runs that are not here, and
    of genes that their run could not hide, are left out and named. What is known already is not taken twice,
    and nothing newer is covered up: the latest verdict holds.

    Parameters
    ----------
    path
        ``.csv`` (any common encoding and separator) or ``.json``.
    run
        Take the rows of this run alone; of a table without the column ``run`` all are its.

    Raises
    ------
    NotFoundError
        If there is no such file or run.
    InputError
        If it is no such table, a row of it can't be read, or none of its rows can be taken.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    wanted = open_run(run) if isinstance(run, str) else run
    rows = read_steps(path, wanted.id if wanted else None)
    steps, left_out, notes = _placed(rows, wanted, renaming=path.suffix.lower() != ".json")
    if rows and not steps:
        raise InputError(f"{path.name} holds no verdict that can be taken: {'; '.join(left_out)}")
    fresh = _without_repeats(steps)
    with writing() as connection:
        taken = add_steps(connection, fresh)
    return Imported(taken, len(steps) - taken, tuple(left_out), tuple(notes))


def _placed(
    rows: list[Verdict], wanted: Run | None, renaming: bool
) -> tuple[list[Verdict], list[str], list[str]]:
    """Return the steps whose run and gene are here, in the run's names; what is left out; what changed."""
    steps: list[Verdict] = []
    left_out: list[str] = []
    notes: list[str] = []
    for run_id, n in Counter(row.run for row in rows).items():
        called = run_id[:60] or "none named"
        if wanted is not None and run_id != wanted.id:
            left_out.append(f"{_rows(n, 'row')} of another run ({called})")
            continue
        try:
            known = maskable_genes(wanted or open_run(run_id))
        except (NotFoundError, InputError):
            left_out.append(f"{_rows(n, 'row')} of a run that is not here ({called})")
            continue
        mine = [row for row in rows if row.run == run_id]
        names, said = _own_names({row.gene for row in mine}, known, renaming)
        notes += said
        # a history keeps its names: what was taken back is known by a hash that the gene is part of
        steps += [Verdict(**asdict(row) | {"gene": names[row.gene]}) for row in mine if row.gene in names]
        lost = [row.gene for row in mine if row.gene not in names]
        if lost:
            unknown = sorted(set(lost))
            shown = ", ".join(gene[:30] for gene in unknown[:_SHOWN])
            more = " ..." if len(unknown) > _SHOWN else ""
            left_out.append(f"{_rows(len(lost), 'row')} on genes that the run could not hide ({shown}{more})")
    return steps, left_out, notes


def _own_names(genes: Iterable[str], known: list[str], renaming: bool) -> tuple[dict[str, str], list[str]]:
    """Return each gene's name in the run, as far as it has one, and what had to be changed for that."""
    from sgm_core.analysis.universe import fit_list

    there = set(known)
    names = {gene: gene for gene in genes if gene in there}
    notes: list[str] = []
    for gene in sorted(set(genes) - there) if renaming else ():
        fitted = fit_list([gene], known)  # one by one, so that each answer is its own
        if fitted.genes:
            names[gene] = fitted.genes[0]
            notes += fitted.notes
    return names, notes


def _without_repeats(steps: list[Verdict]) -> list[Verdict]:
    """Give steps without a time the present one, unless they say what holds already."""
    here: dict[str, pd.DataFrame] = {}
    fresh: dict[str, Verdict] = {}
    for step in steps:
        if step.time:
            fresh[step.id] = step
            continue
        held = here.setdefault(step.run, verdicts(step.run))
        same = held[(held["gene"] == step.gene) & (held["reviewer"] == step.reviewer)]
        said = (step.verdict, step.tags, step.comment)
        if said in set(zip(same["verdict"], same["tags"], same["comment"])):
            continue
        key = repr((step.run, step.gene, step.reviewer, *said))
        fresh[key] = Verdict(**asdict(step) | {"time": now()})
    return list(fresh.values())


def _rows(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"

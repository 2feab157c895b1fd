"""Verdicts on genes: who said what of which gene, when, on which statistics. Nothing said is ever lost.

A judgement is a step that is added; so is taking one back. What holds of a gene and a reviewer is the latest
step that was not taken back, so two people on one gene never overwrite each other, and two copies of a
history can be put together in any order.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sgm_core.access import acts
from sgm_core.errors import InputError
from sgm_core.review import kinds
from sgm_core.review.database import reading, writing
from sgm_core.runs.run import Run, now

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "run", "ranking", "gene", "reviewer", "verdict", "tags", "comment", "time", "statistics_version",
)  # fmt: skip
_HISTORY = ("id", *COLUMNS, "undoes")
_HOLDS = "verdict IS NOT NULL AND id NOT IN (SELECT undoes FROM steps WHERE undoes IS NOT NULL)"
ANY = "any"
"""For `record`: whatever the reviewer said of the gene before."""


@dataclass(frozen=True)
class Verdict:
    """A step of the history.

    Parameters
    ----------
    run, ranking, gene
        The run, the ranking in which the gene was met (empty if in none), the gene.
    reviewer
        Who says so.
    verdict
        One of `sgm_core.review.kinds.VERDICTS`; None for a step that takes another one back.
    tags
        Free tags joined by ``"; "``.
    comment
        Free text.
    time
        UTC, ISO 8601 to the millisecond.
    statistics_version
        Of the statistics that the reviewer saw, see `sgm_core.review.queue.statistics_version`.
    undoes
        The `id` of the step taken back, else None.
    """

    run: str
    ranking: str
    gene: str
    reviewer: str
    verdict: str | None
    tags: str
    comment: str
    time: str
    statistics_version: str
    undoes: str | None = None

    @property
    def id(self) -> str:
        """A hash of all of it: the same step has the same name on every machine."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


@acts(
    "review",
    lambda run, gene, verdict, *_, **__: f"{_id(run)} {gene}: {verdict}",
    lambda run, gene, verdict, reviewer, *_, **__: reviewer,
)
def record(
    run: str | Run,
    gene: str,
    verdict: str,
    reviewer: str,
    *,
    ranking: str = "",
    tags: str | Iterable[str] = (),
    comment: str = "",
    statistics_version: str = "",
    seen: str | None = ANY,
) -> Verdict:
    """Say what a gene is; what the reviewer said of it before stays in the history.

    Parameters
    ----------
    run
        The run, or its ID.
    gene
        A gene that it could hide; callers check that.
    verdict, reviewer, ranking, tags, comment, statistics_version
        As in `Verdict`.
    seen
        The `id` of this reviewer's verdict on the gene as it was shown, None where none was: another one
        that came meanwhile is not covered up. `ANY` looks at nothing.

    Raises
    ------
    InputError
        If a value can't be used, the reviewer judged the gene elsewhere since `seen`, or nothing can be
        written (`sgm_core.review.database.writing`).
    """
    run_id, gene = _id(run), gene.strip()
    if not gene:
        raise InputError("a verdict needs a gene")
    verdict, reviewer = kinds.check_verdict(verdict), kinds.check_reviewer(reviewer)
    tags, comment = kinds.check_tags(tags), kinds.check_comment(comment)
    ranking, statistics_version = kinds.check_comment(ranking), kinds.check_comment(statistics_version)
    with writing() as connection:
        before = _current(connection, run_id, gene, reviewer)
        if seen != ANY and seen != (before and before["id"]):
            said = f"as {kinds.verdict_name(before['verdict'])!r}" if before else "and took it back"
            raise InputError(
                f"{reviewer} judged {gene} in another window meanwhile, {said}: look at it, then say it again"
            )
        step = Verdict(
            run_id, ranking, gene, reviewer, verdict, tags, comment,
            _next_time(connection, run_id, gene, reviewer), statistics_version,
        )  # fmt: skip
        add_steps(connection, [step])
    return step


@acts(
    "review",
    lambda run, reviewer, gene=None: f"{_id(run)} {gene or 'the last gene'}: taken back",
    lambda run, reviewer, gene=None: reviewer,
)
def undo(run: str | Run, reviewer: str, gene: str | None = None) -> Verdict | None:
    """Take back a reviewer's latest verdict that holds, of one gene or any; returns it, None without one.

    What the reviewer said of the gene before holds again. Both steps stay in the history.

    Raises
    ------
    InputError
        As in `record`.
    """
    run_id, reviewer = _id(run), kinds.check_reviewer(reviewer)
    with writing() as connection:
        last = _current(connection, run_id, gene, reviewer)
        if last is None:
            return None
        taken = Verdict(**{name: last[name] for name in (*COLUMNS, "undoes")})
        when = _next_time(connection, run_id, taken.gene, reviewer)
        step = Verdict(run_id, taken.ranking, taken.gene, reviewer, None, "", "", when, "", taken.id)
        add_steps(connection, [step])
    return taken


def verdicts(run: str | Run | None = None) -> pd.DataFrame:
    """Return the verdicts that hold: the latest of each reviewer on each gene, without those taken back.

    Parameters
    ----------
    run
        A run or its ID; all runs by default.

    Returns
    -------
    DataFrame
        run, ranking, gene, reviewer, verdict (one of `sgm_core.review.kinds.VERDICTS`), tags (joined by
        ``"; "``), comment, time (UTC, ISO 8601), statistics_version. By run, gene, reviewer; all text.

    Raises
    ------
    InputError
        If the verdicts can't be read.
    """
    where, values = ("run = ? AND", [_id(run)]) if run is not None else ("", [])
    latest = "ROW_NUMBER() OVER (PARTITION BY run, gene, reviewer ORDER BY time DESC, number DESC) AS place"
    return _frame(
        f"SELECT {', '.join(COLUMNS)} FROM (SELECT *, {latest} FROM steps WHERE {where} {_HOLDS}) "
        "WHERE place = 1 ORDER BY run, gene, reviewer",
        values,
        COLUMNS,
    )


def history(run: str | Run | None = None, gene: str | None = None) -> pd.DataFrame:
    """Return every step, the oldest first: the columns of `verdicts`, with id and undoes.

    A step that takes another one back has no verdict, and names that in ``undoes``.

    Parameters
    ----------
    run, gene
        Of which run and gene; all by default.
    """
    asked = {"run": None if run is None else _id(run), "gene": gene}
    given = {name: value for name, value in asked.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given) or "1"
    query = f"SELECT {', '.join(_HISTORY)} FROM steps WHERE {where} ORDER BY time, number"
    return _frame(query, list(given.values()), _HISTORY)


def current_id(run: str | Run, gene: str, reviewer: str) -> str | None:
    """Return the `id` of the verdict that holds of a gene and a reviewer, for `record`."""
    with reading() as connection:
        found = None if connection is None else _current(connection, _id(run), gene, reviewer)
    return None if found is None else str(found["id"])


def add_steps(connection: sqlite3.Connection, steps: Iterable[Verdict]) -> int:
    """Add steps within a transaction of `sgm_core.review.database.writing`; returns how many were new."""
    names = ", ".join(_HISTORY)
    marks = ", ".join(f":{name}" for name in _HISTORY)
    before = connection.total_changes
    query = f"INSERT INTO steps ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING"
    connection.executemany(query, [asdict(step) | {"id": step.id} for step in steps])
    return connection.total_changes - before


def _current(
    connection: sqlite3.Connection, run_id: str, gene: str | None, reviewer: str
) -> dict[str, Any] | None:
    of, values = ("AND gene = ?", [run_id, reviewer, gene]) if gene else ("", [run_id, reviewer])
    row = connection.execute(
        f"SELECT {', '.join(_HISTORY)} FROM steps WHERE run = ? AND reviewer = ? {of} AND {_HOLDS} "
        "ORDER BY time DESC, number DESC LIMIT 1",
        values,
    ).fetchone()
    return dict(zip(_HISTORY, row)) if row else None


def _next_time(connection: sqlite3.Connection, run_id: str, gene: str, reviewer: str) -> str:
    """Return the time, later than all that the reviewer said of the gene, even if a clock went back."""
    query = "SELECT MAX(time) FROM steps WHERE run = ? AND gene = ? AND reviewer = ?"
    last, time = connection.execute(query, (run_id, gene, reviewer)).fetchone()[0], now()
    if last is None or last < time:
        return time
    later = datetime.fromisoformat(last) + timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _frame(query: str, values: list[str], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    with reading() as connection:
        rows = [] if connection is None else connection.execute(query, values).fetchall()
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def _id(run: str | Run) -> str:
    return run if isinstance(run, str) else run.id

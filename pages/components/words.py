"""Numbers, times and sizes in words."""

from datetime import UTC, datetime

from sgm_core.escape import escape
from sgm_core.figures.style import short
from sgm_core.runs.store import Run
from sgm_core.units import count as count
from sgm_core.units import size as size
from sgm_core.units import written as value

__all__ = [
    "ago",
    "column",
    "count",
    "duration",
    "moment",
    "plain_column",
    "run_label",
    "run_names",
    "short_id",
    "size",
    "took",
    "value",
    "when",
]

_LONGEST_NAME = 50


def duration(seconds: float | None) -> str:
    """Return e.g. '40 s', '12 min', '3 h 5 min'."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def moment(stamp: str | None) -> datetime | None:
    """Read a time that a run wrote."""
    return datetime.fromisoformat(stamp) if stamp else None


def ago(stamp: str | None) -> str:
    """Return how long ago it was, e.g. '12 min ago'."""
    when = moment(stamp)
    return "" if when is None else f"{duration((datetime.now(UTC) - when).total_seconds())} ago"


def took(run: Run) -> float | None:
    """Return the seconds from start to end, or to now while it runs."""
    started, finished = moment(run.status.get("started")), moment(run.status.get("finished"))
    if started is None:
        return None
    return max(0.0, ((finished or datetime.now(UTC)) - started).total_seconds())  # clocks are set back


def when(stamp: str | None) -> str:
    """Return a time as this machine's clock has it, e.g. '26 Nov 14:45', with the year if it is another."""
    then = moment(stamp)
    if then is None:
        return ""
    here = then.astimezone()
    year = f" {here.year}" if here.year != datetime.now().astimezone().year else ""
    return f"{here.day} {here:%b}{year} {here:%H:%M}"


def short_id(run: Run) -> str:
    """Return the part of a run's ID that tells it from others of its kind on its dataset."""
    tail = run.id.removeprefix(f"{run.kind}-{run.dataset_name[:36]}-")
    return tail[:7] if run.kind == "compare" else tail.partition("-")[2] or tail  # without the date


def run_label(run: Run) -> str:
    """Return a run as selectors name it, e.g. 'Compare tiny on demo · 26 Nov 14:45 · 7a7b387'."""
    title = run.title.removesuffix(" (SIMULATED)")  # a badge on the page says so
    return f"{title} · {when(run.config['created'])} · {short_id(run)}"


def run_names(runs: list[Run]) -> list[str]:
    """Return names that tell runs from each other: titles, times where these agree, and IDs where both do."""
    titles = [short(run.title.removesuffix(" (SIMULATED)"), _LONGEST_NAME) for run in runs]
    names = [when(run.config["created"]) for run in runs] if len(set(titles)) == 1 else titles
    return [
        f"{name} · {short_id(run)}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def column(name: str) -> str:
    """Return a column's name as labels write it, as plain text."""
    return escape(plain_column(name))


def plain_column(name: str) -> str:
    """Return a column's name with spaces and a first capital; capitals within it (PredictionRF2) stay."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]

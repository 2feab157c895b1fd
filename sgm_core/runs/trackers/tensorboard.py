"""Runs as event files of TensorBoard: ``tensorboard --logdir FOLDER`` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sgm_core import home
from sgm_core.runs.trackers import facts

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.runs.run import Run

_MOST_ROWS = 200  # of a table: TensorBoard shows it as text


def write(run: Run, folder: Path) -> Path:
    """Write a run as the folder of its ID; an earlier export of it gives way once this one is whole."""
    from torch.utils.tensorboard import SummaryWriter

    target = folder / run.id
    with home.scratch(target) as new:
        with SummaryWriter(str(new)) as writer:
            for point in facts.points(run):
                writer.add_scalar(point.name, point.value, point.step, point.milliseconds / 1000)
            writer.add_text("parameters", _markdown(facts.parameters(run)))
            writer.add_text("tags", _markdown(facts.tags(run)))
            for name, table in facts.end_tables(run).items():
                writer.add_text(f"tables/{name}", _table(table))
            if scores := facts.scores(run):
                writer.add_hparams(facts.parameters(run), scores, run_name=".")
        new.chmod(0o755)
        with home.scratch(target) as old:
            if target.exists():
                target.rename(old / "old")
            new.rename(target)
    return target


def _markdown(texts: dict[str, str]) -> str:
    rows = [f"| {_cell(name)} | {_cell(text)} |" for name, text in texts.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])


def _table(table: pd.DataFrame) -> str:
    rows = table.head(_MOST_ROWS).round(4)
    lines = [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows.itertuples(index=False)]
    more = [f"and {len(table) - _MOST_ROWS:,} more rows"] if len(table) > _MOST_ROWS else []
    head = [f"| {' | '.join(map(_cell, rows.columns))} |", f"|{'---|' * len(rows.columns)}"]
    return "\n".join([*head, *lines, "", *more])


def _cell(value: object) -> str:
    """Return what one cell of a Markdown table can hold."""
    return " ".join(str(value).split()).replace("|", "\\|")

"""A selection of cells as the steps that made it, so that it can be replayed, undone, named and sent.

Each step takes the cells selected before it and gives others; nothing is kept but the steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis.cell_values import CellValues, DatasetValues, split_source
from sgm_core.analysis.selection import points_in_polygon
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError, NotFoundError

REPLACE, ADD, SUBTRACT, KEEP = "replace", "add", "subtract", "keep"
MODES = (REPLACE, ADD, SUBTRACT, KEEP)
"""What a step does with the cells selected so far; ``keep`` leaves those that the step names too."""
_MOST_CORNERS = 1000


@dataclass(frozen=True)
class Polygon:
    """The cells inside a lasso or a box on the map `map`; `corners` in the map's coordinates.

    `hidden` are the labels of a source whose cells the map did not show: they are left out.
    """

    map: str
    corners: tuple[tuple[float, float], ...]
    mode: str = REPLACE
    hidden: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Levels:
    """The cells whose label is one of `levels` for every source of `conditions`."""

    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    mode: str = REPLACE


@dataclass(frozen=True)
class Range:
    """The cells whose number of `source` lies from `low` to `high`, both included; None is no limit."""

    source: str
    low: float | None = None
    high: float | None = None
    mode: str = REPLACE


@dataclass(frozen=True)
class Saved:
    """The cells of the saved selection `name`."""

    name: str
    mode: str = REPLACE


@dataclass(frozen=True)
class Invert:
    """All other cells."""

    mode: str = REPLACE


Step = Polygon | Levels | Range | Saved | Invert
Steps = tuple[Step, ...]
_KINDS: dict[str, type] = {
    "polygon": Polygon, "levels": Levels, "range": Range, "saved": Saved, "invert": Invert,
}  # fmt: skip


def polygon(
    table: pd.DataFrame,
    name: str,
    corners: Sequence[Sequence[float]],
    mode: str = REPLACE,
    hidden: tuple[str, tuple[str, ...]] | None = None,
) -> Polygon:
    """Return a lasso on a map, its corners rounded to less than 1/5,000 of the map.

    Rounded, it fits a link, and the link selects exactly what the person saw.

    Parameters
    ----------
    table
        The map: columns cell, x, y.
    name
        The map's name.
    corners
        (x, y) of each corner, in order.
    mode
        One of `MODES`.
    hidden
        A source of labels and those of them that the map did not show.
    """
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    extent = max(float(np.nanmax(v) - np.nanmin(v)) if len(v) else 0.0 for v in (x, y))
    digits = int(np.ceil(np.log10(5000 / extent))) if extent > 0 else 3
    rounded = [(round(float(a), digits), round(float(b), digits)) for a, b in corners]
    return Polygon(name, tuple(rounded), mode, hidden)


def add_step(steps: Steps, step: Step) -> Steps:
    """Return the steps after `step`; what a replacing step makes void is left out, as are two inversions.

    Without a selection all cells are in view, so the first step takes from all of them.
    """
    if isinstance(step, Invert):
        return steps[:-1] if steps and isinstance(steps[-1], Invert) else (*steps, step)
    if step.mode == REPLACE:
        return (step,)
    if steps:
        return (*steps, step)
    first = replace(step, mode=REPLACE)
    return (first, Invert()) if step.mode == SUBTRACT else (first,)


def replay(
    steps: Steps, dataset: Dataset, maps: Mapping[str, pd.DataFrame], values: CellValues | None = None
) -> np.ndarray:
    """Return the cells that the steps select, bool (n_cells,).

    Parameters
    ----------
    steps
        In order; before the first one nothing is selected.
    dataset
        Where the cells are.
    maps
        Maps by name: columns cell (row number), x, y.
    values
        Finds labels and numbers; by default those of the dataset itself.

    Raises
    ------
    InputError
        If a step can't be carried out: a lasso with fewer than three corners, a label that is not there.
    NotFoundError
        If a map, a column or a saved selection is not there.
    """
    selected = np.zeros(dataset.n_cells, dtype=bool)
    for step in steps:
        selected = apply(selected, step, dataset, maps, values)
    return selected


def apply(
    selected: np.ndarray,
    step: Step,
    dataset: Dataset,
    maps: Mapping[str, pd.DataFrame],
    values: CellValues | None = None,
) -> np.ndarray:
    """Return the cells selected after one more step; see `replay`."""
    if isinstance(step, Invert):
        return ~selected
    named = _named(step, dataset, maps, values or DatasetValues(dataset))
    if step.mode == ADD:
        return selected | named
    if step.mode == SUBTRACT:
        return selected & ~named
    return selected & named if step.mode == KEEP else named


def _named(
    step: Polygon | Levels | Range | Saved,
    dataset: Dataset,
    maps: Mapping[str, pd.DataFrame],
    values: CellValues,
) -> np.ndarray:
    """Return the cells that a step names by itself, bool (n_cells,)."""
    named = np.zeros(dataset.n_cells, dtype=bool)
    if isinstance(step, Polygon):
        if step.map not in maps:
            raise NotFoundError(
                f"the map {step.map!r} on which the selection was drawn is not there: choose its run "
                "above, or clear the selection"
            )
        table = maps[step.map]
        inside = points_in_polygon(table["x"].to_numpy(), table["y"].to_numpy(), np.array(step.corners))
        named[table["cell"].to_numpy()[inside]] = True
        if step.hidden is not None:
            source, levels = step.hidden
            named &= ~values.labels(source).among(levels)
    elif isinstance(step, Levels):
        named[:] = True
        for source, levels in step.conditions:
            named &= values.labels(source).among(levels)
    elif isinstance(step, Range):
        numbers = values.numbers(step.source)
        # float32, as the numbers are: a threshold read off the map includes the cell it was read from
        low = np.float32(-np.inf if step.low is None else step.low)
        high = np.float32(np.inf if step.high is None else step.high)
        named = (numbers >= low) & (numbers <= high)
    else:
        from sgm_core.cells.selections import open_selection

        named[open_selection(dataset, step.name).rows()] = True
    return named


def describe(steps: Steps) -> str:
    """Return what the steps select, in words; plain text."""
    words = {ADD: "; and ", SUBTRACT: "; without ", KEEP: "; of these only "}
    text = ""
    for step in steps:
        if isinstance(step, Invert):
            text = f"all but ({text})" if text else "all cells"
        else:
            text += (words[step.mode] if text else "") + _words(step)
    return text


def _words(step: Polygon | Levels | Range | Saved) -> str:
    if isinstance(step, Polygon):
        if step.hidden is None:
            return f"drawn on {step.map}"
        source, levels = step.hidden
        more = f" and {len(levels) - 3} more" if len(levels) > 3 else ""
        return f"drawn on {step.map} without {source_words(source)} {', '.join(levels[:3])}{more}"
    if isinstance(step, Levels):
        return " and ".join(
            f"{source_words(source)} {' or '.join(levels)}" for source, levels in step.conditions
        )
    if isinstance(step, Saved):
        return f"saved selection {step.name}"
    low = "" if step.low is None else f"{step.low:.4g} ≤ "
    high = "" if step.high is None else f" ≤ {step.high:.4g}"
    return f"{low}{source_words(step.source)}{high}"


def source_words(source: str) -> str:
    """Return a source as people write it: ``obs:cell_type`` is 'cell type', ``gene:CD34`` is 'CD34'."""
    kind, name = split_source(source)
    if kind == "counts":
        return f"counts of {name}"
    if kind == "score":
        genes = name.split(",")
        return (
            f"score of {', '.join(genes[:3])}{f' and {len(genes) - 3} more genes' if len(genes) > 3 else ''}"
        )
    return name.replace("_", " ") if kind == "obs" else name or kind


def to_json(steps: Steps) -> list[dict[str, Any]]:
    """Return steps as what JSON can hold."""
    names = {kind: name for name, kind in _KINDS.items()}
    return [{"step": names[type(step)], **vars(step)} for step in steps]


def from_json(value: Any) -> Steps:
    """Read what `to_json` wrote.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        return tuple(_step(dict(item)) for item in value)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"the steps of a selection are damaged ({error}): select the cells again") from error


def _step(item: dict[str, Any]) -> Step:
    kind = _KINDS[item.pop("step")]
    if item.get("mode", REPLACE) not in MODES:
        raise ValueError(f"unknown mode {item['mode']!r}")
    if kind is Polygon:
        corners = [(float(x), float(y)) for x, y in item["corners"]]
        if not 3 <= len(corners) <= _MOST_CORNERS or not np.isfinite(corners).all():
            raise ValueError(f"{len(corners)} corners")
        item["corners"] = tuple(corners)
        if item.get("hidden") is not None:
            source, levels = item["hidden"]
            item["hidden"] = (str(source), tuple(map(str, levels)))
    elif kind is Levels:
        item["conditions"] = tuple((str(s), tuple(map(str, levels))) for s, levels in item["conditions"])
    elif kind is Range:
        item["low"], item["high"] = (None if v is None else float(v) for v in (item["low"], item["high"]))
        item["source"] = str(item["source"])
    for name in ("map", "name"):
        if name in item:
            item[name] = str(item[name])
    return kind(**item)

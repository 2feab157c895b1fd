"""The colour of every cell of a map: a code per cell and what each code looks like."""

from dataclasses import dataclass, replace

import numpy as np

from pages.components.cells_values import PREDICTED, RIGHT, PageValues
from pages.components.kept import everything
from pages.components.scatter import Colours
from sgm_core.analysis.cell_values import NO_LABEL, split_source
from sgm_core.figures.ramps import NO_VALUE, RAMPS, distinct, is_colour, ramp

AUTOMATIC = "Automatic"
PALETTES = (AUTOMATIC, *RAMPS)
_STEPS = 255
_DIVERGING = "Blue to red"
_MOST_LABELS = 100
_RIGHT_COLOURS = {"right": "#0072B2", "wrong": "#D55E00"}


@dataclass(frozen=True)
class Scale:
    """How numbers become colours.

    Parameters
    ----------
    palette
        One of `PALETTES`.
    clip
        The percentiles of the values at the ends of the palette.
    low, high
        The values at its ends, where the person gave them; they go before `clip`.
    """

    palette: str = AUTOMATIC
    clip: tuple[float, float] = (0.0, 99.5)
    low: float | None = None
    high: float | None = None


def of_labels(
    values: PageValues, source: str, title: str, cells: np.ndarray, token: str, safe: bool
) -> Colours:
    """Return the colours of labels.

    Parameters
    ----------
    values
        Finds the labels.
    source
        The labels' source.
    title
        What they are, for the legend.
    cells
        Row numbers of the map's cells (n,).
    token
        What changes when the map does.
    safe
        Take colour-blind safe colours, whatever the file brings.
    """
    where = ("label colours", str(values.dataset.path), source, token.partition("|")[0], token, safe)
    codes, levels, palette, counts = everything.get(
        where, values.stamp(source), lambda: _code_labels(values, source, cells, safe)
    )
    return Colours(
        codes=codes, palette=palette, categories=levels, counts=counts, low=0.0, high=0.0, title=title,
        missing=len(levels) - 1 if palette[-1] == NO_VALUE else None,
    )  # fmt: skip


def _code_labels(
    values: PageValues, source: str, cells: np.ndarray, safe: bool
) -> tuple[np.ndarray, list[str], list[str], list[int]]:
    found = values.labels(source)
    codes, levels = found.codes[cells], list(found.levels)
    if len(levels) > _MOST_LABELS:
        rest = len(levels) - _MOST_LABELS + 1
        codes = np.where(codes >= _MOST_LABELS, _MOST_LABELS - 1, codes)
        levels = [*levels[: _MOST_LABELS - 1], f"{rest:,} other labels"]
    palette = _palette(values, source, levels, safe)
    codes = np.where(codes < 0, len(levels), codes)
    counts = [int(n) for n in np.bincount(codes, minlength=len(levels) + 1)]
    if counts[-1]:
        none = NO_LABEL if split_source(source)[0] == "obs" else "not tested"
        levels, palette = [*levels, none], [*palette, NO_VALUE]
    else:
        counts = counts[:-1]
    return codes.astype(np.uint8), levels, palette, counts


def labels_of(values: PageValues, source: str, codes: list[int]) -> tuple[str, ...]:
    """Return the labels that codes of `of_labels` stand for; the last one may stand for many, or for none."""
    levels = values.labels(source).levels
    shown = levels if len(levels) <= _MOST_LABELS else levels[: _MOST_LABELS - 1]
    rest = levels[len(shown) :]
    found: list[str] = []
    for code in codes:
        if code < len(shown):
            found.append(shown[code])
        else:
            found += rest if code == len(shown) and rest else [NO_LABEL]
    return tuple(found)


def _palette(values: PageValues, source: str, levels: list[str], safe: bool) -> list[str]:
    """Return the file's own colours where it has them; predicted types have those of the true ones."""
    kind, name = split_source(source)
    if kind == RIGHT:
        return [_RIGHT_COLOURS[level] for level in levels]
    column = values.dataset.cell_type_column if kind == PREDICTED else name
    given = {} if safe else values.dataset.colours(column) or {}
    if levels and all(is_colour(given.get(level, "")) for level in levels):
        return [given[level] for level in levels]
    if kind != PREDICTED:
        return distinct(len(levels))
    types = values.labels(f"obs:{column}").levels
    known = dict(zip(types, distinct(len(types))))
    return [known.get(level, NO_VALUE[:7]) for level in levels]


def of_numbers(
    values: PageValues, source: str, title: str, cells: np.ndarray, token: str, scale: Scale
) -> Colours:
    """Return the colours of numbers; see `of_labels`.

    Parameters
    ----------
    scale
        How numbers become colours.
    """
    scale = settled(scale, source)
    where = ("number colours", str(values.dataset.path), source, token, scale)
    codes, low, high, lacking = everything.get(
        where, values.stamp(source), lambda: _code_numbers(values.numbers(source), cells, scale)
    )
    palette = [*ramp(scale.palette, _STEPS), *([NO_VALUE] if lacking else [])]
    return Colours(
        codes=codes, palette=palette, categories=None, counts=None, low=low, high=high, title=title,
        missing=_STEPS if lacking else None,
    )  # fmt: skip


def settled(scale: Scale, source: str) -> Scale:
    """Return the scale with the palette that suits the source where the person chose none."""
    if scale.palette != AUTOMATIC:
        return scale
    suited = {"gene": "Grey to orange", "counts": "Grey to orange", "score": _DIVERGING}
    return replace(scale, palette=suited.get(split_source(source)[0], "Viridis"))


def _code_numbers(
    numbers: np.ndarray, cells: np.ndarray, scale: Scale
) -> tuple[np.ndarray, float, float, bool]:
    low, high = ends(numbers, scale)
    mine = numbers[cells]
    with np.errstate(invalid="ignore"):
        places = np.clip((mine - np.float32(low)) * np.float32((_STEPS - 1) / (high - low)), 0, _STEPS - 1)
        codes = np.where(np.isfinite(mine), np.rint(places), _STEPS).astype(np.uint8)
    return codes, low, high, not bool(np.isfinite(mine).all())


def ends(numbers: np.ndarray, scale: Scale) -> tuple[float, float]:
    """Return the values at the two ends of the palette; the second is larger.

    A gene that few cells have is 0 at almost every percentile: its scale goes to its maximum then. Blue to
    red has its grey at 0 where there are values below and above it.
    """
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, scale.clip))
    if high <= low:
        high = float(finite.max())
    if scale.palette == _DIVERGING and low < 0 < high:
        high = max(-low, high)
        low = -high
    low = low if scale.low is None else scale.low
    high = high if scale.high is None else scale.high
    return low, (high if high > low else low + 1.0)

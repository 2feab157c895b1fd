"""Colours of many categories and of numbers as lists of ``#rrggbb``, one per code that a map draws."""

import re
from collections.abc import Sequence

import numpy as np

from sgm_core.figures.palette import SAFE, VIRIDIS

# Uniform in lightness and safe for all common kinds of colour vision, darkest tenth cut as VIRIDIS has it:
# cividis (Nuñez et al. 2018, doi:10.1371/journal.pone.0199239), magma (van der Walt and Smith 2015). Blue to
# red through grey has its middle at the scale's middle, for scores below and above zero.
RAMPS: dict[str, tuple[tuple[float, str], ...]] = {
    "Viridis": VIRIDIS,
    "Grey to orange": ((0.0, "#8c9196"), (0.12, "#7868b4"), (0.5, "#cc5a8a"), (1.0, "#f2a431")),
    "Cividis": ((0.0, "#1a386f"), (0.25, "#575d6d"), (0.5, "#7c7b78"), (0.75, "#a59c74"), (1.0, "#e1cc55")),
    "Magma": ((0.0, "#51127c"), (0.25, "#8c2981"), (0.5, "#de4968"), (0.75, "#fe9f6d"), (1.0, "#feca8d")),
    "Blue to red": ((0.0, "#2166ac"), (0.5, "#a8abad"), (1.0, "#b2182b")),
}
NO_VALUE = "#8c919659"
"""Cells without a value: grey that shows on light and on dark, and lets others through."""
_LIGHTER = (0.0, 0.45, -0.35)


def ramp(name: str, n: int = 255) -> list[str]:
    """Return `n` colours from the low to the high end of one of `RAMPS`.

    Raises
    ------
    KeyError
        If there is no such ramp.
    """
    places = [place for place, _ in RAMPS[name]]
    stops = np.array([_rgb(colour) for _, colour in RAMPS[name]], dtype=float)
    at = np.linspace(0, 1, n)
    mixed = np.column_stack([np.interp(at, places, stops[:, channel]) for channel in range(3)])
    return [_hex(colour) for colour in mixed]


def distinct(n: int, colours: Sequence[str] = SAFE) -> list[str]:
    """Return `n` colours for categories: past the end of `colours` they come again lighter, then darker."""
    found = []
    for i in range(n):
        rgb = np.array(_rgb(colours[i % len(colours)]), dtype=float)
        change = _LIGHTER[i // len(colours) % len(_LIGHTER)]
        found.append(_hex(rgb + (255 - rgb) * change if change > 0 else rgb * (1 + change)))
    return found


def is_colour(text: str) -> bool:
    """Say whether `text` is ``#rrggbb``."""
    return re.fullmatch(r"#[0-9A-Fa-f]{6}", text) is not None


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(channel)):02x}" for channel in np.clip(rgb, 0, 255))

"""A map of a million cells: points drawn by WebGL2 in the browser, selections made on the server.

Coordinates, colours and words travel in messages of their own. Streamlit's browser side keeps
those that it has (by content), so that a new colour sends one or two bytes a cell and a selection one
bit; a lasso sends its corners only. Hover, zoom and the legend never leave the browser.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from pages.components.scatter.packing import pack, pack_bits, pack_codes, pack_points
from sgm_core.errors import InputError

KINDS = ("lasso", "box", "clear", "invert", "undo", "redo")
MODES = ("replace", "add", "subtract")
MOST_CORNERS = 200
_MOST_CODES = 65_536
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")
_FOLDER = Path(__file__).parent
_PARTS = ("unpack", "grid", "lasso", "painter", "legend", "tools", "overlay", "pointer", "map", "main")


@dataclass(frozen=True)
class Points:
    """The points of a map.

    Parameters
    ----------
    x, y
        Coordinates, finite float32 (n,).
    cell
        Row numbers in the dataset, int64 (n,): maps of one group know each other's cells by them.
    token
        The content's key: another one whenever x, y or cell change.
    """

    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray
    token: str


@dataclass(frozen=True)
class Colours:
    """A colour for every point.

    Parameters
    ----------
    codes
        uint8 or uint16 (n,).
    palette
        ``#rrggbb`` or ``#rrggbbaa`` of each code.
    categories
        The legend's text of each code; None where the codes are steps of a continuous scale.
    counts
        How many cells each category has, for the legend.
    low, high
        The values of the first and the last code of a continuous scale.
    title
        What the colours say.
    missing
        The code that means 'no value'; on a continuous scale the first or the last one.
    """

    codes: np.ndarray
    palette: list[str]
    categories: list[str] | None = None
    counts: list[int] | None = None
    low: float = 0.0
    high: float = 1.0
    title: str = ""
    missing: int | None = None


@dataclass(frozen=True)
class Event:
    """What a person did on a map last.

    Parameters
    ----------
    sequence
        Grows with each gesture of a browser, also over reruns and visits: handle each one once.
    kind
        ``"lasso"``, ``"box"``, ``"clear"``, ``"invert"``, ``"undo"`` or ``"redo"``.
    mode
        ``"replace"``, ``"add"`` or ``"subtract"``.
    polygon
        Corners in the data's coordinates, at most 200; empty unless lasso or box.
    categories
        Codes of the categories that the legend had switched off at that time, ascending.
    """

    sequence: int
    kind: str
    mode: str
    polygon: list[tuple[float, float]]
    categories: list[int]


def _script() -> str:
    """Return the parts as one module; they share one scope."""
    shaders = {"VERTEX_SHADER": "points.vert", "FRAGMENT_SHADER": "points.frag"}
    texts = [f"const {name} = `{(_FOLDER / file).read_text()}`;" for name, file in shaders.items()]
    return "\n".join(texts + [(_FOLDER / f"{part}.js").read_text() for part in _PARTS])


_column = st.components.v2.component("sgm_scatter_column", js=(_FOLDER / "column.js").read_text())
_map = st.components.v2.component(
    "sgm_scatter",
    html=(_FOLDER / "scatter.html").read_text(),
    css=(_FOLDER / "scatter.css").read_text(),
    js=_script(),
)


def scatter(
    points: Points,
    colours: Colours,
    *,
    key: str,
    group: str = "",
    selected: np.ndarray | None = None,
    title: str = "",
    height: int = 520,
    alt: str = "",
    least_px: float = 0.0,
    selects: bool = True,
) -> Event | None:
    """Draw a map of cells.

    Parameters
    ----------
    points, colours
        Where the cells lie and what colour they have.
    key
        Names the map: with the same key its zoom stays over reruns, new colours and new selections.
    group
        Maps of one group show each other's hover; those of the same points move together.
    selected
        Bool (n,), in the order of the points: all others recede. None for no selection.
    title
        What the map shows, above it.
    height
        Pixels.
    alt
        The map in words.
    least_px
        Width of a point at least, for the few cells that matter among many; 0 lets their density say.
    selects
        Whether cells can be selected on it; if not, it offers no lasso and drags move the map.

    Returns
    -------
    Event or None
        The last gesture, the same one until there is another; None before the first.

    Raises
    ------
    InputError
        If the columns don't fit each other.
    """
    _check(points, colours, selected)
    bits = np.zeros(0, dtype=np.uint8) if selected is None else pack_bits(selected)
    codes = np.ascontiguousarray(colours.codes)
    codes_token = hashlib.blake2b(codes.data, digest_size=12, person=codes.dtype.str.encode()).hexdigest()
    heard = f"_scatter-{key}"  # the gesture that the page had seen when its last run ended here
    words = {
        "key": key,
        "points": points.token,
        "codes": codes_token,
        "selected": selected is not None,
        "group": group,
        "title_of_map": title,
        "alt": alt or title,
        "height": height,
        "title": colours.title,
        "palette": list(colours.palette),
        "categories": None if colours.categories is None else [str(name) for name in colours.categories],
        "counts": None if colours.counts is None else [int(count) for count in colours.counts],
        "low": float(colours.low),
        "high": float(colours.high),
        "missing": colours.missing,
        "least": least_px,
        "selects": selects,
        "heard": st.session_state.get(heard, 0),
    }
    with st.container(gap=None):
        result = _map(
            key=key, data=pack(words, bits), height=height, on_gesture_change=_nothing,
        )  # fmt: skip
        _column(key=f"{key}-points", data=_packed(points.token, points))
        _column(key=f"{key}-codes", data=pack_codes(codes, codes_token))
    event = read_event(result.get("gesture"))
    if event is not None:
        st.session_state[heard] = event.sequence
    return event


@st.cache_resource(max_entries=8, show_spinner=False)
def _packed(token: str, _points: Points) -> bytes:
    return pack_points(_points.x, _points.y, _points.cell, token)


def _nothing() -> None:
    """Streamlit keeps the state of an event only where something listens."""


def _check(points: Points, colours: Colours, selected: np.ndarray | None) -> None:
    n, codes = len(points.x), colours.codes
    if codes.dtype not in (np.uint8, np.uint16) or codes.shape != (n,):
        raise InputError(
            f"the colours of a map of {n:,} cells are {n:,} codes of uint8 or uint16, not {codes.dtype} of "
            f"shape {codes.shape}"
        )
    levels = len(colours.palette)
    most = int(codes.max(initial=0))
    if not most < levels <= _MOST_CODES:
        raise InputError(
            f"a palette of {levels:,} colours can't show codes up to {most:,}: give each code one, at most "
            f"{_MOST_CODES:,}"
        )
    for colour in colours.palette:
        if not _COLOUR.fullmatch(colour):
            raise InputError(f"{colour!r} is no colour: write it as #rrggbb or #rrggbbaa")
    for name, values in (("names", colours.categories), ("counts", colours.counts)):
        if values is not None and len(values) != levels:
            raise InputError(
                f"the legend has {len(values):,} {name} for {levels:,} colours: give one a colour"
            )
    if colours.missing is not None:
        allowed = range(levels) if colours.categories is not None else (0, levels - 1)
        if colours.missing not in allowed:
            raise InputError(
                f"code {colours.missing} can't mean 'no value': on a scale that is the first or the last "
                f"of the {levels:,} codes"
            )
    if colours.categories is None and not (math.isfinite(colours.low) and math.isfinite(colours.high)):
        raise InputError(f"a scale goes from a number to a number, not from {colours.low} to {colours.high}")
    if selected is not None and (selected.dtype != bool or selected.shape != (n,)):
        raise InputError(
            f"a selection on a map says yes or no for each of its {n:,} cells, not {selected.dtype} of shape "
            f"{selected.shape}"
        )


def read_event(given: Any) -> Event | None:
    """Return what the browser sent as an event; None where nothing was sent.

    Raises
    ------
    InputError
        If it is anything else than what the map sends.
    """
    if given is None:
        return None
    try:
        assert isinstance(given, Mapping)
        polygon = [(float(x), float(y)) for x, y in given["polygon"]]
        event = Event(
            int(given["sequence"]),
            str(given["kind"]),
            str(given["mode"]),
            polygon,
            [int(code) for code in given["categories"]],
        )
        assert event.kind in KINDS and event.mode in MODES and len(polygon) <= MOST_CORNERS
        assert all(math.isfinite(x) and math.isfinite(y) for x, y in polygon)
        assert len(polygon) >= 3 or event.kind not in ("lasso", "box")
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
        raise InputError("the map sent a selection that can't be read: draw it again") from None
    return event

"""The query on the map of the model's reference, beside its own map or the reference's cell types."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import annotate_correct, annotate_data
from pages.components.annotate_data import NOW, OWN_UMAP, PLACEMENT, AnnotationMaps
from pages.components.kept import kept
from pages.components.scatter import Colours, Event, Points, scatter
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.store import Model
from sgm_core.figures.ramps import NO_VALUE, distinct

_REFERENCE = "The reference, by cell type"
_HEIGHT = 520
_SEEN = "annotate-gestures"
_UNDER, _FEWEST_UNDER = 5, 1500
"""Reference cells drawn under a placed one at most, and so many at least."""
_FEW = 3000
"""Placed cells up to which each is a point of 5 pixels."""
_UNKNOWN_COLOUR = "#6b7075"


def section(annotation: Annotation, model: Model | None) -> None:
    """Draw both maps; says so where there is none."""
    maps = AnnotationMaps(annotation)
    reference = None if model is None else _reference(str(model.path), model.hash)
    beside = [*maps.own, *([_REFERENCE] if reference is not None and len(reference) else [])]
    if not beside and PLACEMENT not in maps:
        st.caption(
            "No map: the model was fitted without a map of its reference, and the cells bring none "
            "of their own."
        )
        return
    simulated = " · SIMULATED" if model is not None and model.meta["simulated"] else ""
    classes = _classes(annotation, model)
    left, right = st.columns(2, gap="medium")
    with left:
        # of one height with the selector beside it, so that the maps stand level
        with st.container(height=80, border=False, vertical_alignment="bottom"):
            st.caption(
                "Placement: each cell is put among its nearest reference cells in the model's space. It is "
                "no map of these cells: an unknown kind of cell lies near what it is least unlike."
            )
        if PLACEMENT in maps:
            _draw(maps, PLACEMENT, reference, annotation, classes, f"{PLACEMENT}{simulated}")
        else:
            st.caption("The model was fitted without a map of its reference.")
    with right:
        with st.container(height=80, border=False, vertical_alignment="bottom"):
            chosen = st.selectbox("Beside it", beside, key="beside", bind="query-params") if beside else None
        if chosen == _REFERENCE and reference is not None:
            _draw_reference(reference, classes, f"{_REFERENCE}{simulated}")
        elif chosen is not None:
            _draw(maps, chosen, None, annotation, classes, f"{_title(chosen)}{simulated}")
        else:
            st.caption("The cells bring no map of their own.")
    st.caption(":material/gesture: Draw around cells to correct them by hand.")


def _title(name: str) -> str:
    return name if name == OWN_UMAP else f"The file's own map: {name}"


@kept()
def _reference(path: str, stamp: str) -> pd.DataFrame:
    table = pd.read_parquet(Path(path) / "reference.parquet", columns=["cell_type", "x", "y"])
    return table[np.isfinite(table["x"]) & np.isfinite(table["y"])].reset_index(drop=True)


def _classes(annotation: Annotation, model: Model | None) -> list[str]:
    """Return the labels that have a colour: the model's classes, what people added, and unknown."""
    there = annotate_data.labels_now(annotation)["cell_type"].unique().tolist()
    known = model.classes if model is not None else []
    added = sorted(name for name in there if name not in known and name != UNKNOWN)
    return [*known, *added, UNKNOWN]


def _over(placed: pd.DataFrame, reference: pd.DataFrame | None) -> pd.DataFrame:
    """Return the reference cells under the placed ones; a row number of -1 is a reference cell."""
    if reference is None:
        return placed
    under = reference[["x", "y"]].astype("float32").assign(cell=-1)
    if len(under) > (most := max(_FEWEST_UNDER, _UNDER * len(placed))):  # points grow where there are fewer
        under = under.iloc[np.linspace(0, len(under) - 1, most).round().astype(int)]
    return pd.concat([under, placed], ignore_index=True)


def _draw(
    maps: AnnotationMaps, name: str, reference: pd.DataFrame | None, annotation: Annotation,
    classes: list[str], title: str,
) -> None:  # fmt: skip
    """Draw a map of the query; what is drawn around goes to the correction by hand."""
    table = _over(maps[name], reference)
    labels = annotate_data.labels_now(annotation)["cell_type"].to_numpy(object)
    rows = table["cell"].to_numpy()
    codes = pd.Index(classes).get_indexer(pd.Index(np.where(rows < 0, "", labels[rows])))
    palette, names = [*distinct(len(classes) - 1), _UNKNOWN_COLOUR], list(classes)
    if (rows < 0).any():
        codes = np.where(rows < 0, len(classes), codes)
        palette, names = [*palette, NO_VALUE], [*names, "reference cells"]
    alt = f"{title}: {int((rows >= 0).sum()):,} cells coloured by {NOW.lower()}"
    # reference cells recede, as what is not selected does: a few cells of a patient lie before them
    front = rows >= 0 if (rows < 0).any() else None
    key = "placement" if name == PLACEMENT else "own"
    event, shown = _scatter(table, np.arange(len(table)), codes, palette, names, title, key, alt, front)
    seen = st.session_state.setdefault(_SEEN, {})
    if event is None or seen.get(key) == event.sequence:
        return
    seen[key] = event.sequence
    if event.kind in ("lasso", "box"):
        hidden = tuple(shown[code] for code in event.categories if shown[code] in classes)
        annotate_correct.take_up(annotation, name, event, hidden)


def _draw_reference(reference: pd.DataFrame, classes: list[str], title: str) -> None:
    codes = pd.Index(classes).get_indexer(pd.Index(reference["cell_type"]))
    palette = [*distinct(len(classes) - 1), _UNKNOWN_COLOUR]
    alt = f"{title}: {len(reference):,} reference cells"
    _scatter(
        reference, np.arange(len(reference)), codes, palette, classes, title, "reference", alt, selects=False
    )


def _scatter(
    table: pd.DataFrame, cell: np.ndarray, codes: np.ndarray, palette: list[str], names: list[str],
    title: str, key: str, alt: str, front: np.ndarray | None = None, selects: bool = True,
) -> tuple[Event | None, list[str]]:  # fmt: skip
    """Draw a map with the labels that are on it in its legend; all but the points in `front` recede.

    Returns the last gesture, and the labels of the legend.
    """
    there = np.unique(codes)
    place = np.zeros(len(names), dtype=np.int64)
    place[there] = np.arange(len(there))
    codes = place[codes].astype(np.uint8 if len(there) < 256 else np.uint16)
    counts = np.bincount(codes, minlength=len(there)).tolist()
    colours = Colours(
        codes, [palette[i] for i in there], [names[i] for i in there], counts, title="Cell type"
    )
    x, y = table["x"].to_numpy("float32"), table["y"].to_numpy("float32")
    token = hashlib.blake2b(x.tobytes() + y.tobytes(), digest_size=12).hexdigest()
    event = scatter(
        Points(x, y, cell.astype(np.int64), token), colours,
        key=f"annotate-{key}", group=f"annotate-{key}", title=title, height=_HEIGHT, alt=alt,
        selected=front, least_px=0 if front is None or front.sum() > _FEW else 5, selects=selects,
    )  # fmt: skip
    return event, [names[i] for i in there]

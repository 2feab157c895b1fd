"""One map of cells with its controls: which map, coloured by what, on which scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.components import cells_colours, cells_values, gene_sets, words
from pages.components.cell_views import Maps
from pages.components.cells_colours import PALETTES, Scale
from pages.components.cells_values import PageValues
from pages.components.kept import everything
from pages.components.scatter import Event, Points, scatter
from sgm_core.analysis.cell_values import COUNTS, GENE, SCORE
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.resources.store import Resource, list_resources
from sgm_core.spreadsheet import csv_text

SCORED = "A gene set's score"
_SPECIAL = {GENE: "A gene's expression", SCORE: SCORED}
_FIRST_GENES = ("CD34", "MPO", "LYZ")
PASTED = "Genes that I paste"
_UNITS = {"Log-normalised": GENE, "Counts": COUNTS}
_HEIGHTS = {1: 640, 2: 520, 4: 420}


@dataclass(frozen=True)
class Pane:
    """What one map shows: its name, the source of its colours, the words for that, the scale of numbers."""

    map: str
    source: str
    words: str
    scale: Scale


def options(dataset: Dataset, of_run: dict[str, str]) -> dict[str, str]:
    """Return what cells can be coloured by, source to words; no two with the same words."""
    columns = cells_values.columns(dataset)
    special = _SPECIAL if dataset.has_counts else {}
    labels = {f"obs:{name}" for name in cells_values.label_columns(dataset)}
    ordered = {source: text for source, text in columns.items() if source in labels}
    ordered |= special | of_run | columns
    seen: set[str] = set()
    for source, text in ordered.items():
        if text in seen:
            ordered[source] = source.partition(":")[2]
        seen.add(ordered[source])
    return ordered


def choose(
    dataset: Dataset,
    maps: Maps,
    colours: dict[str, str],
    values: PageValues,
    place: int,
    first: str,
    foot: DeltaGenerator,
) -> Pane | None:
    """Draw one map's controls; returns what it shows, None while a choice is missing.

    Parameters
    ----------
    place
        Which map of the page, from 0.
    first
        The source that it is coloured by at first.
    foot
        Where the scale of numbers is chosen, below the map.
    """
    end = "" if place == 0 else str(place + 1)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        names = list(maps)
        source = st.selectbox(
            "Map", names, index=_first_map(names, place), key=f"source{end}", bind="query-params"
        )
        colour = st.selectbox(
            "Colour by", list(colours), list(colours).index(first), format_func=colours.__getitem__,
            key=f"colour{end}", bind="query-params",
        )  # fmt: skip
    found: tuple[str, str] | None = (colour, colours[colour])
    if colour in _SPECIAL:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            found = _gene(dataset, end) if colour == GENE else _gene_set(dataset, end)
    scale = Scale()
    if found is not None and values.is_number(found[0]):
        with foot, st.popover("Colours and range", icon=":material/palette:", type="tertiary"):
            found, scale = _scale(values, found, end)
    return Pane(source, *found, scale) if found is not None else None


def _first_map(names: Sequence[str], place: int) -> int:
    """Return the map shown at first: the self-guided model's, else the last; the third shows another."""
    guided = [i for i, name in enumerate(names) if name.startswith(arm_name("self-guided"))]
    first = (guided or [len(names) - 1])[0]
    return first if place < 2 else (first + place - 1) % len(names)


def _gene(dataset: Dataset, end: str) -> tuple[str, str]:
    genes = _genes(dataset)
    start = next((genes.index(gene) for gene in _FIRST_GENES if gene in genes), 0)
    gene = st.selectbox("Gene", genes, start, key=f"gene{end}", bind="query-params")
    return f"{GENE}:{gene}", gene


def _genes(dataset: Dataset) -> list[str]:
    where = ("gene names", str(dataset.path))
    return everything.get(where, dataset.content_hash, lambda: [str(gene) for gene in dataset.genes])


def _libraries() -> dict[str, Resource]:
    """Return registered gene sets and signatures by name; a name that both have tells which it is."""
    found = gene_sets.libraries()
    for resource in list_resources("signatures"):
        name = resource.name if resource.name not in found else f"{resource.name} (signatures)"
        found[name] = resource
    return found


def _gene_set(dataset: Dataset, end: str) -> tuple[str, str] | None:
    libraries = _libraries()
    library = st.selectbox("Library", [*libraries, PASTED], key=f"setfrom{end}", bind="query-params")
    if library == PASTED:
        text = st.text_input(
            "Genes", key=f"setgenes{end}", bind="query-params", placeholder="CD34, SPINK2, HLF"
        )
        genes, name = gene_sets.symbols(text or "").genes, "pasted genes"
    else:
        terms = gene_sets.read(libraries[library]).terms
        name = st.selectbox("Gene set", list(terms), key=f"set{end}", bind="query-params")
        genes = tuple(terms[name])
    known = set(_genes(dataset))
    there = [gene for gene in dict.fromkeys(genes) if gene in known]
    if genes:
        st.caption(
            f"{len(there)} of its {words.count(len(set(genes)), 'gene')} are in {escape(dataset.name)}"
        )
    return (f"{SCORE}:{','.join(there)}", f"Score of {name}") if there else None


def _scale(values: PageValues, found: tuple[str, str], end: str) -> tuple[tuple[str, str], Scale]:
    """Draw the controls of a scale of numbers; a gene's counts may take the place of its expression."""
    source, text = found
    if source.startswith(f"{GENE}:"):
        unit = st.segmented_control(
            "Values",
            list(_UNITS),
            default="Log-normalised",
            key=f"unit{end}",
            bind="query-params",
            required=True,
        )
        if _UNITS[unit] == COUNTS:
            source, text = f"{COUNTS}:{source.partition(':')[2]}", f"{text}, counts"
    palette = st.selectbox("Palette", PALETTES, key=f"palette{end}", bind="query-params")
    clip = st.slider(
        "Ends of the palette at these percentiles", 0.0, 100.0, (0.0, 99.5), 0.5, key=f"clip{end}",
        bind="query-params", help="Values beyond take the colour of the end.",
    )  # fmt: skip
    low, high = cells_colours.ends(
        values.numbers(source), cells_colours.settled(Scale(palette, clip), source)
    )
    with st.container(horizontal=True):
        least = st.number_input("From", value=None, placeholder=f"{low:.3g}", key=f"low{end}", format="%g")
        most = st.number_input("To", value=None, placeholder=f"{high:.3g}", key=f"high{end}", format="%g")
    if least is not None and most is not None and least >= most:
        raise InputError(f"the range of colours goes from {least:g} to {most:g}: its end must be larger")
    return (source, text), Scale(palette, clip, least, most)


def key_of(place: int) -> str:
    """Return the key of a map, which its state in the session has."""
    return f"cells-map-{place}"


def draw(
    dataset: Dataset,
    maps: Maps,
    values: PageValues,
    pane: Pane,
    place: int,
    n_panes: int,
    selected: np.ndarray | None,
    safe: bool,
) -> Event | None:
    """Draw one map; returns what the person did on it.

    Parameters
    ----------
    selected
        The selected cells of the dataset, bool (n_cells,), or None.
    safe
        Take colour-blind safe colours, whatever the file brings.
    """
    table, token = maps[pane.map], maps.places[pane.map].token
    cells = table["cell"].to_numpy()
    if values.is_number(pane.source):
        colours = cells_colours.of_numbers(values, pane.source, pane.words, cells, token, pane.scale)
    else:
        colours = cells_colours.of_labels(values, pane.source, pane.words, cells, token, safe)
    simulated = " · SIMULATED" if dataset.simulated else ""
    event = scatter(
        Points(table["x"].to_numpy(), table["y"].to_numpy(), cells, token),
        colours,
        key=key_of(place),
        group="cells",
        selected=None if selected is None else selected[cells],
        title=f"{pane.words[:1].upper()}{pane.words[1:]} · {pane.map}{simulated}",
        height=_HEIGHTS[n_panes],
        alt=f"Map of {len(cells):,} cells ({pane.map}) coloured by {pane.words}",
    )
    return event


def download(dataset: Dataset, maps: Maps, values: PageValues, pane: Pane, place: int) -> None:
    """Offer the numbers of a map as CSV."""
    st.download_button(
        "CSV", lambda: _csv(maps, values, pane), f"{dataset.name}-map.csv", mime="text/csv",
        key=f"csv-map-{place}", on_click="ignore", type="tertiary", icon=":material/download:",
        help="Download what this map shows: each cell with its place and its value",
    )  # fmt: skip


def _csv(maps: Maps, values: PageValues, pane: Pane) -> bytes:
    table = maps[pane.map]
    cells = table["cell"].to_numpy()
    if values.is_number(pane.source):
        shown = values.numbers(pane.source)[cells]
    else:
        labels = values.labels(pane.source)
        shown = np.array([*labels.levels, None], dtype=object)[labels.codes[cells]]
    names = values.dataset.obs["cell"].to_numpy()[cells]
    return csv_text(table.assign(cell=names, **{pane.words: shown})).encode()

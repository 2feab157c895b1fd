"""Figures and tables with their downloads: SVG and PNG are made in the browser, CSV on the server."""

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from sgm_core.figures.style import PRINT, halo
from sgm_core.spreadsheet import csv_text

_HTML = """
<button type="button" data-format="svg" title="Download this figure as SVG, on white, for print">SVG</button>
<button type="button" data-format="png" title="Download this figure as PNG, on white, 3 x size">PNG</button>
"""
_CSS = """
button { background: none; border: 0; padding: 0.25rem 0.4rem; cursor: pointer; font: inherit;
         font-family: var(--st-font); font-size: 0.875rem; color: var(--st-text-color);
         border-radius: var(--st-base-radius); white-space: nowrap; }
button:hover, button:focus-visible { color: var(--st-primary-color); }
:host, .stBidiComponentRegular { white-space: nowrap; }
"""
# Streamlit's bundle keeps Plotly to itself, so the chart's own camera button does the work: it is handed a
# copy of the figure in print colours (a dark page must not give white text on nothing) and the format.
_JS = """
export default function ({ parentElement, data }) {
  const chart = () => document.querySelector(`.st-key-${CSS.escape(data.box)} .js-plotly-plot`);
  for (const button of parentElement.querySelectorAll("button[data-format]")) {
    button.onclick = () => {
      const plot = chart();
      const camera = plot?._fullLayout?._modeBar?.buttons.flat().find((b) => b.name === "toImage");
      if (!camera) return;
      const format = button.dataset.format;
      const { width, height } = plot._fullLayout;
      const layout = structuredClone(plot.layout);
      layout.template = { ...layout.template, layout: data.print };
      layout.paper_bgcolor = layout.plot_bgcolor = "#ffffff";
      layout.selections = [];
      for (const note of layout.annotations ?? []) {
        if (note.font?.shadow) note.font = { ...note.font, ...data.halo };
      }
      camera.click({
        data: structuredClone(plot.data), layout, config: {},
        _context: { ...plot._context, toImageButtonOptions:
          { format, filename: data.name, width, height, scale: format === "png" ? 3 : 1 } },
      });
    };
  }
}
"""
_downloads = st.components.v2.component("figure_downloads", html=_HTML, css=_CSS, js=_JS)

_SIMULATED = " · SIMULATED"
_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": [
        "zoomIn2d",
        "zoomOut2d",
        "autoScale2d",
        "toggleSpikelines",
        "hoverClosestCartesian",
    ],
}


def figure(
    fig: go.Figure,
    name: str,
    data: pd.DataFrame | Callable[[], pd.DataFrame] | None = None,
    alt: str = "",
    simulated: bool = False,
    **chart: Any,
) -> Any:
    """Draw `fig` with one-click SVG and PNG, and CSV of `data` (a frame, or a function that makes it).

    `name` is unique on the page and becomes the files' name. `simulated` puts the word into the title, so
    that the figure carries it wherever it is pasted. Further arguments (``on_select`` and
    the like) go to ``st.plotly_chart``, whose selection is returned.
    """
    if simulated and not fig.layout.title.text.endswith(_SIMULATED):  # a cached figure has it already
        fig.layout.title.text += _SIMULATED
    name = plain(name)
    box = f"figure-{name}"
    config = {**_CONFIG, "toImageButtonOptions": {"format": "svg", "filename": name}}
    with st.container(key=box, gap="xxsmall"):
        state = st.plotly_chart(fig, config=config, alt=alt or None, key=f"chart-{name}", **chart)
        with st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xxsmall"
        ):
            _downloads(
                key=f"download-{name}",
                data={"box": box, "name": name, "print": PRINT, "halo": halo(dark=False)},
                width="content",
            )
            if data is not None:
                _csv(data, name)
    return state


def table(frame: pd.DataFrame, name: str, **kwargs: Any) -> Any:
    """Show `frame` with a CSV download; further arguments go to ``st.dataframe``."""
    kwargs.setdefault("hide_index", True)
    name = plain(name)
    state = st.dataframe(frame, key=f"table-{name}", **kwargs)
    with st.container(horizontal=True, horizontal_alignment="right"):
        _csv(frame, name)
    return state


def plain(name: str) -> str:
    """Return `name` with nothing in it that a file's name or a class of the page can't hold."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def _csv(data: pd.DataFrame | Callable[[], pd.DataFrame], name: str) -> None:
    def make() -> bytes:
        frame = data() if callable(data) else data
        return csv_text(frame).encode()

    st.download_button(
        ":small[CSV]",
        make,
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        type="tertiary",
        help="Download the numbers as CSV",
    )

"""Two lists of genes and their terms, side by side."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.escape import escape
from sgm_core.figures.enrichment import wrapped
from sgm_core.figures.palette import SAFE
from sgm_core.figures.style import (
    LEGEND_UNDER,
    MUTED,
    NEUTRAL,
    finish,
    name_genes,
    p_text,
    point_trace,
    short,
)

_KINDS = (
    ("neither", "Neither", NEUTRAL, "circle", 5),
    ("first", "{a} alone", SAFE[0], "triangle-up", 9),
    ("second", "{b} alone", SAFE[1], "square", 8),
    ("both", "Both", SAFE[2], "diamond", 10),
)
_NAMED = 8


def term_pairs(table: pd.DataFrame, title: str, first: str, second: str) -> go.Figure:
    """Draw -log10 of the adjusted p of each term in two lists, one across and one up.

    Parameters
    ----------
    table
        `sgm_core.analysis.term_pairs.TermPair.table`.
    first, second
        What the lists are called.
    """
    rows = table.assign(x=_score(table["q_a"]), y=_score(table["q_b"]))
    fig = go.Figure()
    names = {"a": short(first, 24), "b": short(second, 24)}
    for kind, words, colour, symbol, size in _KINDS:
        part = rows[rows["found"] == kind]
        if part.empty:
            continue
        facts: list[Any] = [
            part["term"].map(escape),
            [
                f"{hits} of {n}, {p_text(q)}"
                for hits, n, q in zip(part["n_hits_a"], part["n_term"], part["q_a"])
            ],
            [
                f"{hits} of {n}, {p_text(q)}"
                for hits, n, q in zip(part["n_hits_b"], part["n_term"], part["q_b"])
            ],
            [p_text(q) for q in part["q_difference"]],
            [wrapped(a or b, 16) for a, b in zip(part["genes_a"], part["genes_b"])],
        ]
        fig.add_trace(
            point_trace(len(rows))(
                x=part["x"],
                y=part["y"],
                mode="markers",
                name=f"{escape(words.format(**names))} ({len(part):,})",
                marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.85},
                customdata=np.stack(facts, axis=-1),
                hovertemplate=f"<b>%{{customdata[0]}}</b><br>{escape(names['a'])}: %{{customdata[1]}}"
                f"<br>{escape(names['b'])}: %{{customdata[2]}}<br>differ: %{{customdata[3]}}"
                "<br>%{customdata[4]}<extra></extra>",
            )
        )
    edge = float(-np.log10(SIGNIFICANT))
    far = 1.08 * max(2 * edge, float(rows[["x", "y"]].max().max()) if len(rows) else 0.0)
    for line in ({"x0": edge, "x1": edge, "y0": 0, "y1": far}, {"x0": 0, "x1": far, "y0": edge, "y1": edge}):
        fig.add_shape(type="line", line={"color": MUTED, "width": 1, "dash": "dot"}, **line)
    fig.add_shape(type="line", x0=0, y0=0, x1=far, y1=far, line={"color": MUTED, "width": 1})
    best = rows[rows["found"] != "neither"].head(_NAMED)
    name_genes(fig, best.assign(gene=[short(term, 26) for term in best["term"]]), "x", "y", ring=False)
    note = f"dotted: adjusted p {SIGNIFICANT}; on the line both lists agree"
    finish(
        fig, title, f"{short(first, 40)}: −log10 adjusted p", f"{short(second, 40)}: −log10 adjusted p", 520,
        note=note,
    )  # fmt: skip
    fig.update_layout(legend=LEGEND_UNDER)
    pad = -0.03 * far
    fig.update_xaxes(range=[pad, far], showgrid=True)
    fig.update_yaxes(range=[pad, far])
    return fig


def _score(q: pd.Series) -> np.ndarray:
    return -np.log10(np.maximum(q.to_numpy(float), 1e-300))

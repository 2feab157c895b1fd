"""What the hidden genes do: Figure 3, and how many terms each ranking finds."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE
from sgm_core.figures.style import NEUTRAL, finish, label, p_text


def terms(table: pd.DataFrame, title: str, n: int = 20) -> go.Figure:
    """Draw Figure 3: top terms as bars of -log10 p; those carried by the same genes lie together.

    A term whose adjusted p is not under `SIGNIFICANT` is pale.

    Parameters
    ----------
    table
        From `sgm_core.analysis.enrichment.group_terms`: term, go_id, n_term, n_hits, fold_enrichment,
        p_value, q_value, genes, group.
    n
        How many terms to draw, the most significant first.
    """
    rows = table.head(n)
    order = {group: number for number, group in enumerate(dict.fromkeys(rows["group"]))}
    rows = rows.assign(order=rows["group"].map(order)).sort_values(["order", "p_value"])
    sizes = rows["group"].value_counts()
    # A group of one is no group: its bar stays neutral, so that colour means 'the same genes'.
    several = [group for group in order if sizes[group] > 1]
    colours = {group: SAFE[several.index(group) % 8] if group in several else NEUTRAL for group in order}
    score = -np.log10(np.maximum(rows["p_value"].to_numpy(), 1e-300))
    place = np.arange(len(rows))
    hits = [f"{hits} of {size} genes" for hits, size in zip(rows["n_hits"], rows["n_term"])]
    fig = go.Figure(
        go.Bar(
            x=score,
            y=place,
            width=0.4,
            orientation="h",
            marker={
                "color": [colours[group] for group in rows["group"]],
                "opacity": np.where(rows["q_value"] < SIGNIFICANT, 1.0, 0.35),
                "line": {"width": 0},
            },
            text=hits,
            textposition="none",
            customdata=np.stack(
                [
                    rows["term"].map(escape),
                    [f"{fold:.1f}" for fold in rows["fold_enrichment"]],
                    [p_text(p) for p in rows["p_value"]],
                    [p_text(q) for q in rows["q_value"]],
                    [wrapped(genes) for genes in rows["genes"]],
                    rows["group"].map(escape),
                ],
                axis=-1,
            ),
            hovertemplate="<b>%{customdata[0]}</b><br>%{text}, %{customdata[1]} times as many as by chance"
            "<br>p = %{customdata[2]}, adjusted %{customdata[3]}<br>group: %{customdata[5]}"
            "<br>%{customdata[4]}<extra></extra>",
        )
    )
    # The name stands over its bar: beside it, the longest name would leave a narrow screen no room for bars.
    for where, term, go_id, text in zip(place, rows["term"], rows["go_id"], hits):
        name = f"{label(term, 44)} ({escape(go_id)})" if go_id else label(term, 56)
        fig.add_annotation(
            x=0,
            y=where - 0.42,
            xref="paper",
            text=f"{name} · {text}",
            showarrow=False,
            xanchor="left",
            font={"size": 11},
        )
    note = f"one colour: carried by the same genes; pale: adjusted p not under {SIGNIFICANT}"
    finish(fig, title, "−log10 p", None, 130 + 36 * len(rows), legend=False, note=note)
    fig.update_yaxes(range=[len(rows) - 0.6, -0.8], showticklabels=False, showgrid=False)
    fig.update_xaxes(showgrid=True, range=[0, max(1.0, 1.05 * float(score.max(initial=0)))])
    return fig


def rankings(counts: pd.DataFrame, title: str) -> go.Figure:
    """Draw how many terms each ranking finds, the controls among them.

    Parameters
    ----------
    counts
        Columns name, significant (number of terms with adjusted p under 0.05), control (bool).
    """
    fig = go.Figure(
        go.Bar(
            x=counts["significant"],
            y=counts["name"].map(escape),
            orientation="h",
            text=counts["significant"],
            textposition="outside",
            cliponaxis=False,
            marker={"color": np.where(counts["control"], NEUTRAL, "#D55E00"), "line": {"width": 0}},
            hovertemplate="%{y}: %{x} terms<extra></extra>",
        )
    )
    finish(fig, title, "Terms with adjusted p < 0.05", None, 130 + 30 * len(counts), legend=False)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig


def wrapped(genes: str, most: int = 24, line: int = 8) -> str:
    """Return the first genes of a list with ``;`` between them, in lines for a hover label."""
    names = genes.split(";")
    shown = names[:most]
    text = "<br>".join(escape(", ".join(shown[i : i + line])) for i in range(0, len(shown), line))
    return text if len(names) <= most else f"{text} and {len(names) - most} more"

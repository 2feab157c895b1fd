"""Does another model prefer the same genes? What one model prefers against what the next does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sgm_core.escape import escape
from sgm_core.figures.style import MUTED, NEUTRAL, finish, point_trace

# Key of `rank_pairs`, which is that of the agreement too, and what its panel is called.
_PANELS = {"seeds": "Another seed, the same donors", "donors": "Another seed and other donors"}


def two_seeds(pairs: dict[str, pd.DataFrame], title: str) -> go.Figure:
    """Draw each gene's preference in the model of one seed against that of another, one panel a moment.

    Parameters
    ----------
    pairs
        Name of the panel (before training, after) to the result of
        `sgm_core.analysis.mask_models.two_seeds`; all panels share their axes.
    """
    both = np.concatenate([table[["first", "second"]].to_numpy().ravel() for table in pairs.values()])
    reach = 1.05 * float(np.abs(both).max()) if len(both) else 1.0
    fig = _panels(pairs, (-reach, reach), ".2f")
    note = "log of mask frequency over that of genes of equal expression; dotted: the same in both"
    finish(fig, title, None, None, 400, legend=False, note=note, row=True)
    seeds = next(iter(pairs.values())).attrs.get("seeds", (0, 1)) if pairs else (0, 1)
    fig.update_xaxes(title_text=f"Model of seed {seeds[0]}")
    fig.update_yaxes(title_text=f"Model of seed {seeds[1]}", col=1)
    return fig


def rank_pairs(pairs: Mapping[str, pd.DataFrame], d: Mapping[str, Any], title: str) -> go.Figure:
    """Draw each gene's rank in one model against its rank in another, by preference at equal expression.

    Parameters
    ----------
    pairs
        ``seeds``, and where a run has folds ``donors``, to the result of
        `sgm_core.analysis.mask_models.two_seeds`: the pair that is drawn, of the genes that all
        models know.
    d
        `sgm_core.analysis.agreement.agreement` of all models: the correlation over all such pairs.
    """
    ranked: dict[str, pd.DataFrame] = {}
    for key, table in pairs.items():
        figures = (d[f"agreement_between_{key}{end}"] for end in ("", "_low", "_high"))
        middle, low, high = (f"{value:z.2f}" for value in figures)
        name = f"{_PANELS[key]}<br>Spearman {middle} ({low} to {high}), {len(table):,} genes"
        ranked[name] = table.assign(first=table["first"].rank(), second=table["second"].rank())
    n_genes = max(map(len, ranked.values()), default=0)
    fig = _panels(ranked, (0, n_genes + 1), ",.0f", spacing=0.12)
    fig.update_annotations(font_size=13)
    note = "1 = hidden least among equals; the correlation is that of all such pairs, with its 95 % interval"
    finish(fig, title, None, None, 440, legend=False, note=note, row=True)
    fig.update_layout(margin_t=fig.layout.margin.t + 18)
    for column, table in enumerate(pairs.values(), 1):
        models = [
            f"seed {seed}, fold {fold}" for seed, fold in zip(table.attrs["seeds"], table.attrs["folds"])
        ]
        fig.update_xaxes(title_text=f"Rank, {models[0]}", col=column)
        fig.update_yaxes(title_text=f"Rank, {models[1]}", col=column)
    return fig


def _panels(
    pairs: Mapping[str, pd.DataFrame], reach: tuple[float, float], form: str, spacing: float = 0.06
) -> go.Figure:
    """Draw ``first`` against ``second`` of each table, a panel each, over one range."""
    fig = make_subplots(
        1, len(pairs), subplot_titles=list(pairs), shared_yaxes=True, shared_xaxes=True,
        horizontal_spacing=spacing,
    )  # fmt: skip
    for column, (name, table) in enumerate(pairs.items(), 1):
        trace = point_trace(len(table))
        drawn = trace(
            x=table["first"].to_numpy("float32"),
            y=table["second"].to_numpy("float32"),
            text=table["gene"].map(escape),
            mode="markers",
            name=name,
            marker={"color": NEUTRAL, "size": 5, "opacity": 0.6},
            hovertemplate=f"<b>%{{text}}</b><br>one model %{{x:{form}}}<br>another %{{y:{form}}}"
            "<extra></extra>",
        )
        fig.add_trace(drawn, row=1, col=column)
        line = {"color": MUTED, "width": 1, "dash": "dot"}
        fig.add_scatter(x=reach, y=reach, mode="lines", line=line, hoverinfo="skip", row=1, col=column)
    fig.update_xaxes(range=list(reach))
    fig.update_yaxes(range=list(reach))
    return fig

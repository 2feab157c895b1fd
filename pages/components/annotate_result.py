"""What a model says of the cells: in one sentence, by type, why unknown, and the least sure."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import annotate_data, show, words
from pages.components.kept import kept
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.store import Model
from sgm_core.escape import escape

_MOST_SHOWN = 1000
_SAME = 0.5
"""Share of the reference cells among the query from which these are the cells that trained the model."""


def answer(annotation: Annotation, model: Model | None) -> str:
    """Say in one sentence how many cells are named, what most are, and how many are unknown, and why.

    Of a model that is no better than chance it says that alone.
    """
    path, stamp = annotate_data.key(annotation)
    table = annotate_data.predictions(path, stamp)
    if model is not None and not model.useful:
        n = words.count(len(table), "cell")
        return f"{n}, and no name to rely on: model {escape(model.name)} is no better than chance."
    n, unknown = len(table), int((table["cell_type"] == UNKNOWN).sum())
    counts = table.loc[table["cell_type"] != UNKNOWN, "cell_type"].value_counts()
    named = ", ".join(f"{escape(name)} {count / n:.0%}" for name, count in counts.head(2).items())
    text = f"{words.count(n, 'cell')}: {(n - unknown) / max(n, 1):.1%} named" + (
        f" ({named})" if named else ""
    )
    if len(counts):
        sure = table.loc[table["cell_type"] != UNKNOWN, "confidence"].median()
        text += f", median confidence {sure:.2f}"
    why = table.loc[table["cell_type"] == UNKNOWN, "reason"].value_counts()
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in why.items())
    return f"{text}; {unknown / max(n, 1):.1%} unknown" + (f": {reasons}." if reasons else ".")


def provenance(annotation: Annotation, model: Model | None) -> None:
    """Say where the cells are from, which model named them, and what was assumed."""
    about = annotation.about
    st.caption(
        f"{escape(about['data'])}, named by model {escape(about['model'])} on "
        f"{words.when(about['created'])}; {about['coverage']:.0%} of the model's genes are there."
    )
    if model is None:
        st.warning(
            escape(
                f"Model {about['model']} is gone or was fitted again since: the predictions stay, but the "
                "reference's map, reference donors and signatures are not there. Import that model again."
            ),
            icon=":material/info:",
        )
    elif _trained_on(*annotate_data.key(annotation), str(model.path), model.hash) > _SAME:
        st.info(
            "The model was trained on these very cells: how sure it is here says nothing about new cells.",
            icon=":material/info:",
        )
    if about["notes"]:
        with st.expander("Notes on the genes"):
            for note in about["notes"]:
                st.caption(escape(note))


@kept()
def _trained_on(path: str, stamp: int, model: str, model_hash: str) -> float:
    """Return the share of the model's reference cells that are, by name, among the cells."""
    names = pd.read_parquet(Path(model) / "reference.parquet", columns=["name"])["name"]
    return float(names.isin(set(annotate_data.obs(path, stamp)["cell"])).mean())


@kept()
def by_type(path: str, stamp: int) -> pd.DataFrame:
    """Return cells, share and confidence by predicted type; unknown is the last row."""
    table = annotate_data.predictions(path, stamp)
    groups = table.groupby("cell_type", sort=False)
    counted = (
        pd.DataFrame(
            {
                "n_cells": groups.size(),
                "share": groups.size() / max(len(table), 1),
                "confidence": groups["confidence"].median(),
                "low": groups["confidence"].quantile(0.1),
                "agreement": groups["agreement"].mean(),
                "second": groups["second"].agg(lambda values: values.value_counts().index[0]),
            }
        )
        .rename_axis("cell_type")
        .reset_index()
    )
    last = counted["cell_type"] == UNKNOWN
    return (
        counted.assign(last=last)
        .sort_values(["last", "n_cells"], ascending=[True, False])
        .drop(columns="last")
    )


def tables(annotation: Annotation) -> None:
    """Draw the counts by type, the unknown cells by reason, and the cells that are least sure."""
    path, stamp = annotate_data.key(annotation)
    st.subheader("What they are", anchor=False)
    show.table(by_type(path, stamp), f"{annotation.name}-types", column_config=_TYPES)
    st.subheader("Unknown, and why", anchor=False)
    table = annotate_data.predictions(path, stamp)
    why = table.loc[table["reason"] != "", ["reason", "best"]]
    if why.empty:
        st.caption("No cell is unknown.")
    else:
        counted = why.groupby(["reason", "best"]).size().rename("n_cells").reset_index()
        counted = counted.sort_values("n_cells", ascending=False)
        show.table(counted, f"{annotation.name}-unknown", column_config=_UNKNOWN, height=220)
    with st.expander(f"The cells that are least sure ({min(_MOST_SHOWN, len(table)):,} of {len(table):,})"):
        show.table(least_sure(path, stamp), f"{annotation.name}-least-sure", column_config=_CELLS)


@kept()
def least_sure(path: str, stamp: int) -> pd.DataFrame:
    """Return the cells with the least confidence, the least first."""
    table = annotate_data.predictions(path, stamp)
    rows = table["confidence"].nsmallest(_MOST_SHOWN).index
    columns = ["cell_type", "best", "confidence", "second", "second_confidence", "reason", "n_genes"]
    shown = table.loc[rows, columns]
    shown.insert(0, "cell", annotate_data.obs(path, stamp)["cell"].to_numpy()[rows])
    return shown


_CONFIDENCE = "calibrated: of cells with 0.9, nine in ten are right on donors that were held out"
_TYPES = {
    "cell_type": st.column_config.TextColumn("Predicted type"),
    "n_cells": st.column_config.NumberColumn("Cells", format="localized"),
    "share": st.column_config.ProgressColumn("Share", format="percent", min_value=0, max_value=1),
    "confidence": st.column_config.NumberColumn("Confidence", format="%.2f", help=f"median; {_CONFIDENCE}"),
    "low": st.column_config.NumberColumn("Lowest tenth", format="%.2f", help="a tenth of the cells is below"),
    "agreement": st.column_config.NumberColumn(
        "Folds agree", format="percent", help="mean share of the donor folds' classifiers that say the same"
    ),
    "second": st.column_config.TextColumn("Usual second choice"),
}
_UNKNOWN = {
    "reason": st.column_config.TextColumn("Reason"),
    "best": st.column_config.TextColumn("Likeliest class"),
    "n_cells": st.column_config.NumberColumn("Cells", format="localized"),
}
_CELLS = {
    "cell": st.column_config.TextColumn("Cell"),
    "cell_type": st.column_config.TextColumn("Predicted type"),
    "best": st.column_config.TextColumn("Likeliest class"),
    "confidence": st.column_config.NumberColumn("Confidence", format="%.2f", help=_CONFIDENCE),
    "second": st.column_config.TextColumn("Second choice"),
    "second_confidence": st.column_config.NumberColumn("Its confidence", format="%.2f"),
    "reason": st.column_config.TextColumn("Why unknown"),
    "n_genes": st.column_config.NumberColumn("Genes", format="localized"),
}

"""Composition per sample against reference donors, agreement with signatures, and AML cell states."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import annotate_data, show, words
from pages.components.kept import kept
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.malignant import Malignancy, malignancy, malignant_shares
from sgm_core.annotation.shares import reference_donors, sample_shares
from sgm_core.annotation.signatures import agreement, likeness
from sgm_core.annotation.store import Model, open_model
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures import annotation as figures

_ONE = "all cells are one sample"
_MOST_SAMPLES = 60
_HEALTHY = re.compile(r"healthy|hea|normal|control|ctrl|bm|hd", re.IGNORECASE)
_SAMPLE = ("sample", "donor", "patient", "sample_id", "donor_id", "patient_id")


def sample_column(annotation: Annotation) -> str | None:
    """Draw the choice of the column that says which sample a cell is of; None where all are one."""
    path, stamp = annotate_data.key(annotation)
    names = _columns(path, stamp)
    options = [*names, _ONE]
    lowered = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    first = next((lowered[name] for name in _SAMPLE if name in lowered), len(names))
    chosen = st.selectbox(
        "Samples", options, index=first, key=f"samples-{annotation.name}",
        format_func=lambda name: name if name == _ONE else f"by {words.plain_column(name)}", width=260,
    )  # fmt: skip
    return None if chosen == _ONE else chosen


@kept()
def _columns(path: str, stamp: int) -> list[str]:
    """Return the columns of labels with up to 60 levels."""
    table = annotate_data.obs(path, stamp).drop(columns="cell")
    texts = [name for name in table if not pd.api.types.is_float_dtype(table[name].dtype)]
    return [str(name) for name in texts if 1 <= table[name].nunique() <= _MOST_SAMPLES]


def _samples(path: str, stamp: int, column: str | None) -> np.ndarray:
    table = annotate_data.obs(path, stamp)
    if column is None:
        return np.repeat("all cells", len(table))
    return table[column].astype(object).where(table[column].notna(), "(none)").astype(str).to_numpy()


def composition(annotation: Annotation, model: Model, column: str | None) -> None:
    """Draw one sample's shares against those of the model's donors of a level."""
    st.subheader("Composition against reference donors", anchor=False)
    levels = _reference_levels(str(model.path), model.hash)
    if not levels:
        st.caption(
            "No reference: a column that is the same in all cells of a donor, such as a timepoint with the "
            "level healthy, has to be in the dataset that the model is fitted on, with two donors of a level."
        )
        return
    options = [f"{name} = {level}" for name, level in levels]
    first = next((i for i, (_, level) in enumerate(levels) if _HEALTHY.fullmatch(level)), 0)
    path, stamp = annotate_data.key(annotation)
    samples = sorted(set(_samples(path, stamp, column)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Reference donors", options, index=first, key=f"reference-{model.name}", width=260,
            help="Donors of the model; their cells were named by classifiers that did not train on them.",
        )  # fmt: skip
        sample = samples[0]
        if len(samples) > 1:
            sample = st.selectbox("Sample", samples, key=f"sample-{annotation.name}-{column}", width=260)
    name, level = levels[options.index(chosen)]
    table = _compared(path, stamp, model.name, model.hash, column, name, level)
    rows = table[table["sample"] == sample]
    out = rows[rows["outside"]]
    more, less = (out[out["difference"] * sign > 0]["cell_type"].map(escape) for sign in (1, -1))
    parts = [f"more {', '.join(more)}"] if len(more) else []
    parts += [f"fewer {', '.join(less)}"] if len(less) else []
    said = " and ".join(parts) or "no class outside their range"
    st.markdown(
        f"{escape(sample)} against {int(table['n_donors'].iloc[0])} donors with {escape(chosen)}: {said}."
    )
    title = f"{sample}: cell types against donors with {chosen}"
    simulated = bool(model.meta["simulated"])
    show.figure(figures.sample_shares(rows, title), "sample-shares", table, alt=title, simulated=simulated)


@kept()
def _reference_levels(path: str, stamp: str) -> list[tuple[str, str]]:
    """Return column and level of every group of two or more donors."""
    table = pd.read_parquet(Path(path) / "donors.parquet")
    found = []
    for name in table:
        if str(name).startswith("is:"):
            counts = table[name].dropna().astype(str).value_counts()
            found += [(str(name)[3:], str(level)) for level in sorted(counts[counts > 1].index)]
    return found


@kept("Comparing with the reference donors")
def _compared(
    path: str, stamp: int, model: str, model_hash: str, column: str | None, name: str, level: str
) -> pd.DataFrame:
    said = annotate_data.predictions(path, stamp)
    known = reference_donors(open_model(model), name, level)
    return sample_shares(said, _samples(path, stamp, column), known)


def signatures(annotation: Annotation, model: Model) -> None:
    """Say which classes disagree with their signature, with the table."""
    st.subheader("Do the names agree with signatures?", anchor=False)
    table = _agreement(*annotate_data.key(annotation), model.name, model.hash)
    judged, flagged = table[table["note"] == ""], table[table["flagged"]]
    if judged.empty:
        st.caption("No class can be judged: too few cells, or no signature marks a class of this model.")
    elif flagged.empty:
        st.markdown(
            f"All {len(judged)} classes that can be judged score as high on their signature as expected."
        )
    else:
        names = ", ".join(map(escape, flagged["cell_type"]))
        text = f"{len(flagged)} of {len(judged)} judged classes disagree with their signature: {names}."
        st.warning(f"{text} Look at these cells before you rely on their names.", icon=":material/flag:")
    st.caption(
        "AUROC: the chance that a cell named so scores higher on the signature than one named otherwise. "
        "Flagged: it tells less than half as well here as among the training cells."
    )
    shown = table.assign(flagged=np.where(table["flagged"], "disagrees", ""))
    show.table(shown, f"{annotation.name}-signatures", column_config=_SIGNATURES)


@kept("Comparing with signatures")
def _agreement(path: str, stamp: int, model: str, model_hash: str) -> pd.DataFrame:
    found = open_model(model)
    return agreement(annotate_data.predictions(path, stamp), found.signatures, found.classes)


def malignant(annotation: Annotation, model: Model, column: str | None) -> None:
    """Draw malignant against normal cells where the training labels carry it, and nothing elsewhere."""
    told = _malignancy(str(model.path), model.hash, model.name)
    if told is None:
        return
    st.subheader("Malignant or normal?", anchor=False)
    path, stamp = annotate_data.key(annotation)
    table = _malignant(path, stamp, model.name, model.hash, column)
    known = table[table["state"] != UNKNOWN].groupby("state")["n_cells"].sum()
    total = int(table["n_cells"].sum())
    st.markdown(
        f"{known.get('malignant', 0):,} of {total:,} cells are named as a malignant class, "
        f"{known.get('normal', 0):,} as a normal one."
    )
    st.caption(
        f"The training labels tell these classes from others: {', '.join(map(escape, told.classes))}. Of "
        f"cells of donors that it never saw, the model names {told.sensitivity:.0%} of the malignant and "
        f"{told.specificity:.0%} of the normal ones as such. Confirm by genotype before you rely on it."
    )
    title = "Malignant, normal and unknown cells by sample"
    fig = figures.likeness(table, title)
    show.figure(fig, "malignant", table, alt=title, simulated=bool(model.meta["simulated"]))


@kept()
def _malignancy(path: str, stamp: str, name: str) -> Malignancy | None:
    return malignancy(open_model(name))


@kept()
def _malignant(path: str, stamp: int, model: str, model_hash: str, column: str | None) -> pd.DataFrame:
    said = annotate_data.predictions(path, stamp)
    return malignant_shares(open_model(model), said, _samples(path, stamp, column))


def states(annotation: Annotation, model: Model, column: str | None) -> None:
    """Draw the shares of cells that are HSC-, progenitor-, ... mono-like."""
    st.subheader("Which AML cell states are they like?", anchor=False)
    path, stamp = annotate_data.key(annotation)
    named = sorted(annotate_data.predictions(path, stamp)["best"].unique())
    some = st.multiselect(
        "Cells named", named, placeholder="All cells", key=f"like-{annotation.name}",
        help="Of all cells, or of those that the model names so (unknown ones by their likeliest class).",
    )  # fmt: skip
    table = _likeness(path, stamp, model.name, model.hash, column, tuple(some))
    if table.empty:
        st.caption(
            "The model lacks the signatures of van Galen et al. 2019. Register them with "
            "`sgm resources add signatures FILE.gmt`, then fit the model again."
        )
        return
    st.caption(
        "Each cell counts for the state of van Galen et al. 2019 whose signature it scores highest on, "
        "standardised by the training cells. It is a likeness: whether a cell is malignant is not asked."
    )
    title = "AML cell states that cells are like"
    fig = figures.likeness(table, title)
    show.figure(fig, "likeness", table, alt=title, simulated=bool(model.meta["simulated"]))


@kept()
def _likeness(
    path: str, stamp: int, model: str, model_hash: str, column: str | None, some: tuple[str, ...]
) -> pd.DataFrame:
    said, samples = annotate_data.predictions(path, stamp), _samples(path, stamp, column)
    if some:
        chosen = said["best"].isin(some).to_numpy()
        said, samples = said[chosen], samples[chosen]
    try:
        return likeness(said, open_model(model).signatures, samples)
    except InputError:
        return pd.DataFrame()


_SIGNATURES = {
    "cell_type": st.column_config.TextColumn("Class"),
    "signature": st.column_config.TextColumn("Signature"),
    "independent": st.column_config.CheckboxColumn(
        "Independent", help="a registered gene set, not markers of the training labels themselves"
    ),
    "n_cells": st.column_config.NumberColumn("Cells", format="localized"),
    "auroc": st.column_config.NumberColumn("AUROC here", format="%.2f"),
    "auroc_training": st.column_config.NumberColumn("In training", format="%.2f"),
    "flagged": st.column_config.TextColumn("Verdict"),
    "note": st.column_config.TextColumn("Not judged because"),
}

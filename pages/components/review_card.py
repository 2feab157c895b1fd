"""One gene on one card: its place, expression, masks, donors, the sets that hold it, and where to read on."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import (
    cell_views,
    cells_colours,
    gene_card,
    gene_sets,
    mask_tables,
    questions_columns,
    show,
    tables,
    words,
)
from pages.components.cells_colours import Scale
from pages.components.cells_values import PageValues
from pages.components.kept import everything, kept
from pages.components.review_queue import FLAGS, Queue
from pages.components.scatter import Points, scatter
from sgm_core import tables as run_tables
from sgm_core.analysis.dot_plot import dot_plot, kept_groups
from sgm_core.analysis.level_lift import SHARED_MODELS, donors_above, lift_by_level
from sgm_core.analysis.rankings import uniform_arm
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import review as figures
from sgm_core.figures.palette import arm_colour, arm_name, arm_symbol
from sgm_core.resources.store import list_resources
from sgm_core.review.links import links
from sgm_core.review.members import holding
from sgm_core.review.queue import gene_sets as registered
from sgm_core.runs.biology import HOW_TO_ADD, set_resources
from sgm_core.runs.store import Run

_SHOWN_SETS = 12
_MOST_FITS = 200_000
_ASKED = "review-donors-asked"


def head(found: Queue, gene: str) -> None:
    """Draw the gene's name, what kind of gene it is, and the sentence on its masks."""
    row = found.stats[found.stats["gene"] == gene].iloc[0]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.subheader(escape(gene), anchor=False, width="content")
        for flag, said in FLAGS.items():
            if found.flags.at[gene, flag]:
                st.badge(said, color="gray")
    with st.container(horizontal=True, gap="small"):
        for name, address in links(gene).items():
            st.link_button(f":small[{name}]", address, type="tertiary", icon=":material/open_in_new:")
    st.markdown(escape(gene_card.sentence(row, found.arm, len(found.stats))))
    if found.level:
        st.markdown(escape(_there(found, gene)))
    gene_card.numbers(row)


def _there(found: Queue, gene: str) -> str:
    """Say how the gene is hidden in the cells that the queue is about."""
    rows = found.within[found.within["gene"] == gene]
    if rows.empty or pd.isna(rows["lift"].iloc[0]):
        return f"In {found.level} it was drawn too seldom to be held against its equals."
    row = rows.iloc[0]
    return (
        f"In {found.level} it is hidden in {row['frequency']:.1%} of {int(row['opportunities']):,} draws, "
        f"{row['lift']:.2f} times as often as genes of equal expression there; no interval."
    )


def evidence(dataset: Dataset, run: Run, found: Queue, gene: str) -> None:
    """Draw the figures of a gene."""
    left, right = st.columns(2, gap="medium")
    with left:
        title = f"{gene} among all genes"
        fig = figures.place(found.stats, gene, title)
        row = found.stats[found.stats["gene"] == gene]
        show.figure(fig, "review-place", row, alt=title, simulated=dataset.simulated)
    with right:
        _map(dataset, run, gene)
    left, right = st.columns(2, gap="medium")
    with left:
        gene_card.by_group(run, gene, dataset.simulated)
    with right:
        _expression(dataset, gene)
    left, right = st.columns(2, gap="medium")
    with left:
        _donors(run, found, gene, dataset.simulated)
    with right:
        _sets(gene)


def _map(dataset: Dataset, run: Run, gene: str) -> None:
    maps = cell_views.maps(dataset, run)
    if not maps or gene not in set(dataset.genes):
        what = "No map of these cells yet" if not maps else f"{escape(gene)} is not in {escape(dataset.name)}"
        st.caption(f"{what}." + (f" `sgm umap {escape(dataset.name)}` makes one." if not maps else ""))
        return
    name = next(iter(maps))
    table, token = maps[name], maps.places[name].token
    cells, values = table["cell"].to_numpy(), PageValues(dataset, run)
    source = f"gene:{gene}"
    scatter(
        Points(table["x"].to_numpy(), table["y"].to_numpy(), cells, token),
        cells_colours.of_numbers(values, source, gene, cells, token, Scale()),
        key="review-map",
        group="review",
        title=f"{gene} · {name}{' · SIMULATED' if dataset.simulated else ''}",
        height=330,
        alt=f"Map of {len(cells):,} cells ({name}) coloured by the expression of {gene}",
    )


def _expression(dataset: Dataset, gene: str) -> None:
    column = dataset.cell_type_column
    if column is None or gene not in set(dataset.genes):
        return
    where = ("review expression", str(dataset.path), gene)
    table = everything.get(where, dataset.content_hash, lambda: _by_type(dataset, gene, column))
    title = f"Expression of {gene}, by cell type"
    fig = figures.expression(table, gene, title)
    show.figure(fig, "review-expression", table, alt=title, simulated=dataset.simulated)


def _by_type(dataset: Dataset, gene: str, column: str) -> pd.DataFrame:
    groups = pd.Series(questions_columns.values(dataset, column))
    return dot_plot(dataset, [gene], groups, kept_groups(groups))


def _donors(run: Run, found: Queue, gene: str, simulated: bool) -> None:
    """Draw how a gene is hidden beyond its equals in each donor, beside the uniform arm."""
    if "donor" not in mask_tables.groups(run):
        st.caption("This run counted no masks by donor.")
        return
    # one local fit over all genes for each donor: a minute for 19,000 genes and 50 donors, then kept
    if len(found.stats) * len(mask_tables.levels(run)["donor"]) > _MOST_FITS and not st.session_state.get(
        _ASKED
    ):
        st.button("Compare its donors", icon=":material/groups:", key="review-donors", on_click=_ask)
        st.caption("This works out all genes in every donor once, which takes a minute or so.")
        return
    control = uniform_arm(pd.DataFrame({"arm": mask_tables.arms(run)}), found.arm)
    arms = [found.arm, *([control] if control else [])]
    lifts = {arm: _lifts(*mask_tables.key(run), arm) for arm in arms}
    frames = []
    for number, arm in enumerate(arms):
        if gene in lifts[arm].index:
            mine = np.exp(lifts[arm].loc[gene].dropna())
            frames.append(
                pd.DataFrame({"donor": mine.index, "arm": arm_name(arm), "lift": mine.to_numpy()}).assign(
                    colour=arm_colour(arm, number), symbol=arm_symbol(arm)
                )
            )
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if table.empty:
        st.caption("Too few draws in each donor to hold this gene against its equals.")
        return
    title = f"{gene}: is it the same in every donor?"
    show.figure(figures.by_donor(table, gene, title), "review-donors", table, alt=title, simulated=simulated)
    said = []
    for arm in arms:
        above, known = donors_above(lifts[arm], gene)
        said.append(f"{arm_name(arm)}: in {above} of {words.count(known, 'donor')}")
    limits = f"{SHARED_MODELS[0].upper()}{SHARED_MODELS[1:]}"
    st.caption(escape(f"Hidden more than its equals, {'; '.join(said)}. {limits}."))


def _ask() -> None:
    st.session_state[_ASKED] = True


@kept("Comparing donors")
def _lifts(path: str, stamp: int, arm: str) -> pd.DataFrame:
    from pathlib import Path

    return lift_by_level(run_tables.read(Path(path), equal={"arm": arm, "by": "donor"}), "donor", arm)


def _sets(gene: str) -> None:
    """Say which signatures, transcription-factor lists and terms hold a gene."""
    st.markdown("**Lists of the literature that hold it**")
    resources = set_resources()
    held = _registered(tuple(str(r.path) for r in resources), tuple(tables.stamp(r.path) for r in resources))
    if not resources:
        st.caption(f"None is registered: {HOW_TO_ADD} add them.")
    else:
        n = held.get("", ["0"])[0]
        mine = held.get(gene, [])
        if mine:
            st.markdown("\n".join(f"* {escape(name)}" for name in mine[:_SHOWN_SETS]))
        st.caption(f"{len(mine)} of {n} registered signatures and lists of transcription factors.")
    for library in gene_sets.libraries().values():
        terms = _terms(str(library.path), tables.stamp(library.path)).get(gene, [])
        st.markdown(f"**Terms of {escape(library.name)}** ({len(terms)})")
        if terms:
            st.markdown("\n".join(f"* {escape(term)}" for term in terms[:_SHOWN_SETS]))
        if len(terms) > _SHOWN_SETS:
            st.caption(f"The {_SHOWN_SETS} smallest of {len(terms)} terms.")


@kept("Reading gene sets")
def _terms(path: str, stamp: int) -> dict[str, list[str]]:
    resource = next(r for r in list_resources("genesets") if str(r.path) == path)
    return holding(gene_sets.read(resource).terms)


@kept("Reading signatures")
def _registered(paths: tuple[str, ...], stamps: tuple[int, ...]) -> dict[str, list[str]]:
    sets = registered()
    return holding(sets) | {"": [str(len(sets))]}

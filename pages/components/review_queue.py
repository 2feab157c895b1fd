"""Which genes to review: an order, a group of cells, a term or a list, and what to leave out."""

from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st

from pages.components import gene_sets, mask_tables, review_handover, tables
from pages.components.kept import kept
from sgm_core.analysis.masks import lift_problem, preferred_genes
from sgm_core.analysis.rankings import NO_PREFERENCE
from sgm_core.analysis.universe import fit_list
from sgm_core.cells.genes import read_aliases
from sgm_core.errors import InputError
from sgm_core.figures.palette import FAMILIES, arm_name
from sgm_core.resources.store import list_resources
from sgm_core.review.queue import (
    FACTOR,
    ORDERS,
    SIGNATURE,
    filtered,
    flags,
    queue,
    ranking_name,
    statistics_version,
)  # fmt: skip
from sgm_core.review.queue import gene_sets as registered
from sgm_core.runs.biology import set_resources
from sgm_core.runs.store import Run

EVERYWHERE = "All cells"
FLAGS = {name: words_ for name, (words_, *_) in FAMILIES.items()} | {
    FACTOR: "Transcription factor",
    SIGNATURE: "Signature member",
}
SHOW = {"all": "All", "open": "Not judged by me", "differ": "Reviewers differ", "judged": "Judged"}
_NO_INTERVAL = (
    "This order has no interval: a model that learned nothing has such an order too. Look at the donors and "
    "at the lift over all cells before you call a gene plausible."
)


@dataclass(frozen=True)
class Queue:
    """What is reviewed.

    Parameters
    ----------
    genes
        The queue, as far as the filters let it through.
    arm
        Whose masks.
    stats
        Statistics of the arm over all cells.
    ranking
        How a verdict names the queue.
    version
        Of the statistics.
    flags
        Boolean, indexed by gene.
    notes
        What is to be said of the order, sentences.
    level, within
        The cell type whose cells alone are looked at, and the statistics there; empty for all cells.
    """

    genes: list[str]
    arm: str
    stats: pd.DataFrame
    ranking: str
    version: str
    flags: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    level: str = ""
    within: pd.DataFrame = field(default_factory=pd.DataFrame)


def controls(run: Run, held: pd.DataFrame, who: str | None) -> Queue:
    """Draw the controls; returns the queue that they make, which may be empty.

    Parameters
    ----------
    held
        The run's verdicts.
    who
        The reviewer.
    """
    review_handover.take_genes("order", "list")
    arms = mask_tables.arms(run)
    levels = mask_tables.levels(run).get("cell_type", [])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        arm = st.selectbox("Arm", arms, format_func=arm_name, key="arm", bind="query-params", width=150)
        stats = mask_tables.statistics(run, arm)
        level = st.selectbox(
            "Cells",
            [EVERYWHERE, *levels],
            key="cells",
            bind="query-params",
            width=165,
            persist_state="session",
        )
        within = level != EVERYWHERE
        order = st.selectbox(
            "Queue", list(_orders(stats, within)), format_func=ORDERS.__getitem__, key="order",
            bind="query-params", width=205,
        )  # fmt: skip
        show = st.selectbox("Show", list(SHOW), format_func=SHOW.__getitem__, key="show", width=150)
        with st.popover("More", icon=":material/tune:"):
            top = st.number_input("Length of the queue", 5, 1000, 100, step=5, key="top", bind="query-params")
            only = st.multiselect(
                "Only genes that are", list(FLAGS), format_func=FLAGS.__getitem__, key="only"
            )
            without = st.multiselect(
                "Without genes that are", list(FLAGS), format_func=FLAGS.__getitem__, key="without"
            )
            st.toggle("Go to the next gene after a verdict", True, key="review-advance")
            st.toggle(
                "Show others' verdicts before mine", key="review-open",
                help="Off, nobody is led by what others said: agreement then means something.",
            )  # fmt: skip
    genes, term, notes = _asked(run, order)
    ranked = mask_tables.statistics(run, arm, "cell_type", level) if within else stats
    if order == "lift" and not preferred_genes(stats):
        notes.append(f"{NO_PREFERENCE[0].upper()}{NO_PREFERENCE[1:]}.")
    if order == "above" or within:
        notes.append(_NO_INTERVAL)
    table = _flags(*_places(run), arm)
    found: list[str] = []
    try:
        found = queue(ranked, order, genes, len(stats)) if genes is None or genes else []
    except InputError as error:
        notes.append(f"{error}.")
    found = _shown(filtered(found, table, only, without), show, held, who)[: int(top)]
    name = ranking_name(order, arm, level if within else "", term)
    made = Queue(found, arm, stats, name, statistics_version(stats), table, notes)
    return replace(made, level=level, within=ranked) if within else made


def _orders(stats: pd.DataFrame, within: bool) -> list[str]:
    """Return the orders that these statistics have, the one that says most first."""
    if within:
        return ["above", "frequency", "term", "list"]
    if lift_problem(stats):
        return ["frequency", "above", "term", "list"]
    return ["lift", "frequency", "term", "list"]


def _asked(run: Run, order: str) -> tuple[list[str] | None, str, list[str]]:
    """Ask for a term or a list where the order needs one; returns its genes, its name, and notes."""
    if order == "term":
        libraries = gene_sets.libraries() | {
            f"{resource.name} (signatures)": resource for resource in list_resources("signatures")
        }
        with st.container(horizontal=True, vertical_alignment="bottom"):
            library = st.selectbox("Library", list(libraries), key="library", bind="query-params", width=230)
            terms = gene_sets.read(libraries[library]).terms
            term = st.selectbox("Term", list(terms), key="term", bind="query-params", width="stretch")
        return list(terms[term]), term, []
    if order != "list":
        return None, "", []
    text = st.text_area("Gene symbols, separated by spaces, commas or lines", key="list", bind="query-params")
    try:
        mine = gene_sets.symbols(text or "")
        if not mine.genes:
            return [], "", ["Paste the genes that you want to look at."]
        fitted = fit_list(mine.genes, mask_tables.universe(run), _aliases())
    except InputError as error:
        return [], "", [f"{error}."]
    return list(fitted.genes), "", [f"{note[0].upper()}{note[1:]}." for note in (*mine.notes, *fitted.notes)]


def resolve(run: Run, symbol: str) -> str | None:
    """Return the run's own name of a gene that a person typed, None if the run could not hide it."""
    found = fit_list([symbol.strip()], mask_tables.universe(run), _aliases()).genes
    return found[0] if found else None


def _aliases() -> dict[str, tuple[str, ...]] | None:
    resource = next(iter(list_resources("aliases")), None)
    return dict(_read_aliases(str(resource.path), tables.stamp(resource.path))) if resource else None


@kept()
def _read_aliases(path: str, stamp: int) -> dict[str, tuple[str, ...]]:
    from pathlib import Path

    return dict(read_aliases(Path(path)))


def _shown(genes: list[str], show: str, held: pd.DataFrame, who: str | None) -> list[str]:
    if show == "all":
        return genes
    if show == "open":
        mine = set(held.loc[held["reviewer"] == who, "gene"])
        return [gene for gene in genes if gene not in mine]
    said = held.groupby("gene")["verdict"].nunique()
    wanted = set(said.index[said > (1 if show == "differ" else 0)])
    return [gene for gene in genes if gene in wanted]


def _places(run: Run) -> tuple[tuple[str, ...], tuple[int, ...]]:
    path, stamp = mask_tables.key(run)
    sets = [resource.path for resource in set_resources()]
    return (path, *map(str, sets)), (stamp, *map(tables.stamp, sets))


@kept()
def _flags(paths: tuple[str, ...], stamps: tuple[int, ...], arm: str) -> pd.DataFrame:
    names = tables.cached(paths[0], stamps[0], ("gene",), by="all", arm=arm)
    return flags(names.drop_duplicates(), registered())


def answer(found: Queue, held: pd.DataFrame, who: str | None) -> str:
    """Say how many of the queue's genes are judged, by anybody and by the reviewer."""
    judged = held[held["gene"].isin(found.genes)]
    mine = judged.loc[judged["reviewer"] == who, "gene"].nunique()
    by_all = judged["gene"].nunique()
    yours = f", {mine:,} by you" if who else ""
    return f"{by_all:,} judged{yours}"

"""Gene-set libraries and what they find in lists of genes: read and tested once, shared, never changed."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import tables
from sgm_core.analysis.enrichment import Enrichment, enrich_run, group_terms, over_representation
from sgm_core.analysis.term_pairs import TermPair, pair_terms
from sgm_core.analysis.universe import FittedList, fit_list, fit_terms
from sgm_core.cells.gene_lists import GeneList, parse_genes
from sgm_core.cells.genes import read_aliases
from sgm_core.figures.enrichment import SIGNIFICANT
from sgm_core.resources.store import GeneSets, Resource, list_resources, read_gene_sets
from sgm_core.runs.store import Run
from sgm_core.runs.terms import ranked_genes

# The rankings of `sgm_core.analysis.rankings`, and whether they are controls.
RANKINGS = {
    "frequency": ("Most masked", False),
    "lift": ("Highest lift", False),
    "uniform": ("Uniform masks, most masked", True),
    "start": ("Before training, most masked", True),
    "expression": ("Highest mean expression", True),
    "inverse": ("Lowest mean expression", True),
}


@dataclass(frozen=True)
class Sizes:
    """What a test went over: genes in the list and the universe, terms, genes left out; what was assumed.

    `renamed` are the genes of the list that the universe writes otherwise (as written, gene, how it was
    found), `missing` those that it lacks.
    """

    listed: int
    universe: int
    terms: int
    outside: int = 0
    notes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str, str], ...] = ()
    missing: tuple[str, ...] = ()


def libraries() -> dict[str, Resource]:
    """Return the registered gene sets by name, the user's own before the built-in subset."""
    found = sorted(list_resources("genesets"), key=lambda resource: resource.built_in)
    return {resource.name: resource for resource in found}


@st.cache_resource(max_entries=8, show_spinner="Reading gene sets")
def _sets(path: str, stamp: int) -> GeneSets:
    return read_gene_sets(path)


def read(library: Resource) -> GeneSets:
    """Return a library's terms."""
    return _sets(str(library.path), tables.stamp(library.path))


def test_run(
    run: Run,
    library: Resource,
    arm: str,
    top: int,
    sizes: tuple[int, int],
    background: tuple[str, ...] | None = None,
    without: tuple[str, ...] = (),
) -> Enrichment:
    """Test a run's top genes and its controls against a library; see `enrich_run`."""
    paths = (run.table_path("masks"), run.table_path("masks_start"), library.path)
    stamps = tuple(tables.stamp(path) for path in paths)
    masks, start, terms = map(str, paths)
    return _run(masks, start, terms, stamps, arm, top, sizes, background, without)


@st.cache_resource(max_entries=32, show_spinner="Testing terms")
def _run(
    masks: str,
    start: str,
    library: str,
    stamps: tuple[int, ...],
    arm: str,
    top: int,
    sizes: tuple[int, int],
    background: tuple[str, ...] | None,
    without: tuple[str, ...],
) -> Enrichment:
    before = tables.cached(start, stamps[1], by="all") if stamps[1] else None
    rows = tables.cached(masks, stamps[0], by="all")
    return enrich_run(rows, _sets(library, stamps[2]).terms, arm, top, *sizes, background, before, without)


def pair(
    first: tuple[Run, str, str],
    second: tuple[Run, str, str],
    library: Resource,
    top: int,
    sizes: tuple[int, int],
    without: tuple[str, ...] = (),
) -> TermPair:
    """Test two rankings side by side, each a run, an arm and an order; see `pair_terms`."""
    sides = tuple(
        (run.id, arm, order, *map(tables.stamp, _tables(run))) for run, arm, order in (first, second)
    )
    return _pair(
        sides, str(library.path), tables.stamp(library.path), top, sizes, without, (first[0], second[0])
    )


@st.cache_resource(max_entries=16, show_spinner="Testing terms")
def _pair(
    sides: tuple[tuple[str, str, str, int, int], ...],
    library: str,
    stamp: int,
    top: int,
    sizes: tuple[int, int],
    without: tuple[str, ...],
    _runs: tuple[Run, Run],
) -> TermPair:
    first, second = (ranked_genes(run, side[1], side[2], without) for run, side in zip(_runs, sides))
    return pair_terms(first, second, _sets(library, stamp).terms, top, *sizes)


def _tables(run: Run) -> tuple[Path, Path]:
    return run.table_path("masks"), run.table_path("masks_start")


def test_list(
    genes: tuple[str, ...],
    universe: tuple[str, ...],
    library: Resource,
    sizes: tuple[int, int],
    ids: dict[str, tuple[str, ...]] | None = None,
) -> tuple[pd.DataFrame, Sizes]:
    """Test any list of genes against a library; `ids` are symbols by Ensembl id, where they are known."""
    known = _aliases()
    stamps = (tables.stamp(library.path), tables.stamp(known.path) if known else 0)
    table, fitted, notes = _list(
        genes, universe, str(library.path), str(known.path) if known else "", stamps, sizes, ids or {}
    )
    facts = table.attrs
    tested = facts["n_list"], facts["n_universe"], facts["n_terms"]
    return table, Sizes(*tested, len(fitted.outside), notes, fitted.mapped, fitted.outside)


def _aliases() -> Resource | None:
    """Return the registered alias table, the first of several."""
    return next(iter(list_resources("aliases")), None)


@st.cache_resource(max_entries=32, show_spinner="Testing terms")
def _list(
    genes: tuple[str, ...],
    universe: tuple[str, ...],
    library: str,
    aliases: str,
    stamps: tuple[int, int],
    sizes: tuple[int, int],
    _ids: dict[str, tuple[str, ...]],
) -> tuple[pd.DataFrame, FittedList, tuple[str, ...]]:
    sets = _sets(library, stamps[0])
    fitted = fit_list(genes, universe, _ids | (read_aliases(Path(aliases)) if aliases else {}))
    terms, changed = fit_terms(sets.terms, universe)
    table = over_representation(fitted.genes or genes, universe, terms, *sizes)
    return table, fitted, (*sets.put_right, *fitted.notes, *changed)


def of_ranking(found: Enrichment, ranking: str) -> tuple[pd.DataFrame, Sizes]:
    """Return one ranking's terms and what its test went over."""
    table = found.table[found.table["ranking"] == ranking].drop(columns="ranking").reset_index(drop=True)
    return table, Sizes(len(found.lists[ranking]), len(found.universe), len(table), notes=found.changes)


def side_by_side(found: Enrichment, arm: str, terms: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how many terms each ranking finds, and the adjusted p of the top terms in every ranking."""
    there = [name for name in RANKINGS if name in found.lists]
    counts = pd.DataFrame(
        {
            "name": [ranking_name(name, arm) for name in there],
            "significant": [
                int((of_ranking(found, name)[0]["q_value"] < SIGNIFICANT).sum()) for name in there
            ],
            "control": [RANKINGS[name][1] for name in there],
        }
    )
    wide = found.table.pivot(index="term", columns="ranking", values="q_value")[there]
    first = found.table.groupby("term")["p_value"].min().nsmallest(terms).index
    wide = wide.loc[first].rename(columns={name: ranking_name(name, arm) for name in there})
    return counts, wide.rename_axis(index="Term", columns=None).reset_index()


def ranking_name(ranking: str, arm: str) -> str:
    """Return a ranking as figures name it; the arm's own rankings carry the arm's name."""
    name, control = RANKINGS[ranking]
    return name if control else f"{arm}, {name.lower()}"


def grouped(table: pd.DataFrame, overlap: float = 0.5) -> pd.DataFrame:
    """Return the terms with hits, with the group of terms that the same genes carry."""
    return group_terms(table, overlap)


def symbols(text: str) -> GeneList:
    """Read gene symbols from free text, as `parse_genes` does; nothing at all is an empty list."""
    return parse_genes(text, "your list") if text.strip() else GeneList(())

"""Gene-set libraries and what they find in lists of genes: read and tested once, shared, never changed."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import tables
from sgm_core.analysis.enrichment import Enrichment, enrich_run, group_terms, over_representation
from sgm_core.analysis.term_pairs import TermPair, pair_terms
from sgm_core.analysis.universe import FittedList, fit_list, fit_terms
from sgm_core.cells.gene_lists import GeneList, parse_genes
from sgm_core.cells.genes import read_aliases
from sgm_core.report.enrichment_words import Sizes
from sgm_core.report.enrichment_words import libraries as libraries
from sgm_core.resources.store import GeneSets, Resource, list_resources, read_gene_sets
from sgm_core.runs.store import Run
from sgm_core.runs.terms import ranked_genes


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


def grouped(table: pd.DataFrame, overlap: float = 0.5) -> pd.DataFrame:
    """Return the terms with hits, with the group of terms that the same genes carry."""
    return group_terms(table, overlap)


def symbols(text: str) -> GeneList:
    """Read gene symbols from free text, as `parse_genes` does; nothing at all is an empty list."""
    return parse_genes(text, "your list") if text.strip() else GeneList(())

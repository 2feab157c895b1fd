"""Gene-set libraries and what they find in lists of genes: read and tested once, shared, never changed."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import tables
from sgm_core.analysis.enrichment import Enrichment, enrich_run, group_terms, over_representation
from sgm_core.analysis.universe import fit_list, fit_terms
from sgm_core.cells.gene_lists import GeneList, parse_genes
from sgm_core.cells.genes import read_aliases
from sgm_core.report.enrichment_words import Sizes
from sgm_core.report.enrichment_words import libraries as libraries
from sgm_core.resources.store import GeneSets, Resource, list_resources, read_gene_sets
from sgm_core.runs.store import Run


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
    without: tuple[str, ...] = (),
) -> Enrichment:
    """Test a run's top genes and its controls against a library; see `enrich_run`."""
    path = run.table_path("masks")
    stamps = (tables.stamp(path), tables.stamp(library.path))
    return _run(str(path), str(library.path), stamps, arm, top, sizes, without)


@st.cache_resource(max_entries=32, show_spinner="Testing terms")
def _run(
    masks: str,
    library: str,
    stamps: tuple[int, int],
    arm: str,
    top: int,
    sizes: tuple[int, int],
    without: tuple[str, ...],
) -> Enrichment:
    terms = _sets(library, stamps[1]).terms
    return enrich_run(tables.cached(masks, stamps[0], by="all"), terms, arm, top, *sizes, without)


def test_list(
    genes: tuple[str, ...], universe: tuple[str, ...], library: Resource, sizes: tuple[int, int]
) -> tuple[pd.DataFrame, Sizes]:
    """Test any list of genes against a library."""
    known = _aliases()
    stamps = (tables.stamp(library.path), tables.stamp(known.path) if known else 0)
    table, outside, notes = _list(
        genes, universe, str(library.path), str(known.path) if known else "", stamps, sizes
    )
    facts = table.attrs
    return table, Sizes(facts["n_list"], facts["n_universe"], facts["n_terms"], outside, notes)


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
) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    sets = _sets(library, stamps[0])
    fitted = fit_list(genes, universe, read_aliases(Path(aliases)) if aliases else None)
    terms, changed = fit_terms(sets.terms, universe)
    table = over_representation(fitted.genes or genes, universe, terms, *sizes)
    return table, len(fitted.outside), (*sets.put_right, *fitted.notes, *changed)


def grouped(table: pd.DataFrame) -> pd.DataFrame:
    """Return the terms with hits, with the group of terms that the same genes carry."""
    return group_terms(table)


def symbols(text: str) -> GeneList:
    """Read gene symbols from free text, as `parse_genes` does; nothing at all is an empty list."""
    return parse_genes(text, "your list") if text.strip() else GeneList(())

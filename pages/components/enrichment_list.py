"""A list of one's own on the page Enrichment: its universe, what was changed in it, what is missing."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from pages.components import gene_sets, mask_tables, questions_handover, show, uploads, words
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.report.enrichment_words import Sizes
from sgm_core.resources.store import Resource
from sgm_core.runs.store import Run

COMPARED, OWN = "compared", "own"
_MOST_BYTES = 20_000_000


def test(
    dataset: Dataset, run: Run | None, library: Resource, sizes: tuple[int, int]
) -> tuple[pd.DataFrame, Sizes, str]:
    """Ask for a list and its universe, and test it; without a list say what to do, and end the page."""
    universes = {"library": "The library's own genes", OWN: "A list that I paste"}
    if dataset.has_counts:
        universes = {"dataset": f"The {dataset.n_genes:,} genes of {dataset.name}", **universes}
    if run:
        n_genes = len(mask_tables.universe(run))
        universes = {"run": f"The {n_genes:,} genes that the run could hide", **universes}
    compared = questions_handover.compared(dataset)
    if compared:
        universes = {COMPARED: f"The {len(compared):,} genes that the comparison tested", **universes}
    left, right = st.columns([2, 1], gap="medium")
    with left:
        text = st.text_area(
            "Gene symbols or Ensembl ids, separated by spaces, commas or lines",
            key="list",
            bind="query-params",
        )
    with right:
        pool = st.radio(
            "Universe",
            list(universes),
            format_func=lambda name: escape(universes[name]),
            key="universe",
            bind="query-params",
        )
        st.caption("The genes that could have been in your list: choose the narrowest that is true.")
    own = pasted("universe-list", "Genes of the universe") if pool == OWN else gene_sets.GeneList(())
    mine = gene_sets.symbols(text or "")
    if not mine.genes:
        st.info("Paste a list of gene symbols to see which terms hold more of them than chance.")
        st.stop()
    if pool == OWN and not own.genes:
        st.info("Paste the genes of the universe: all that could have been in your list.")
        st.stop()
    universe: tuple[str, ...]
    if pool == COMPARED:
        universe = compared
    elif pool == OWN:
        universe = own.genes
    elif run and pool == "run":
        universe = mask_tables.universe(run)
    else:
        universe = tuple(dataset.genes) if pool == "dataset" else tuple(sorted(gene_sets.read(library).genes))
    table, facts = gene_sets.test_list(mine.genes, universe, library, sizes, _ids(dataset))
    said = "the genes that I pasted" if pool == OWN else universes[pool]
    return table, replace(facts, notes=(*mine.notes, *own.notes, *facts.notes)), said


def pasted(key: str, label: str) -> gene_sets.GeneList:
    """Ask for a list of genes, pasted or from a text file."""
    text = st.text_area(label, key=key, bind="query-params", height=100)
    file = uploads.uploader("Or a text file with them", type=["txt", "csv", "tsv"], key=f"{key}-file")
    if file is not None:
        text = uploads.content(file, _MOST_BYTES).decode("utf-8", errors="replace")
    return gene_sets.symbols(text or "")


def changed(facts: Sizes) -> None:
    """Show each gene that is written otherwise in the universe, and each that it lacks."""
    if not facts.renamed and not facts.missing:
        return
    said = [words.count(len(facts.renamed), "gene") + " renamed"] if facts.renamed else []
    said += [words.count(len(facts.missing), "gene") + " not found"] if facts.missing else []
    with st.expander(f"What became of the list: {', '.join(said)}"):
        rows = [(old, new, how) for old, new, how in facts.renamed]
        rows += [(old, "", "not in the universe") for old in facts.missing]
        frame = pd.DataFrame(rows, columns=["As written", "Gene", "How it was found"])
        show.table(frame, "list-changed", height=min(300, 38 + 35 * len(frame)))


def _ids(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Return the symbols of a dataset by Ensembl id; empty where it has none."""
    if not dataset.has_counts or "ensembl" not in dataset.var:
        return {}
    known = dataset.var[["gene", "ensembl"]].dropna()
    return {str(code).partition(".")[0]: (str(gene),) for gene, code in zip(known["gene"], known["ensembl"])}

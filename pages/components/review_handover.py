"""Genes on their way to the page Review, and what its reviewers say on other pages."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.components import state
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.review import consensus, verdicts
from sgm_core.review.queue import ORDERS
from sgm_core.runs.store import Run

_GENES, _GENE = "review-handed", "review-handed-gene"


def hand(genes: Sequence[str]) -> None:
    """Open the page Review with these genes as its queue."""
    st.session_state[_GENES] = list(genes)
    state.go("pages/review.py")


def look(gene: str) -> None:
    """Open the page Review at a gene."""
    st.session_state[_GENE] = gene
    state.go("pages/review.py")


def take_genes(order: str, text: str) -> None:
    """Put a queue that was handed over into the page's controls and its link, before they are drawn.

    Parameters
    ----------
    order, text
        Keys of the controls for the order, and for an own list.
    """
    genes = st.session_state.pop(_GENES, None)
    if genes is not None:
        st.session_state[order], st.session_state[text] = "list", " ".join(genes)
        st.query_params.update({order: ORDERS["list"], text: " ".join(genes)})


def take_gene() -> str | None:
    """Return the gene to look at that was handed over, once."""
    return st.session_state.pop(_GENE, None)


def judged(run: Run) -> pd.DataFrame:
    """Return what a run's reviewers say together; with a line on the page where that can't be read."""
    try:
        return consensus(verdicts(run))
    except InputError as error:
        st.warning(escape(f"{error}."), icon=":material/info:")
        return consensus(pd.DataFrame(columns=["gene", "verdict"], dtype=object))

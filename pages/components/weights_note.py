"""What the pages say of imported weights: what they are, their licence, and how to get them."""

import streamlit as st

from sgm_core.escape import escape
from sgm_core.model.bundle import IMPORT, LICENCE, bundle_names, open_bundle
from sgm_core.model.gene_list import WHERE
from sgm_core.training.backbones import is_bundle


def backbone_label(name: str) -> str:
    """Return a backbone as the selector names it."""
    return f"{name}, imported" if is_bundle(name) else f"{name}, from scratch"


def reminder(backbone: str) -> None:
    """Say of chosen weights how large they are and what their owner allows."""
    if is_bundle(backbone):
        bundle = open_bundle(backbone)
        st.caption(
            f"`{backbone}`: {bundle.n_parameters:,} parameters, {bundle.config['n_genes']:,} genes. "
            f"{escape(_sentences(bundle.licence, 2))}"
        )


def how_to_import() -> None:
    """Explain how to get the released weights, where none are imported."""
    if bundle_names():
        return
    with st.expander("Use the released scFoundation weights (119 M parameters)"):
        st.markdown(
            f"1. {WHERE[0].upper()}{WHERE[1:]}.\n2. Import both files once, in a terminal on this machine:"
        )
        st.code(IMPORT, language="bash", wrap_lines=True)
        st.markdown("3. Come back: the weights are then among the backbones.")
        st.caption(_sentences(LICENCE, 2))


def _sentences(text: str, n: int) -> str:
    return ". ".join(text.split(". ")[:n]).rstrip(".") + "."

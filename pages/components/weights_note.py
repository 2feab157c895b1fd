"""What the pages say of imported weights: what they are, their licence, and how to get them."""

import streamlit as st

from sgm_core.escape import escape
from sgm_core.model.bundle import bundle_names, open_bundle
from sgm_core.model.released import RELEASED
from sgm_core.training.backbones import bundle_kind, is_bundle


def backbone_label(name: str) -> str:
    """Return a backbone as the selector names it."""
    if not is_bundle(name):
        return f"{name}, from scratch"
    title = RELEASED[bundle_kind(name)].title
    return f"{name}, imported" if title.lower() in name.lower() else f"{name}, imported ({title})"


def reminder(backbone: str) -> None:
    """Say of chosen weights how large they are and what their owner allows."""
    if is_bundle(backbone):
        bundle = open_bundle(backbone)
        st.caption(
            f"`{backbone}`: {bundle.n_parameters:,} parameters, {bundle.config['n_genes']:,} genes. "
            f"{escape(_sentences(bundle.licence, 2))}"
        )


def how_to_import() -> None:
    """Explain how to get the weights of every released model of which none are imported."""
    there = {bundle_kind(name) for name in bundle_names()}
    missing = [released for kind, released in RELEASED.items() if kind not in there]
    if not missing:
        return
    titles = [released.title for released in missing]
    with st.expander(
        f"Use released weights of {', '.join(titles[:-1])}{' or ' * bool(titles[1:])}{titles[-1]}"
    ):
        for tab, released in zip(st.tabs(titles), missing, strict=True):
            with tab:
                st.markdown(
                    f"{released.title} has {released.size}.\n\n"
                    f"1. {released.where[0].upper()}{released.where[1:]}.\n"
                    "2. Import the files once, in a terminal on this machine:"
                )
                st.code(released.command, language="bash", wrap_lines=True)
                st.markdown("3. Come back: the weights are then among the backbones.")
                st.caption(escape(_sentences(released.licence, 2)))


def _sentences(text: str, n: int) -> str:
    return ". ".join(text.split(". ")[:n]).rstrip(".") + "."

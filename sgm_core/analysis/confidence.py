"""How sure a sentence is, in one word: proven, undecided, described or chance."""

from collections.abc import Mapping
from typing import Any

WORDS = {"proven": "Proven", "undecided": "Undecided", "described": "Described", "chance": "Chance"}
MEANINGS = {
    "proven": "the interval excludes no effect",
    "undecided": "these data can't tell",
    "described": "measured, and not tested",
    "chance": "what chance alone brings",
}

SIGNIFICANT = 0.05
"""Adjusted p up to which a term counts as found, in every test of gene sets, or a gene as hidden more."""


def of_pair(pair: Mapping[str, Any]) -> str | None:
    """Return the confidence of a paired difference; None while there is nothing to be sure of."""
    return str(pair["confidence"]) if pair["n_folds"] else None


def of_terms(n_found: int) -> str:
    """Return the confidence of an enrichment: the adjusted p of a term is under the limit, or of none."""
    return "proven" if n_found else "chance"

"""How sure a sentence is, in a word and a mark, the same on every page: proven, undecided, chance ..."""

from collections.abc import Mapping
from typing import Any

from sgm_core.analysis.verdict import Verdict
from sgm_core.escape import escape

# Word, colour and shape: never told by colour alone.
MARKS = {
    "proven": ("Proven", "green", ":material/check_circle:"),
    "undecided": ("Undecided", "orange", ":material/balance:"),
    "described": ("Described", "blue", ":material/straighten:"),
    "chance": ("Chance", "gray", ":material/casino:"),
}
MEANING = (
    "**Proven**: the interval excludes no effect. **Undecided**: these data can't tell. "
    "**Described**: measured, and not tested. **Chance**: what chance alone brings."
)


def mark(confidence: str | None) -> str:
    """Return the mark as Markdown, to put before a sentence; empty where a sentence has no confidence."""
    if confidence is None:
        return ""
    word, colour, icon = MARKS[confidence]
    return f":{colour}-badge[{icon} {word}] "


def of_pair(pair: Mapping[str, Any]) -> str | None:
    """Return the confidence of a paired difference; None while there is nothing to be sure of."""
    return str(pair["confidence"]) if pair["n_folds"] else None


def masks_line(name: str, found: Verdict) -> str:
    """Return as Markdown what is true of one arm's masks, with its mark."""
    return f"{mark(found.confidence)}**{escape(name)}.** {escape(found.sentence)}."


def of_terms(n_found: int) -> str:
    """Return the confidence of an enrichment: the adjusted p of a term is under the limit, or of none."""
    return "proven" if n_found else "chance"

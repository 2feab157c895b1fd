"""How sure a sentence is, in a word and a mark, the same on every page: proven, undecided, or chance."""

from collections.abc import Mapping
from typing import Any

from sgm_core.escape import escape

# Word, colour and shape: never told by colour alone.
MARKS = {
    "proven": ("Proven", "green", ":material/check_circle:"),
    "undecided": ("Undecided", "orange", ":material/balance:"),
    "chance": ("Chance", "gray", ":material/casino:"),
}
MEANING = (
    "**Proven**: the interval excludes no effect. **Undecided**: these data can't tell. "
    "**Chance**: what chance alone brings."
)


def mark(confidence: str | None) -> str:
    """Return the mark as Markdown, to put before a sentence; empty where a sentence has no confidence."""
    if confidence is None:
        return ""
    word, colour, icon = MARKS[confidence]
    return f":{colour}-badge[{icon} {word}] "


def of_pair(pair: Mapping[str, Any]) -> str | None:
    """Return the confidence of a paired difference: its own, else whether its interval excludes zero."""
    if "confidence" in pair:
        return str(pair["confidence"])
    if not pair["n_folds"]:
        return None  # nothing to be sure of yet
    return "undecided" if pair["verdict"] == "undecided" else "proven"


def of_masks(found: Mapping[str, Any]) -> str:
    """Return the confidence of what a mask diagnostic says.

    A diagnostic without a confidence of its own speaks of one model: frequencies that are those of uniform
    draws are chance, and a preference, which another seed may not have, is undecided.
    """
    if "confidence" in found:
        return str(found["confidence"])
    from sgm_core.analysis.diagnostic import SMALL_SHIFT, SMALL_SPREAD

    flat = found["spread_relative"] < SMALL_SPREAD or found["spread_z"] < 3
    base = found["base_rate"]
    shift = found["nonzero_share"] / base - 1 if base else 0.0
    shifted = found["basis"] == "all" and abs(shift) > SMALL_SHIFT
    return "chance" if flat and not shifted else "undecided"


def masks_line(name: str, sentence: str, found: Mapping[str, Any]) -> str:
    """Return as Markdown what is true of one arm's masks, with its mark."""
    return f"{mark(of_masks(found))}**{escape(name)}.** {escape(sentence)}."


def of_terms(n_found: int) -> str:
    """Return the confidence of an enrichment: the adjusted p of a term is under the limit, or of none."""
    return "proven" if n_found else "chance"

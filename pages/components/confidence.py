"""How sure a sentence is, in a word and a mark, the same on every page: proven, undecided, chance ..."""

from sgm_core.analysis.confidence import MEANINGS, WORDS
from sgm_core.analysis.confidence import of_pair as of_pair
from sgm_core.analysis.confidence import of_terms as of_terms
from sgm_core.analysis.verdict import Verdict
from sgm_core.escape import escape

# Colour and shape beside the word: never told by colour alone.
MARKS = {
    "proven": ("green", ":material/check_circle:"),
    "undecided": ("orange", ":material/balance:"),
    "described": ("blue", ":material/straighten:"),
    "chance": ("gray", ":material/casino:"),
}
MEANING = " ".join(f"**{WORDS[name]}**: {meaning}." for name, meaning in MEANINGS.items())


def mark(confidence: str | None) -> str:
    """Return the mark as Markdown, to put before a sentence; empty where a sentence has no confidence."""
    if confidence is None:
        return ""
    colour, icon = MARKS[confidence]
    return f":{colour}-badge[{icon} {WORDS[confidence]}] "


def masks_line(name: str, found: Verdict) -> str:
    """Return as Markdown what is true of one arm's masks, with its mark."""
    return f"{mark(found.confidence)}**{escape(name)}.** {escape(found.sentence)}."

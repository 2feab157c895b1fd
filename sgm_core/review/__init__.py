"""Review of masked genes by several people: verdicts with their history, agreement, files in and out."""

from sgm_core.review.agreement import Agreement, agreement, disagreements
from sgm_core.review.consensus import artefacts, consensus
from sgm_core.review.kinds import VERDICTS, verdict_name
from sgm_core.review.store import Verdict, history, record, undo, verdicts

__all__ = [
    "VERDICTS",
    "Agreement",
    "Verdict",
    "agreement",
    "artefacts",
    "consensus",
    "disagreements",
    "history",
    "record",
    "undo",
    "verdict_name",
    "verdicts",
]

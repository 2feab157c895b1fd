"""Review of masked genes by several people: verdicts with their history, agreement, files in and out."""

from sgm_core.review.agreement import Agreement, agreement, disagreements
from sgm_core.review.consensus import artefacts, consensus, left_out_sentence, summary_sentence
from sgm_core.review.export import export_verdicts
from sgm_core.review.importing import Imported, import_verdicts
from sgm_core.review.kinds import VERDICTS, verdict_name
from sgm_core.review.store import Verdict, history, record, undo, verdicts

__all__ = [
    "VERDICTS",
    "Agreement",
    "Imported",
    "Verdict",
    "agreement",
    "artefacts",
    "consensus",
    "disagreements",
    "export_verdicts",
    "history",
    "import_verdicts",
    "left_out_sentence",
    "record",
    "summary_sentence",
    "undo",
    "verdict_name",
    "verdicts",
]

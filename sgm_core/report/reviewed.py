"""The report's section on reviews: what people said of the masked genes, and whether they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgm_core.report.content import Block, Said, Section, Table
from sgm_core.review import agreement, consensus, disagreements, summary_sentence, verdict_name, verdicts
from sgm_core.review.agreement import agreement_sentence
from sgm_core.units import count

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.runs.run import Run

_NAMES = {
    "gene": "Gene",
    "reviewer": "Reviewer",
    "verdict": "Verdict",
    "tags": "Tags",
    "comment": "Comment",
    "time": "When",
}


def reviews_of(run: Run) -> pd.DataFrame | None:
    """Return the verdicts that hold on a run's genes, None where nobody has judged one."""
    found = verdicts(run)
    return found if len(found) else None


def words_by_gene(reviews: pd.DataFrame) -> pd.Series:
    """Return what reviewers say together of each gene, such as "Artefact (2 of 3)"."""
    return consensus(reviews).set_index("gene")["words"]


def review_section(reviews: pd.DataFrame | None) -> Section | None:
    """Say how many genes were judged, by whom, and how far they agree; list the verdicts."""
    if reviews is None:
        return None
    blocks: list[Block] = [Said(f"{summary_sentence(reviews)}.")]
    found = agreement(reviews)
    if agree := agreement_sentence(found):
        blocks.append(Said(f"{agree}.", limits=found.kappa is None or not found.kappa.low > 0))
    apart = disagreements(reviews)
    if len(apart):
        blocks.append(Said(f"Reviewers differ on {count(len(apart), 'gene')}.", limits=True))
        named = apart.rename(columns=lambda name: str(name).replace("_", " ").capitalize())
        blocks.append(Table("disagreements", named, "Genes on which reviewers differ", most=50))
    shown = reviews[[name for name in _NAMES if name in reviews]]
    shown = shown.assign(verdict=shown["verdict"].map(verdict_name)).rename(columns=_NAMES)
    return Section("review", "What reviewers said", (*blocks, Table("reviews", shown, most=100)))

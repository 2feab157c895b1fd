"""The report's section on reviews: what people said of the masked genes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sgm_core.report.content import Said, Section, Table
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
    """Return the current verdicts on a run's genes, None where nobody has judged one."""
    try:
        verdicts = importlib.import_module("sgm_core.review").verdicts
    except ModuleNotFoundError:
        return None
    found: pd.DataFrame = verdicts(run)
    return found if len(found) else None


def review_section(reviews: pd.DataFrame | None) -> Section | None:
    """Say how many genes were judged and by whom, and list the verdicts."""
    if reviews is None:
        return None
    genes, people = reviews["gene"].nunique(), reviews["reviewer"].nunique()
    counts = reviews["verdict"].value_counts()
    said = ", ".join(f"{n:,} {verdict}" for verdict, n in counts.items())
    both = reviews.groupby("gene")["verdict"].nunique()
    apart = int((both > 1).sum())
    text = f"{count(genes, 'gene')} judged by {count(people, 'reviewer')}: {said}."
    blocks = [Said(text)]
    if people > 1:
        blocks.append(Said(f"Reviewers disagree on {count(apart, 'gene')}.", limits=apart > 0))
    shown = reviews[[name for name in _NAMES if name in reviews]].rename(columns=_NAMES)
    return Section("review", "What reviewers said", (*blocks, Table("reviews", shown, most=100)))

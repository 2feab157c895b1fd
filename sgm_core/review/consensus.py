"""What several reviewers say together of a gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgm_core.review.kinds import VERDICTS, verdict_name
from sgm_core.review.store import verdicts
from sgm_core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

DIVIDED = "divided"


def consensus(table: pd.DataFrame) -> pd.DataFrame:
    """Return what more than half of a gene's reviewers say.

    Parameters
    ----------
    table
        From `sgm_core.review.verdicts`, of one run.

    Returns
    -------
    DataFrame
        One row a gene, by name: gene, verdict (``divided`` where no verdict has more than half), reviewers
        (how many), agreeing (how many of them say the most frequent verdict), words ("Artefact (2 of 3)").
    """
    import pandas as pd

    counts = pd.crosstab(table["gene"], table["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    reviewers, agreeing = counts.sum(axis=1), counts.max(axis=1)
    said = counts.idxmax(axis=1).where(2 * agreeing > reviewers, DIVIDED)
    found = pd.DataFrame(
        {
            "gene": counts.index.astype(object),
            "verdict": said.to_numpy(object),
            "reviewers": reviewers.to_numpy(),
            "agreeing": agreeing.to_numpy(),
        }
    )
    found["words"] = [
        _words(str(said), int(agree), int(n))
        for said, agree, n in zip(found["verdict"], found["agreeing"], found["reviewers"])
    ]
    return found


def artefacts(run: str | Run) -> list[str]:
    """Return the genes that more than half of their reviewers call an artefact, by name."""
    found = consensus(verdicts(run))
    return found.loc[found["verdict"] == "artefact", "gene"].tolist()


def left_out_sentence(genes: list[str]) -> str:
    """Say which genes are left out as artefacts; only genes that people judged can be among them."""
    if not genes:
        return "no gene is judged an artefact by most of its reviewers: nothing is left out"
    shown = ", ".join(genes[:8]) + (" ..." if len(genes) > 8 else "")
    what = (
        "genes that most of their reviewers call artefacts are"
        if len(genes) > 1
        else ("gene that most of its reviewers call an artefact is")
    )
    return f"{len(genes):,} {what} left out of lists and universe: {shown}"


def _words(verdict: str, agreeing: int, reviewers: int) -> str:
    if verdict == DIVIDED:
        return f"Divided ({reviewers} reviewers)"
    return verdict_name(verdict) + (f" ({agreeing} of {reviewers})" if reviewers > 1 else "")


def summary_sentence(table: pd.DataFrame) -> str:
    """Say in one sentence what reviewers say: how many genes and people, and how many genes of each verdict.

    Parameters
    ----------
    table
        As in `consensus`.
    """
    if table.empty:
        return "No gene is judged yet"
    found = consensus(table)
    n, people = len(found), table["reviewer"].nunique()
    counts = found["verdict"].value_counts()
    plural = {"known": "known AML gene", "artefact": "artefact"}
    said = [
        f"{counts[key]:,} {plural.get(key, key)}{'s' if key in plural and counts[key] > 1 else ''}"
        for key in [*VERDICTS, DIVIDED]
        if counts.get(key, 0)
    ]
    genes, who = f"{n:,} gene{'' if n == 1 else 's'}", f"{people} reviewer{'' if people == 1 else 's'}"
    return f"{genes} judged by {who}: {', '.join(said)}"

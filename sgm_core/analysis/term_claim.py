"""What the terms of a run's most masked genes amount to: one sentence, and how sure it is."""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import pandas as pd

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.enrichment import Enrichment
from sgm_core.analysis.verdict import guided_beyond_expression, verdict

UNTAUGHT = ("uniform", "start")
"""Rankings of masks that nothing was learned for."""

Confidence = Literal["proven", "undecided", "chance"]


class Claim(NamedTuple):
    """A sentence about the terms of a ranking, and how sure it is.

    `found` terms hold more of the list than chance; `own` of them hold more than genes of equal expression
    do, and are found so by no ranking of masks that nothing was learned for.
    """

    sentence: str
    confidence: Confidence
    found: int
    own: pd.DataFrame


def own_terms(found: Enrichment, ranking: str) -> pd.DataFrame:
    """Return the terms that a ranking finds beyond expression, and no untaught masks find.

    Parameters
    ----------
    found
        From `sgm_core.analysis.enrichment.enrich_run`.
    ranking
        One of its lists.
    """
    table = found.table
    significant = table[(table["q_value"] < SIGNIFICANT) & (table["q_matched"] < SIGNIFICANT)]
    untaught = _names(significant[significant["ranking"].isin(UNTAUGHT)])
    mine = significant[significant["ranking"] == ranking]
    return mine[[name not in untaught for name in zip(mine["term"], mine["go_id"])]].reset_index(drop=True)


def claim(found: Enrichment, ranking: str, diagnostic: dict[str, Any], what: str) -> Claim:
    """Say what the terms of a ranking tell about the model that hid the genes.

    Only masks that `verdict` proves to be guided beyond expression can mean something by their genes: terms
    of all others are those of expressed genes, of random weights or of luck, and the sentence says so.

    Parameters
    ----------
    found, ranking
        As in `own_terms`.
    diagnostic
        `sgm_core.analysis.diagnostic.diagnostic` of the same arm.
    what
        What the list is, in words: ``the 200 most masked genes``.
    """
    mine = found.table[found.table["ranking"] == ranking]
    n_found = int((mine["q_value"] < SIGNIFICANT).sum())
    own = own_terms(found, ranking)
    if mine.empty:
        n = len(found.universe)
        return Claim(f"No term has an eligible size in a universe of {n:,} genes", "chance", 0, own)
    terms = f"{len(mine):,} term" + ("s" if len(mine) != 1 else "")
    if not n_found:
        best = mine.iloc[0]
        sentence = f"No term of {len(mine):,} holds more of {what} than chance; the closest is {best['term']}"
        return Claim(f"{sentence} (adjusted p {best['q_value']:.2g})", "chance", 0, own)
    holds = "holds" if n_found == 1 else "hold"
    head = (
        f"{n_found:,} of {terms} {holds} more of {what} than chance, {len(own):,} of them more than genes of "
    )
    head += "equal expression and than masks that nothing was learned for"
    if not guided_beyond_expression(diagnostic):
        judged = verdict(diagnostic)
        sure: Confidence = "undecided" if judged.confidence == "undecided" else "chance"
        return Claim(
            f"{head}. It says nothing of what the model learned: {judged.sentence}", sure, n_found, own
        )
    if own.empty:
        return Claim(f"{head}: expression explains what these genes do", "chance", n_found, own)
    best = own.iloc[0]
    share = f"{best['n_hits']} of its {best['n_term']} genes, {best['expected_matched']:.1f} expected"
    return Claim(f"{head}; the strongest is {best['term']} ({share})", "proven", n_found, own)


def _names(rows: pd.DataFrame) -> Collection[tuple[str, str]]:
    return set(zip(rows["term"], rows["go_id"]))

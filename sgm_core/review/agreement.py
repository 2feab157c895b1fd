"""Whether reviewers agree, beyond chance, and on which genes they do not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from sgm_core.review.kinds import VERDICTS, verdict_name

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.kappa import Kappa


@dataclass(frozen=True)
class Agreement:
    """The agreement of a run's reviewers.

    Parameters
    ----------
    kind
        ``Cohen's kappa`` for two reviewers, ``Fleiss' kappa`` for more; empty with fewer than two.
    kappa
        Of all reviewers; None with fewer than two.
    pairs
        One row a pair of reviewers who both judged a gene: first, second, genes, same (genes on which they
        agree), kappa, low, high (Cohen's).
    """

    kind: str
    kappa: Kappa | None
    pairs: pd.DataFrame


def agreement(table: pd.DataFrame) -> Agreement:
    """Return how far reviewers agree.

    Parameters
    ----------
    table
        From `sgm_core.review.verdicts`, of one run.
    """
    import pandas as pd

    from sgm_core.analysis.kappa import cohen_kappa, fleiss_kappa

    wide = table.pivot(index="gene", columns="reviewer", values="verdict")
    rows, kappa, kind = [], None, ""
    for first, second in combinations(wide.columns, 2):
        both = wide[[first, second]].dropna()
        if both.empty:
            continue
        found = cohen_kappa(both[first].tolist(), both[second].tolist())
        same = int((both[first] == both[second]).sum())
        rows.append((first, second, len(both), same, found.value, found.low, found.high))
        kappa, kind = found, "Cohen's kappa"
    if wide.shape[1] > 2:
        counts = pd.crosstab(table["gene"], table["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
        kappa, kind = fleiss_kappa(counts.to_numpy()), "Fleiss' kappa"
    columns = ["first", "second", "genes", "same", "kappa", "low", "high"]
    return Agreement(kind, kappa, pd.DataFrame(rows, columns=columns))


def disagreements(table: pd.DataFrame) -> pd.DataFrame:
    """Return the genes on which reviewers differ.

    Parameters
    ----------
    table
        As in `agreement`.

    Returns
    -------
    DataFrame
        gene, reviewers, verdicts (how many different ones), said ("A: Plausible; B: Artefact"); the genes
        with most reviewers first.
    """
    import pandas as pd

    rows = []
    for gene, mine in table.groupby("gene"):
        if mine["verdict"].nunique() < 2:
            continue
        words = "; ".join(
            f"{who}: {verdict_name(said)}" for who, said in zip(mine["reviewer"], mine["verdict"])
        )
        rows.append((gene, len(mine), mine["verdict"].nunique(), words))
    found = pd.DataFrame(rows, columns=["gene", "reviewers", "verdicts", "said"])
    return found.sort_values(["reviewers", "gene"], ascending=[False, True], ignore_index=True)


def agreement_sentence(found: Agreement) -> str:
    """Say in one sentence how far reviewers agree beyond chance; empty with fewer than two."""
    k = found.kappa
    if k is None or k.n == 0:
        return ""
    if k.n == 1:
        return "One gene was judged by two reviewers or more, too few to speak of agreement"
    on = f"on {k.n:,} genes"
    if k.value != k.value:
        return f"Reviewers gave one and the same verdict {on}, so agreement beyond chance is undefined"
    head = f"{found.kind} {k.value:.2f}"
    proven = "more than chance" if k.low > 0 else "not proven to be more than chance"
    return f"{head} {on} (95 % interval {k.low:.2f} to {k.high:.2f}): {proven}"

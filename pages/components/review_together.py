"""What all reviewers say: agreement, genes on which they differ, all verdicts, and files out and in."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components import permit, show, uploads, words
from pages.components.review_verdict import GENE
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.review import (
    VERDICTS,
    Agreement,
    agreement,
    consensus,
    disagreements,
    import_verdicts,
    verdict_name,
)  # fmt: skip
from sgm_core.review.export import export_text
from sgm_core.runs.store import Run

VIEW, JUDGE = "view", "Judge"
_FEW = 20
_MOST_BYTES = 100_000_000
_IMPORTED = "review-imported"
_VERDICTS = {
    "gene": st.column_config.TextColumn("Gene", pinned=True),
    "reviewer": st.column_config.TextColumn("Reviewer"),
    "said": st.column_config.TextColumn("Verdict"),
    "together": st.column_config.TextColumn("All reviewers"),
    "tags": st.column_config.TextColumn("Tags"),
    "comment": st.column_config.TextColumn("Comment", width="large"),
    "ranking": st.column_config.TextColumn("Met in"),
    "time": st.column_config.DatetimeColumn("When", format="D MMM YYYY, HH:mm"),
    "statistics_version": st.column_config.TextColumn("Statistics"),
}
_PAIRS = {
    "first": st.column_config.TextColumn("Reviewer"),
    "second": st.column_config.TextColumn("And"),
    "genes": st.column_config.NumberColumn("Genes of both"),
    "same": st.column_config.NumberColumn("Same verdict"),
    "kappa": st.column_config.NumberColumn("Cohen's kappa", format="%.2f"),
    "low": st.column_config.NumberColumn("95 % low", format="%.2f"),
    "high": st.column_config.NumberColumn("95 % high", format="%.2f"),
}
_DIFFER = {
    "gene": st.column_config.TextColumn("Gene", pinned=True),
    "reviewers": st.column_config.NumberColumn("Reviewers"),
    "verdicts": st.column_config.NumberColumn("Different verdicts"),
    "said": st.column_config.TextColumn("What they say", width="large"),
}


def together(run: Run, held: pd.DataFrame) -> None:
    """Draw agreement and the genes on which reviewers differ."""
    if held["reviewer"].nunique() < 2:
        st.info(
            "Agreement takes two reviewers: ask a colleague to judge some of the same genes, here or by a "
            "file under **Files**.",
            icon=":material/group:",
        )
        return
    found = agreement(held)
    if found.pairs.empty:
        st.info("No gene was judged by two reviewers yet.", icon=":material/info:")
        _people(held)
        return
    st.caption(_meaning(found))
    st.markdown("**Pairs of reviewers**")
    show.table(found.pairs, "review-pairs", column_config=_PAIRS)
    _people(held)
    differ = disagreements(held)
    st.markdown(f"**Reviewers differ on {words.count(len(differ), 'gene')}**")
    if len(differ):
        show.table(
            differ, "review-differ", column_config=_DIFFER, on_select=_open, selection_mode="single-row"
        )
        st.session_state["review-differ-genes"] = differ["gene"].tolist()
        st.caption(":material/ads_click: Choose a row to look at the gene again.")


def _meaning(found: Agreement) -> str:
    few = ""
    if found.kappa is not None and 0 < found.kappa.n < _FEW:
        few = f" From {words.count(found.kappa.n, 'gene')}, the interval is what counts."
    return (
        "0 is what people get who know nothing of the genes and use each verdict as often as these do; 1 is "
        f"perfect. The interval is over genes, not over people.{few}"
    )


def _people(held: pd.DataFrame) -> None:
    st.markdown("**What each reviewer said**")
    counts = pd.crosstab(held["reviewer"], held["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    counts.insert(0, "genes", counts.sum(axis=1))
    config = {key: st.column_config.NumberColumn(name) for key, name in VERDICTS.items()}
    config |= {
        "reviewer": st.column_config.TextColumn("Reviewer"),
        "genes": st.column_config.NumberColumn("Genes"),
    }
    show.table(counts.reset_index(), "review-people", column_config=config)


def _open() -> None:
    rows = st.session_state["table-review-differ"]["selection"]["rows"]
    if rows:
        st.session_state[GENE] = st.session_state["review-differ-genes"][rows[0]]
        st.session_state[VIEW] = JUDGE


def table(held: pd.DataFrame) -> None:
    """Draw all verdicts of the run."""
    if held.empty:
        st.info("No verdict yet.", icon=":material/info:")
        return
    said = consensus(held).set_index("gene")["words"]
    shown = held.assign(
        said=held["verdict"].map(verdict_name),
        together=held["gene"].map(said),
        time=pd.to_datetime(held["time"]),
    )
    show.table(
        shown[list(_VERDICTS)], "verdicts", column_config=_VERDICTS, height=min(560, 75 + 35 * len(shown))
    )


def files(run: Run, held: pd.DataFrame) -> None:
    """Offer the verdicts as files, and take files of others."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Out**")
        for ending, said in ((".csv", "The verdicts that hold, for people and spreadsheets"),
                             (".json", "The whole history, with what was taken back")):  # fmt: skip
            st.download_button(
                f"{ending[1:].upper()}", lambda ending=ending: export_text(ending, run).encode(),
                f"verdicts-{run.id}{ending}", icon=":material/download:", on_click="ignore",
                key=f"review-export{ending}", help=said,
            )  # fmt: skip
            st.caption(f"{said}.")
        st.caption(f"The same from the terminal: `sgm review export {run.id} --out verdicts.csv`")
    with right:
        st.markdown("**In**")
        given = uploads.uploader(
            "CSV or JSON of a colleague", type=["csv", "json"], key="review-file",
            help="A table needs the columns gene, reviewer and verdict. Nothing is taken twice.",
        )  # fmt: skip
        if given is not None and permit.button(
            "import verdicts", "Take its verdicts", type="primary", key="review-import"
        ):
            st.session_state[_IMPORTED] = _take(run, given)
            st.rerun()
        if said := st.session_state.get(_IMPORTED):
            text, well = said
            (st.success if well else st.warning)(escape(text), icon=":material/info:")


def _take(run: Run, given: Any) -> tuple[str, bool]:
    """Import an uploaded file; returns what is to be said, and whether it went well."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{show.plain(Path(given.name).stem)}{Path(given.name).suffix.lower()}"
        try:
            path.write_bytes(uploads.content(given, _MOST_BYTES))
            return f"{import_verdicts(path, run).sentence}.", True
        except SGMError as error:
            return f"{error}.", False

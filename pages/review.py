"""Review: what do we think of each gene?"""

import pandas as pd
import streamlit as st

from pages.components import (
    frame,
    mask_tables,
    review_card,
    review_handover,
    review_keys,
    review_queue,
    review_together,
    review_verdict,
    review_who,
    tables,
)
from pages.components.review_queue import Queue
from pages.components.review_together import JUDGE, VIEW
from pages.components.review_verdict import GENE
from sgm_core.escape import escape
from sgm_core.review import agreement, summary_sentence, verdicts
from sgm_core.review.agreement import agreement_sentence
from sgm_core.runs.store import Run

_VIEWS = (JUDGE, "Agreement", "All verdicts", "Files")
_LOST = "review-lost"


def body(run: Run) -> None:
    """Draw the page below its title.

    Not as a fragment: what a fragment no longer draws stays if another one asks to be drawn again meanwhile,
    as what others say does every few seconds (https://github.com/streamlit/streamlit/issues/16708).
    """
    with frame.guard():
        held = verdicts(run)
        answer_line = st.container()
        who = review_who.current()
        if who is None:
            review_who.ask(sorted(verdicts()["reviewer"].unique()))
        with st.container(horizontal=True, vertical_alignment="center"):
            view = st.segmented_control(
                "View", _VIEWS, default=JUDGE, key=VIEW, bind="query-params", required=True,
                label_visibility="collapsed",
            )  # fmt: skip
            st.space("stretch")
            if who is not None:
                review_who.shown(who)
        said = [summary_sentence(held), agreement_sentence(agreement(held))]
        with answer_line:
            frame.answer(escape(f"{'. '.join(filter(None, said))}."))
            tables.still_running(run)
        if view == JUDGE:
            judge(run, who)
        elif view == "Agreement":
            review_together.together(run, held)
        elif view == "All verdicts":
            review_together.table(held)
        else:
            review_together.files(run, held)


def judge(run: Run, who: str | None) -> None:
    """Draw the queue and the card of the gene in view."""
    held = verdicts(run)
    found = review_queue.controls(run, held, who)
    for note in found.notes:
        st.caption(escape(note))
    review_keys.listen()
    gene = settle(found)
    navigation(run, found, gene, held, who)
    review_keys.shown()
    if not found.genes:
        st.info(
            "No gene is left in this queue: choose another one, or show all of it.", icon=":material/inbox:"
        )
    if gene is None:
        return
    card, panel = st.columns([3, 2], gap="medium")
    with panel, st.container(border=True):
        review_verdict.draw(run, found, gene, held, who)
    with card:
        review_card.head(found, gene)
    review_card.evidence(dataset, run, found, gene)
    with st.expander(f"History of {escape(gene)}", icon=":material/history:"):
        review_verdict.past(run, gene)


def settle(found: Queue) -> str | None:
    """Return the gene in view: the link's or session's if the run could hide it, else the queue's first."""
    asked = review_handover.take_gene() or st.session_state.get(GENE) or st.query_params.get(GENE)
    if asked in found.flags.index:
        st.session_state[GENE] = asked
    else:
        if asked:
            st.session_state[_LOST] = f"{asked[:40]} is not among the genes that this run could hide."
        asked = found.genes[0] if found.genes else None
        st.session_state[GENE] = asked
    # bound to the link, a field that takes what it does not offer would leave it out
    if asked and st.query_params.get(GENE) != asked:
        st.query_params[GENE] = asked
    return asked


def navigation(run: Run, found: Queue, gene: str | None, held: pd.DataFrame, who: str | None) -> None:
    """Draw previous and next, the place in the queue, the search, and what was said last."""
    genes = found.genes
    n, place = len(genes), genes.index(gene) + 1 if gene in genes else 0
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.button(
            "Previous", icon=":material/arrow_back:", key="review-previous", shortcut="K",
            disabled=place == 1, on_click=review_verdict.go, args=(genes, gene, -1),
        )  # fmt: skip
        st.button(
            "Next", icon=":material/arrow_forward:", key="review-next", shortcut="J",
            disabled=n > 0 and place == n, on_click=review_verdict.go, args=(genes, gene, 1),
        )  # fmt: skip
        options = genes if gene in genes or gene is None else [gene, *genes]
        st.selectbox(
            f"Gene {place} of {n}" if place else f"Not among the {n} of this queue", options, key=GENE,
            accept_new_options=True, width=230, placeholder="Find a gene: /",
            on_change=_find, args=(run, gene), persist_state="session",
        )  # fmt: skip
        review_verdict.last_said(run, who)
        st.space("stretch")
        st.caption(review_queue.answer(found, held, who))
        review_keys.button()
    if lost := st.session_state.pop(_LOST, None):
        st.warning(escape(lost), icon=":material/search_off:")


def _find(run: Run, before: str | None) -> None:
    """Take the gene that was typed, in the run's own name for it."""
    typed = st.session_state.get(GENE)
    if typed is None:
        st.session_state[GENE] = before
        return
    if typed in (known := mask_tables.universe(run)):
        return
    st.session_state[GENE] = review_queue.resolve(run, typed)
    if st.session_state[GENE] is None:
        st.session_state[GENE] = before
        st.session_state[_LOST] = (
            f"{typed[:40]} is not among the {len(known):,} genes that this run could hide."
        )


context = frame.page("Review")
dataset, run, _ = tables.require(context, "mask_cells", "mask counts")
if not tables.exists(run, "masks"):
    tables.lacking(run, "mask counts")
body(run)

"""The reviewer's verdict on the gene in view: four buttons with keys, tags, a comment, others, history."""

import zlib

import pandas as pd
import streamlit as st

from pages.components import frame, review_keys, show, words
from pages.components.review_queue import Queue
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.review import VERDICTS, history, record, undo, verdict_name, verdicts
from sgm_core.review.kinds import LONGEST_COMMENT, LONGEST_TAG
from sgm_core.review.store import current_id
from sgm_core.runs.store import Run

GENE = "gene"
_SAID, _PROBLEM, _SEEN = "review-said", "review-problem", "review-seen"
ICONS = {
    "known": ":material/verified:",
    "plausible": ":material/thumb_up:",
    "artefact": ":material/block:",
    "unclear": ":material/help:",
}
_TAGS = ("stem-like", "lineage", "cell cycle", "batch", "ambient RNA", "drug target")
_EVERY_S = 5


def draw(run: Run, found: Queue, gene: str, held: pd.DataFrame, who: str | None) -> None:
    """Draw the panel beside a gene's card."""
    mine = held[(held["gene"] == gene) & (held["reviewer"] == who)]
    before = mine.iloc[0] if len(mine) else None
    _look(run, gene, who)
    tags_key, comment_key = _keys(gene, before)
    problem = st.session_state.pop(_PROBLEM, None)
    if problem:
        st.warning(escape(problem), icon=":material/info:")
    places = [*st.columns(2, gap="small"), *st.columns(2, gap="small")]
    for number, (verdict, name) in enumerate(VERDICTS.items(), start=1):
        said = before is not None and before["verdict"] == verdict
        places[number - 1].button(
            name, key=f"verdict-{verdict}", shortcut=str(number), width="stretch", disabled=who is None,
            type="primary" if said else "secondary",
            on_click=_judge, args=(run, found, gene, verdict, who, tags_key, comment_key),
        )  # fmt: skip
    known = sorted({tag for text in held["tags"] for tag in text.split("; ") if tag})
    st.multiselect(
        "Tags", list(dict.fromkeys([*known, *_TAGS, *st.session_state.get(tags_key, [])])), key=tags_key,
        accept_new_options=True, placeholder=f"Choose or type, up to {LONGEST_TAG} characters",
        persist_state="session", disabled=who is None,
    )  # fmt: skip
    st.text_area(
        "Comment", key=comment_key, max_chars=LONGEST_COMMENT, height=72, persist_state="session",
        placeholder="Kept with the verdict that you give next", disabled=who is None,
    )  # fmt: skip
    if before is not None and _changed(before, tags_key, comment_key):
        st.button(
            "Keep tags and comment", icon=":material/save:", type="primary", key="review-keep",
            width="stretch", on_click=_judge,
            args=(run, found, gene, before["verdict"], who, tags_key, comment_key),
        )  # fmt: skip
    if before is not None and before["statistics_version"] not in ("", found.version):
        st.caption(":material/history: Your verdict was given on other statistics than these: look again.")
    st.fragment(_others, run_every=_EVERY_S)(run, gene, who)


def last_said(run: Run, who: str | None) -> None:
    """Draw what was said last, with the button that takes it back."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        said = st.session_state.get(_SAID)
        st.button(
            "Undo", icon=":material/undo:", type="tertiary", key="review-undo", shortcut="U",
            disabled=who is None, on_click=_undo, args=(run, who),
        )  # fmt: skip
        if said:
            st.markdown(f":small[{escape(said)}]", width="content")


def _look(run: Run, gene: str, who: str | None) -> None:
    """Remember which verdict of the reviewer was there when the gene came into view."""
    if who is not None and st.session_state.get(_SEEN, ("",))[:3] != (run.id, gene, who):
        st.session_state[_SEEN] = (run.id, gene, who, current_id(run, gene, who))


def _keys(gene: str, before: pd.Series | None) -> tuple[str, str]:
    """Return the keys of tags and comment, which begin with what the verdict in force says."""
    tags_key, comment_key = _names(gene)
    if tags_key not in st.session_state:
        st.session_state[tags_key] = (
            before["tags"].split("; ") if before is not None and before["tags"] else []
        )
    if comment_key not in st.session_state:
        st.session_state[comment_key] = before["comment"] if before is not None else ""
    return tags_key, comment_key


def _names(gene: str) -> tuple[str, str]:
    safe = show.plain(gene)
    if safe != gene:  # two genes must not share their fields
        safe += f"-{zlib.crc32(gene.encode()):x}"
    return f"review-tags-{safe}", f"{review_keys.COMMENT}-{safe}"


def _changed(before: pd.Series, tags_key: str, comment_key: str) -> bool:
    tags = "; ".join(st.session_state[tags_key])
    return (tags, (st.session_state[comment_key] or "").strip()) != (before["tags"], before["comment"])


def _judge(
    run: Run, found: Queue, gene: str, verdict: str, who: str, tags_key: str, comment_key: str
) -> None:
    seen = st.session_state.get(_SEEN, (None,) * 4)[3]
    try:
        step = record(
            run, gene, verdict, who, ranking=found.ranking, tags=st.session_state.get(tags_key, []),
            comment=st.session_state.get(comment_key) or "", statistics_version=found.version, seen=seen,
        )  # fmt: skip
    except InputError as error:
        st.session_state[_PROBLEM] = f"{error}."
        st.session_state.pop(_SEEN, None)  # once it was read, the next press counts
        return
    st.session_state[_SAID] = f"{gene}: {verdict_name(verdict)}"
    st.session_state[_SEEN] = (run.id, gene, who, step.id)
    if st.session_state.get("review-advance", True):
        go(found.genes, gene, 1)


def _undo(run: Run, who: str) -> None:
    try:
        taken = undo(run, who)
    except InputError as error:
        st.session_state[_PROBLEM] = f"{error}."
        return
    if taken is None:
        st.session_state[_SAID] = "There is nothing of yours to take back"
        return
    st.session_state[_SAID] = f"Taken back: {taken.gene} was {verdict_name(taken.verdict or '')}"
    for name in (*_names(taken.gene), _SEEN):
        st.session_state.pop(name, None)
    st.session_state[GENE] = taken.gene


def go(genes: list[str], gene: str | None, step: int) -> None:
    """Look at the gene that is `step` further in the queue; its ends hold."""
    if not genes:
        return
    place = genes.index(gene) + step if gene in genes else 0
    st.session_state[GENE] = genes[min(max(place, 0), len(genes) - 1)]


def _others(run: Run, gene: str, who: str | None) -> None:
    """Show what others say: once the reviewer has spoken, or asked to see it."""
    with frame.guard():
        held = verdicts(run)
        held = held[held["gene"] == gene]
        others = held[held["reviewer"] != who]
        if others.empty:
            return
        spoken = bool((held["reviewer"] == who).any()) or st.session_state.get("review-open")
        if who is not None and not spoken:
            people = ", ".join(escape(name) for name in others["reviewer"])
            st.caption(f":material/visibility_off: Judged by {people}; shown once you have judged it.")
            return
        st.markdown("**What others say**")
        for row in others.itertuples():
            head = f"{ICONS[row.verdict]} **{verdict_name(row.verdict)}**, {escape(row.reviewer)}"
            head += f", {words.ago(row.time)}"
            st.markdown("  \n".join(filter(None, [head, escape(row.tags), escape(row.comment)])))


def past(run: Run, gene: str) -> None:
    """Draw every step of the gene's history, the latest first."""
    steps = history(run, gene)
    if steps.empty:
        st.caption("Nobody has judged it yet.")
        return
    undone = set(steps["undoes"].dropna())
    said = [
        "Took it back"
        if row.undoes
        else verdict_name(row.verdict) + (" (taken back)" if row.id in undone else "")
        for row in steps.itertuples()
    ]
    table = pd.DataFrame(
        {
            "when": pd.to_datetime(steps["time"]),
            "who": steps["reviewer"],
            "said": said,
            "tags": steps["tags"],
            "comment": steps["comment"],
            "ranking": steps["ranking"],
        }
    )
    show.table(table.iloc[::-1], "review-history", column_config=_HISTORY)


_HISTORY = {
    "when": st.column_config.DatetimeColumn("When", format="D MMM YYYY, HH:mm"),
    "who": st.column_config.TextColumn("Who"),
    "said": st.column_config.TextColumn("Said"),
    "tags": st.column_config.TextColumn("Tags"),
    "comment": st.column_config.TextColumn("Comment"),
    "ranking": st.column_config.TextColumn("Met in"),
}

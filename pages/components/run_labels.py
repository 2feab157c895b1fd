"""Tags and the note of a run, shown and edited."""

import streamlit as st

from pages.components import frame, permit
from sgm_core.escape import escape
from sgm_core.runs.find import tags_of
from sgm_core.runs.labels import LONGEST_NOTE, LONGEST_TAG, labels_of, note_run, tag_run
from sgm_core.runs.store import Run

_FAILED = "labels-failed"


def said(run: Run) -> None:
    """Show the tags and the note; nothing where there are none."""
    labels = labels_of(run)
    if labels.tags:
        with st.container(horizontal=True, gap="xxsmall"):
            for tag in labels.tags:
                st.badge(escape(tag), color="gray", icon=":material/label:")
    if labels.note:
        st.text(labels.note)  # as it was written, with its lines


def editor(run: Run, everyone: list[Run]) -> None:
    """Draw the button that opens tags and note; each change is kept at once.

    Parameters
    ----------
    run
        The run.
    everyone
        All runs: their tags are offered.
    """
    labels = labels_of(run)
    with st.popover("Tags and note", icon=":material/label:"):
        tags_key, note_key = f"tags-{run.id}-{hash(labels.tags)}", f"note-{run.id}-{hash(labels.note)}"
        st.multiselect(
            "Tags",
            list(dict.fromkeys([*labels.tags, *tags_of(everyone)])),
            default=list(labels.tags),
            key=tags_key,
            accept_new_options=True,
            placeholder=f"Choose a tag or write a new one of up to {LONGEST_TAG} letters",
            **permit.refused("tag"),
            on_change=_keep_tags,
            args=(run.id, labels.tags, tags_key),
        )
        st.text_area(
            "Note",
            labels.note,
            key=note_key,
            max_chars=LONGEST_NOTE,
            placeholder="What this run was for, what you saw",
            **permit.refused("note"),
            on_change=_keep_note,
            args=(run.id, note_key),
        )
        frame.say_refusal(_FAILED)


def _keep_tags(run_id: str, before: tuple[str, ...], key: str) -> None:
    now = st.session_state[key]
    with frame.refusing(_FAILED):  # what another person changed meanwhile stays
        tag_run(run_id, [tag for tag in now if tag not in before], [tag for tag in before if tag not in now])


def _keep_note(run_id: str, key: str) -> None:
    with frame.refusing(_FAILED):
        note_run(run_id, st.session_state[key])

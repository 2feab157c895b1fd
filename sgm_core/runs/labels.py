"""What people say about a run: its tags and a note, in a file of their own that no worker writes."""

from collections.abc import Iterable
from dataclasses import dataclass

from sgm_core import home
from sgm_core.access import acts
from sgm_core.documents import document
from sgm_core.errors import InputError
from sgm_core.runs.run import Run
from sgm_core.runs.store import open_run

_FILE = "labels.json"
MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 20, 40, 10_000


@dataclass(frozen=True)
class Labels:
    """Tags in the order of their giving, and a note; both may be empty."""

    tags: tuple[str, ...] = ()
    note: str = ""


def labels_of(run: Run) -> Labels:
    """Return what was said about a run; a damaged file says nothing, for it must not hide the run."""
    try:
        return _read(run)
    except (OSError, ValueError, KeyError, TypeError):
        return Labels()


@acts("tag")
def tag_run(run_id: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Labels:
    """Give a run tags and take others away, whatever its state; returns what it has then.

    Parameters
    ----------
    run_id
        The run.
    add, remove
        Tags; one that it has already, or has not, changes nothing.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    NotFoundError
        If there is no such run.
    InputError
        If a tag is empty, longer than 40 characters or has a comma, or there are more than 20.
    """
    run = open_run(run_id)
    new, gone = [_tag(each) for each in add], {_tag(each) for each in remove}
    with run.locked("labels"):
        before = _to_change(run)
        tags = tuple(each for each in dict.fromkeys([*before.tags, *new]) if each not in gone)
        if len(tags) > MOST_TAGS:
            raise InputError(f"run {run.id} would have {len(tags)} tags: {MOST_TAGS} at most")
        return _write(run, Labels(tags, before.note))


@acts("note")
def note_run(run_id: str, text: str) -> Labels:
    """Replace the note on a run, whatever its state; an empty text takes it away.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    NotFoundError
        If there is no such run.
    InputError
        If the text is longer than 10,000 characters.
    """
    run, text = open_run(run_id), text.strip()
    if len(text) > LONGEST_NOTE:
        raise InputError(f"the note has {len(text):,} characters: {LONGEST_NOTE:,} at most")
    with run.locked("labels"):
        return _write(run, Labels(_to_change(run).tags, text))


def _tag(text: str) -> str:
    tag = " ".join(text.split())
    if not tag or len(tag) > LONGEST_TAG or "," in tag or not tag.isprintable():
        raise InputError(f"tag {text!r} can't be used: take 1 to {LONGEST_TAG} characters without a comma")
    return tag


def _read(run: Run) -> Labels:
    try:
        said = document(run.path / _FILE)
    except FileNotFoundError:
        return Labels()
    return Labels(tuple(map(str, said["tags"])), str(said["note"]))


def _to_change(run: Run) -> Labels:
    try:
        return _read(run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{run.path / _FILE} can't be read: mend it or delete it") from error


def _write(run: Run, labels: Labels) -> Labels:
    home.write_json(run.path / _FILE, {"tags": list(labels.tags), "note": labels.note})
    return labels

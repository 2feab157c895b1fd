"""Tell of a run's end: a command or a webhook that the configuration names gets the run's facts as JSON.

::

    [run_ends]                                    # in $SGM_HOME/config.toml
    command = ["/usr/local/bin/tell", "--run"]    # its parts; no shell reads them. The facts are its input
    webhook = "https://chat.example.org/hooks/1"  # gets them as the body of a POST
    states = ["done", "failed"]                   # by default every end
    seconds = 10                                  # that each of the two may take

Addresses and what a command prints may hold secrets, so neither comes into the log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgm_core.configuration import configuration_file, read_configuration, texts
from sgm_core.errors import InputError, SGMError
from sgm_core.runs.labels import labels_of
from sgm_core.runs.plain import plain
from sgm_core.runs.states import ACTIVE, STATES
from sgm_core.runs.summaries import summaries

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

SECTION = "run_ends"
_ENDS = tuple(state for state in STATES if state not in ACTIVE)
_FIELDS = ("command", "webhook", "states", "seconds")
_SECONDS, _LONGEST_S = 10.0, 60.0


@dataclass(frozen=True)
class Telling:
    """Whom to tell of which ends; see the top of this file."""

    command: tuple[str, ...] = ()
    webhook: str = ""
    states: tuple[str, ...] = _ENDS
    seconds: float = _SECONDS


def telling() -> Telling:
    """Return what the configuration says of the end of runs; nobody is told where it says nothing.

    Raises
    ------
    InputError
        If it can't be read, or a field of the section is unknown or can't have its value.
    """
    said = read_configuration().get(SECTION, {})
    where = f"{configuration_file()}, [{SECTION}]"
    if not isinstance(said, dict) or set(said) - set(_FIELDS):
        raise InputError(f"{where} is a table with the fields {', '.join(_FIELDS)} and no others")
    states = texts(said, "states", "done") or _ENDS
    wrong = [state for state in states if state not in _ENDS]
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} is no end of a run: there are {', '.join(_ENDS)}")
    webhook, seconds = said.get("webhook", ""), said.get("seconds", _SECONDS)
    if not isinstance(webhook, str) or (webhook and not webhook.startswith(("https://", "http://"))):
        raise InputError(f"{where}: webhook must be an address that begins with https:// or http://")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_S:
        raise InputError(f"{where}: seconds must be a number up to {_LONGEST_S:g}")
    return Telling(texts(said, "command", "/usr/local/bin/tell"), webhook, states, float(seconds))


@contextmanager
def told(run: Run) -> Iterator[None]:
    """Tell of the run's end when the block, the work of who holds it, is over, however it ends.

    What goes wrong in telling is a line of the run's log and changes nothing else.
    """
    try:
        yield
    finally:
        if run.status["state"] not in ACTIVE:
            tell_of_end(run)


def tell_of_end(run: Run) -> None:
    """Tell whom the configuration names that `run` has ended; failures are lines of its log."""
    try:
        whom = telling()
    except SGMError as error:
        run.message(f"nobody is told of the end: {error}")
        return
    if run.status["state"] not in whom.states or not (whom.command or whom.webhook):
        return
    body = json.dumps(run_facts(run), allow_nan=False)
    if whom.command:
        _say(run, "command", _command(whom, body))
    if whom.webhook:
        _say(run, "webhook", _within(whom.seconds, lambda: _post(whom, body)))


def run_facts(run: Run) -> dict[str, Any]:
    """Return what is told of a run, as plain JSON: names, state, times, its best number, tags."""
    status, labels = run.status, labels_of(run)
    found = summaries([run])[0]
    best = {"macro_f1": found.macro_f1, "arm": found.arm, "validation_loss": found.loss} if found else {}
    facts = {name: status.get(name) for name in ("state", "error", "queued", "started", "finished", "device")}
    names = {"run": run.id, "title": run.title, "kind": run.kind, "dataset": run.dataset_name}
    more = {"folder": run.path, "tags": labels.tags, "note": labels.note}
    return plain({**names, **facts, **best, **more})  # type: ignore[no-any-return]


def _say(run: Run, what: str, failure: str) -> None:
    run.message(
        f"told of its end by {what}" if not failure else f"the {what} of [{SECTION}] failed: {failure}"
    )


def _command(whom: Telling, body: str) -> str:
    """Run the command; return what went wrong, empty if nothing did."""
    nowhere = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            whom.command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    try:
        process.communicate(body.encode(), timeout=whom.seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it started
        process.wait()
        return f"it took longer than {whom.seconds:g} s and was stopped"
    return f"it ended with {process.returncode}" if process.returncode else ""


def _post(whom: Telling, body: str) -> str:
    import requests

    try:
        answer = requests.post(
            whom.webhook,
            data=body.encode(),
            headers={"Content-Type": "application/json"},
            timeout=whom.seconds,
            allow_redirects=False,  # the facts go where the configuration says
            stream=True,
        )
    except (requests.RequestException, ValueError) as error:
        return type(error).__name__  # its text has the address
    with answer:
        return (
            "" if answer.ok and not answer.is_redirect else f"it was answered by status {answer.status_code}"
        )


def _within(seconds: float, function: Any) -> str:
    """Return what `function` returns, if it does in time: an answer may come drop by drop."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"it took longer than {seconds:g} s"

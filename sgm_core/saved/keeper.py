"""When the state of a training is written, which of those on disk is taken, and which go."""

import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from sgm_core.errors import InputError
from sgm_core.home import read_json
from sgm_core.progress import Observer
from sgm_core.saved import ACCEPTED, WHOLE
from sgm_core.saved.code import deciding_code
from sgm_core.saved.state import machine, read_facts, read_state, write_state
from sgm_core.units import duration

KEPT = 2
_SHARE = 0.02
"""An epoch's end is written as long as that takes no more than this share of the time."""


class Keeper:
    """Keeps the last two states of one training in a folder; the older one stays until the newer is whole.

    A state is written every `minutes`, and at an epoch's end unless epochs are so short that writing would
    take more than 2 % of the time. Where the disk refuses, the training goes on and the last state stays.

    Parameters
    ----------
    folder : of this training alone, in the run's folder `sgm_core.saved.FOLDER`
    minutes : between two states; 0 = after every update
    made_of : what the training follows from: its recipe, its cells
    observer : is told what was read, and what could not be written or read

    Attributes
    ----------
    seconds : that writing took in all
    written : states
    """

    def __init__(self, folder: Path, minutes: float, made_of: dict[str, Any], observer: Observer) -> None:
        self.folder, self.minutes, self.observer = folder, minutes, observer
        self.made_of: dict[str, Any] = {**made_of, "code": deciding_code()}
        self.seconds = self._cost = 0.0
        self.written = 0
        self._last = self._began = time.monotonic()

    def due(self, ends_epoch: bool = False) -> bool:
        """Say whether a state is to be written now."""
        waited = time.monotonic() - self._last
        return waited >= 60 * self.minutes or (ends_epoch and waited * _SHARE >= self._cost)

    def save(self, state: dict[str, Any], where: str) -> None:
        """Write a state; `where` says in words how far the training is."""
        started = time.monotonic()
        facts: dict[str, Any] = {"where": where, "written": datetime.now(UTC).isoformat(timespec="seconds")}
        facts |= {"made_of": self.made_of, "machine": machine()}
        kept = states_in(self.folder)
        try:
            write_state(self.folder / f"{_number(kept[-1]) + 1 if kept else 1:08d}", state, facts)
        except (OSError, SafetensorError, InputError) as error:  # the second names a full disk its own way
            reason = getattr(error, "strerror", None) or str(error)
            last = f"the last one, of {read_where(kept[-1])}, stays" if kept else "there is none yet"
            self.observer.message(f"the checkpoint could not be written ({reason}): {last}")
        else:
            for old in kept[: 1 - KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()
        self._cost = self._last - started
        self.seconds += self._cost
        self.written += 1

    def share(self) -> float:
        """Return what share of the time since it was made the writing took."""
        return self.seconds / max(time.monotonic() - self._began, 1e-9)

    def say_cost(self) -> None:
        """Say what writing took if that was much: where updates take seconds and the last state as long."""
        if self.written > 1 and self.share() > 2 * _SHARE:
            self.observer.message(
                f"{self.written} checkpoints took {duration(self.seconds)}, {self.share():.0%} of the time: "
                "a larger checkpoint_minutes takes less"
            )

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, None if there is none.

        Raises
        ------
        InputError
            If other code made it and nobody said that this may go on.
        """
        for folder in reversed(states_in(self.folder)):
            try:
                facts, state = read_facts(folder), read_state(folder)
            except InputError as error:
                self.observer.message(f"{error}; the one before it is taken, if there is one")
                continue
            if not self._fits(facts):
                return None
            self._last = time.monotonic()
            return state
        return None

    def _fits(self, facts: dict[str, Any]) -> bool:
        """Say whether a state is of this training; a change that may go on is said."""
        made: dict[str, Any] = facts["made_of"]
        code = made.get("code")
        if made | {"code": ""} != self.made_of | {"code": ""}:
            self.observer.message("the checkpoint is of another recipe or of other cells: starting over")
            return False
        if code != self.made_of["code"]:
            if accepted_code(self.folder.parent) != self.made_of["code"]:
                raise InputError(
                    f"the checkpoint ({facts['where']}) was made by other code ({code}, now "
                    f"{self.made_of['code']}): go back to that version, or resume with --other-code to go on "
                    "all the same (the run will say so), or with --anew to start over"
                )
            self.observer.message(
                f"other code ({code}) made the checkpoint, and goes on with {self.made_of['code']} as asked"
            )
        before, now = {"processes": 1} | facts["machine"], machine()
        changed = [
            f"{name} {before.get(name)} then, {now[name]} now"
            for name in now
            if before.get(name) != now[name]
        ]
        if changed:
            self.observer.message(f"{', '.join(changed)}: numbers may differ in their last digits")
        return True


def states_in(folder: Path) -> list[Path]:
    """Return the states in a training's folder, oldest first; whether they are whole is not asked."""
    return sorted(path for path in folder.glob("[0-9]*") if path.name.isdigit())


def read_where(state: Path) -> str:
    """Return how far the training of a state is, in words."""
    try:
        return str(read_facts(state)["where"])
    except (InputError, KeyError):
        return "an unknown step"


def codes_in(folder: Path) -> set[str]:
    """Return which code made the states in a run's `sgm_core.saved.FOLDER`, damaged ones left out."""
    found = set()
    for path in folder.rglob(WHOLE):
        with suppress(InputError, KeyError, TypeError):
            found.add(str(read_facts(path.parent)["made_of"]["code"]))
    return found


def accepted_code(folder: Path) -> str | None:
    """Return the code that may go on with other code's states in a run's folder `sgm_core.saved.FOLDER`."""
    try:
        return str(read_json(folder / ACCEPTED)["code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _number(state: Path) -> int:
    return int(state.name)

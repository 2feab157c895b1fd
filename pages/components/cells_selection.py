"""What is selected on the page Cells: the steps, their history, and the link that brings them back."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from pages.components.cell_views import Maps
from pages.components.cells_values import PageValues
from pages.components.kept import everything
from sgm_core.analysis import selection_steps as steps_
from sgm_core.analysis.cell_values import split_source
from sgm_core.analysis.selection_link import from_link, to_link
from sgm_core.analysis.selection_steps import Levels, Polygon, Range, Saved, Step, Steps
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.selections import AUTOMATIC, open_selection, save_selection
from sgm_core.errors import InputError, NotFoundError

LINK = "sel"
_KEY = "cells-history"
_NAMED = "@"
_HASH_CHARACTERS = 8
_MOST_STATES = 100


@dataclass
class History:
    """The selections that a person has made, and which of them is shown."""

    states: list[Steps] = field(default_factory=lambda: [()])
    place: int = 0
    link: str | None = None

    @property
    def steps(self) -> Steps:
        """The steps of what is selected now; none when nothing is."""
        return self.states[self.place]

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return self.place > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a later state."""
        return self.place < len(self.states) - 1

    def push(self, steps: Steps) -> None:
        """Go on to a new state; what was undone is forgotten."""
        if steps != self.steps:
            self.states = [*self.states[: self.place + 1], steps][-_MOST_STATES:]
            self.place = len(self.states) - 1

    def undo(self) -> None:
        """Go back one state."""
        self.place = max(0, self.place - 1)

    def redo(self) -> None:
        """Go forward one state."""
        self.place = min(len(self.states) - 1, self.place + 1)


class Selecting:
    """The selection of a session on one dataset.

    Parameters
    ----------
    dataset
        Where the cells are.
    maps
        Its maps by name.
    values
        Finds labels and numbers.
    """

    def __init__(self, dataset: Dataset, maps: Maps, values: PageValues) -> None:
        self.dataset, self.maps, self.values = dataset, maps, values
        kept = st.session_state.setdefault(_KEY, {})
        self.history: History = kept.setdefault(dataset.content_hash, History())
        self.problem: str | None = None
        self._from_link()

    def _from_link(self) -> None:
        """Take over the selection of a link that was not made here."""
        link = st.query_params.get(LINK)
        if link and link != self.history.link:
            content, _, rest = link.partition(".")
            if content != self.dataset.content_hash[:_HASH_CHARACTERS]:
                if not st.session_state[_KEY].get("seen"):  # else it is of the dataset looked at before
                    self.problem = "The selection in the link was made on other cells, so it is not shown."
            else:
                try:
                    named = rest.startswith(_NAMED)
                    self.history.push((Saved(rest[1:]),) if named else from_link(rest))
                except InputError as error:
                    self.problem = str(error)
        st.session_state[_KEY]["seen"] = True
        self.write_link()

    def write_link(self) -> None:
        """Put the selection into the link; one too long for it is saved, and the link names it."""
        steps = self.history.steps
        link = None
        if steps:
            text = to_link(steps) or self._saved_for_link(steps)
            link = f"{self.dataset.content_hash[:_HASH_CHARACTERS]}.{text}" if text else None
        self.history.link = link
        if link is None:
            st.query_params.pop(LINK, None)
        elif st.query_params.get(LINK) != link:
            st.query_params[LINK] = link

    def _saved_for_link(self, steps: Steps) -> str | None:
        described = steps_.to_json(steps)
        digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
        name = f"{AUTOMATIC}{digest}"
        try:
            open_selection(self.dataset, name)
        except (InputError, NotFoundError):
            selected = self.mask(steps)
            if selected is None or not selected.any():
                return None
            save_selection(self.dataset, name, selected, described, steps_.describe(steps))
        return f"{_NAMED}{name}"

    def do(self, step: Step) -> None:
        """Carry out one more step."""
        self.history.push(steps_.add_step(self.history.steps, step))
        self.write_link()

    def clear(self) -> None:
        """Select nothing."""
        self.history.push(())
        self.write_link()

    def undo(self) -> None:
        """Go back one state."""
        self.history.undo()
        self.write_link()

    def redo(self) -> None:
        """Go forward one state."""
        self.history.redo()
        self.write_link()

    def selected(self) -> np.ndarray | None:
        """Return which cells are selected, bool (n_cells,); None when nothing is, or it can't be found.

        What is in the way is in `problem` then.
        """
        try:
            return self.mask(self.history.steps)
        except (InputError, NotFoundError) as error:
            self.problem = str(error)
            return None

    def mask(self, steps: Steps) -> np.ndarray | None:
        """Return the cells that steps select; each prefix is kept, so a further step costs itself only."""
        if not steps:
            return None
        stamps = tuple(self._stamp(step) for step in steps)

        def make() -> np.ndarray:
            before = self.mask(steps[:-1])
            before = np.zeros(self.dataset.n_cells, dtype=bool) if before is None else before
            return steps_.apply(before, steps[-1], self.dataset, self.maps, self.values)

        return everything.get(
            ("selected", str(self.dataset.path), steps), (self.dataset.content_hash, stamps), make
        )

    def count(self, step: Step) -> int:
        """Return how many cells would be selected after one more step."""
        after = self.mask(steps_.add_step(self.history.steps, step))
        return 0 if after is None else int(after.sum())

    def _stamp(self, step: Step) -> str:
        """Return what changes when a step may select others."""
        if isinstance(step, Polygon) and step.map in self.maps.places:
            return self.maps.places[step.map].token
        if isinstance(step, Saved):
            try:
                return open_selection(self.dataset, step.name).rows_hash
            except (InputError, NotFoundError):
                return ""
        if isinstance(step, Levels):
            return "|".join(self.values.stamp(source) for source, _ in step.conditions)
        return self.values.stamp(step.source) if isinstance(step, Range) else ""

    def words(self) -> str:
        """Say in words what is selected; plain text."""
        return steps_.describe(self.history.steps)


def short_name(steps: Steps) -> str:
    """Suggest a name for a selection that `home.check_name` takes."""
    words = []
    for step in steps:
        if isinstance(step, Levels):
            words += [level for _, levels in step.conditions for level in levels]
        elif isinstance(step, Range):
            words.append(split_source(step.source)[1].split(",")[0].split("/")[-1])
        elif isinstance(step, Saved):
            words.append(step.name)
        else:
            words.append("lasso" if isinstance(step, Polygon) else "not")
    text = "-".join(
        "".join(c if c.isascii() and (c.isalnum() or c in "._") else "-" for c in w) for w in words
    )
    text = "-".join(part for part in text.split("-") if part).replace("..", ".").strip("._-")
    return text[:40].strip("._-") or "selection"

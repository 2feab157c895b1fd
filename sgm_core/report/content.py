"""What a report is made of, before it becomes HTML, Markdown or a folder: plain text, tables, figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Said:
    """One sentence that was computed, and how sure it is.

    Parameters
    ----------
    text
        Plain text; names in it are escaped by whoever writes it out.
    confidence
        A key of `sgm_core.analysis.confidence.WORDS`, None where a sentence only counts.
    about
        What it is about, such as the name of an arm.
    limits
        Whether it says what can't be concluded; one that is undecided or chance does so anyway.
    """

    text: str
    confidence: str | None = None
    about: str = ""
    limits: bool = False

    @property
    def is_limit(self) -> bool:
        """Whether it says what can't be concluded."""
        return self.limits or self.confidence in ("undecided", "chance")


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    name
        What its file is called.
    frame
        All its rows.
    title, note
        A line over it, and one under it.
    most
        How many rows are shown; the file of a folder has all.
    folded
        Whether it opens on a click; on paper it is open.
    columns
        Those that are shown, by default all; the file of a folder has all.
    """

    name: str
    frame: pd.DataFrame
    title: str = ""
    note: str = ""
    most: int | None = None
    folded: bool = False
    columns: tuple[str, ...] = ()

    @property
    def shown(self) -> pd.DataFrame:
        """The part of it that is shown."""
        frame = self.frame if self.most is None else self.frame.head(self.most)
        return frame[list(self.columns)] if self.columns else frame

    @property
    def rest(self) -> str:
        """What to say of the rows that are not shown."""
        n = len(self.frame)
        return f"The first {self.most:,} of {n:,} rows." if self.most is not None and n > self.most else ""


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers behind it, and what it shows in words."""

    name: str
    figure: go.Figure
    alt: str
    data: pd.DataFrame | None = None
    note: str = ""


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]


Block = Said | Facts | Table | Drawing | Commands


@dataclass(frozen=True)
class Section:
    """A part of the report with a title."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A run as a document.

    Parameters
    ----------
    run_id, title
        The run's.
    simulated
        Whether the cells are simulated, which every figure says.
    made
        When and by which version it was made.
    sections
        Its parts.
    """

    run_id: str
    title: str
    simulated: bool
    made: str
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of all sections."""
        for section in self.sections:
            yield from section.blocks

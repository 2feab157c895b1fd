"""A report as Markdown (CommonMark with the tables of GFM): names in it are shown as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from sgm_core.analysis.confidence import MEANINGS, WORDS
from sgm_core.report import cells
from sgm_core.report.content import Block, Commands, Facts, Report, Said, Table

# What CommonMark or GFM would take for markup; an underscore within a word is none.
_ACTIVE = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=[wW]{3})\.|(?<=\w)@(?=\w)")
_FIRST = re.compile(r"^(?:[#+=-]|\d+(?=[.)](?:\s|$)))")
_SPACE = re.compile(r"\s+")


def markdown(report: Report, files: bool = False) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    report
        The report.
    files
        Whether figures and tables lie beside it (`sgm_core.report.folder`), to be shown and linked.
    """
    lines = [f"# {plain(report.title)}", ""]
    lines += [f"Report of run `{report.run_id}`, made {plain(report.made)}.", ""]
    if report.simulated:
        lines += ["**SIMULATED cells: this shows how the program works, and nothing about leukaemia.**", ""]
    for section in report.sections:
        lines += [f"## {plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_lines(block, files), ""]
    legend = " ".join(f"**{WORDS[word]}**: {meaning}." for word, meaning in MEANINGS.items())
    return "\n".join([*lines, legend, ""])


def plain(text: object) -> str:
    """Return `text` as Markdown that shows it literally, on one line."""
    escaped = _ACTIVE.sub(r"\\\g<0>", _SPACE.sub(" ", str(text)).strip())
    first = _FIRST.match(escaped)
    if first and first[0].isdigit():
        return f"{first[0]}\\{escaped[first.end() :]}"
    return f"\\{escaped}" if first else escaped


def table_lines(frame: pd.DataFrame) -> Iterator[str]:
    """Yield a table's lines, numbers at the right."""
    yield _row(map(plain, frame.columns))
    yield _row("---:" if right else "---" for right in cells.numeric(frame))
    for row in cells.text_rows(frame):
        yield _row(map(plain, row))


def _row(texts: Iterator[str] | map[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _lines(block: Block, files: bool) -> Iterator[str]:
    if isinstance(block, Said):
        mark = f"**{WORDS[block.confidence]}.** " if block.confidence else ""
        about = f"**{plain(block.about)}.** " if block.about else ""
        yield f"{mark}{about}{plain(block.text)}"
    elif isinstance(block, Facts):
        yield from (f"* {plain(name)}: {plain(text)}" for name, text in block.rows)
    elif isinstance(block, Commands):
        yield from ("```bash", *(line.replace("\n", " ") for line in block.lines), "```")
    elif isinstance(block, Table):
        yield from _table(block, files)
    elif files:
        yield f"![{plain(block.alt)}](figures/{block.name}.svg)"
        if block.note:
            yield from ("", plain(block.note))
    else:
        yield f"*Figure: {plain(block.alt)}.* {plain(block.note)}".rstrip()


def _table(block: Table, files: bool) -> Iterator[str]:
    if block.title:
        yield from (f"### {plain(block.title)}", "")
    yield from table_lines(block.shown)
    more = f"[tables/{block.name}.csv](tables/{block.name}.csv)" if files else ""
    said = " ".join(filter(None, [plain(block.note), block.rest, more]))
    if said:
        yield from ("", said)

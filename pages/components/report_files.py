"""The report of the run in view and its files: made once for what the run holds, shared by all sessions."""

import io
import zipfile
from collections.abc import Hashable
from pathlib import Path

from pages.components import tables, words
from pages.components.kept import kept
from sgm_core import home
from sgm_core.report.build import make_report
from sgm_core.report.content import Block, Drawing, Report, Table
from sgm_core.report.reviewed import reviews_of
from sgm_core.report.write import text_of, write_report
from sgm_core.resources.store import resource_path
from sgm_core.runs.store import Run, open_run

MIME = {"html": "text/html", "md": "text/markdown", "folder": "application/zip"}


def made(run: Run, library: str) -> Report:
    """Return the report of a run."""
    return _made(str(run.path), _stamp(run, library), run.id, library)


def packed(run: Run, library: str, form: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file to send: a folder as a zip."""
    name = {"html": "report.html", "md": "report.md", "folder": "report.zip"}[form]
    return name, _packed(str(run.path), _stamp(run, library), run.id, library, form)


def of(report: Report, name: str) -> tuple[Block, ...]:
    """Return the blocks of one section."""
    return next(section.blocks for section in report.sections if section.name == name)


def counted(report: Report) -> str:
    """Say how many figures and tables a report has."""
    drawn = sum(isinstance(block, Drawing) for block in report.blocks())
    listed = sum(isinstance(block, Table) for block in report.blocks())
    return f"{words.count(drawn, 'figure')} and {words.count(listed, 'table')}"


def size(data: bytes) -> str:
    """Return how large a file is, in words."""
    return words.size(len(data))


def _stamp(run: Run, library: str) -> Hashable:
    """Return what changes when the report would: tables, state, gene sets, verdicts of reviewers."""
    names = run.tables()
    reviews = reviews_of(run)
    judged = "" if reviews is None else reviews.to_json()
    kept_tables = tuple(tables.key(run, name) for name in names)
    return (kept_tables, run.state, tables.stamp(resource_path("genesets", library)), judged)


@kept("Working out the report")
def _made(path: str, stamp: Hashable, run_id: str, library: str) -> Report:
    return make_report(open_run(run_id), library)


@kept("Writing the report")
def _packed(path: str, stamp: Hashable, run_id: str, library: str, form: str) -> bytes:
    report = _made(path, stamp, run_id, library)
    if form != "folder":
        return text_of(report, form).encode()
    stream = io.BytesIO()
    with home.scratch(home.folder("exports") / run_id) as scratch:
        folder = write_report(report, scratch / "report", "folder")
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    archive.write(file, f"{run_id}/{file.relative_to(folder)}")
    return stream.getvalue()

"""Write the report of a run: one HTML file, one Markdown file, or a folder of tables and figures."""

from __future__ import annotations

from pathlib import Path

from sgm_core import home
from sgm_core.cells.write import room
from sgm_core.errors import InputError
from sgm_core.report import FORMATS
from sgm_core.report.content import Drawing, Report, Table
from sgm_core.report.markdown import markdown
from sgm_core.spreadsheet import csv_text


def write_report(report: Report, path: Path, form: str = "html") -> Path:
    """Write a report; it is whole or absent.

    Parameters
    ----------
    report
        From `sgm_core.report.build.make_report`.
    path
        The file, or the folder; nothing may be there.
    form
        A key of `sgm_core.report.FORMATS`.

    Raises
    ------
    InputError
        If the form is unknown, something is there already, or it can't be written.
    """
    check_target(path, form)
    try:
        with room(path, None, "report"):
            if form == "folder":
                _folder(report, path)
            else:
                with home.whole_file(path) as temporary:
                    temporary.write_text(text_of(report, form), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror}): choose another place") from error
    return path


def check_target(path: Path, form: str) -> None:
    """Refuse a form that there is not, and a place where something lies; before any work.

    Raises
    ------
    InputError
        As `write_report` says.
    """
    if form not in FORMATS:
        raise InputError(f"there is no format {form!r}: take one of {', '.join(FORMATS)}")
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists already: choose another name or delete it first")


def text_of(report: Report, form: str) -> str:
    """Return the report as the text of one file."""
    if form == "md":
        return markdown(report)
    from sgm_core.report.html import html

    return html(report)


def _folder(report: Report, path: Path) -> None:
    from sgm_core.report.svg import write_svg

    with home.whole_folder(path) as folder:
        (folder / "report.md").write_text(markdown(report, files=True), encoding="utf-8")
        for name in ("figures", "tables"):
            (folder / name).mkdir()
        for block in report.blocks():
            if isinstance(block, Drawing):
                write_svg(block.figure, folder / "figures" / f"{block.name}.svg", report.simulated)
                if block.data is not None:
                    _csv(block.data, folder / "figures" / f"{block.name}.csv")
            elif isinstance(block, Table):
                _csv(block.frame, folder / "tables" / f"{block.name}.csv")


def _csv(frame: object, path: Path) -> None:
    path.write_text(csv_text(frame), encoding="utf-8", newline="")  # type: ignore[arg-type]

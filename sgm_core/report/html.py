"""A report as one HTML file that asks the network for nothing.

The figures are drawn by plotly.js, of which the file holds one copy, packed; without scripts the text and the
tables are all there. What is in the file can load nothing and send nothing (its content security policy),
and no script runs in it but the two of its own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sgm_core.analysis.confidence import MEANINGS, WORDS
from sgm_core.report import cells
from sgm_core.report.content import Block, Drawing, Report, Table

_FOLDER = Path(__file__).parent / "templates"
_SIMULATED = " · SIMULATED"


def html(report: Report) -> str:
    """Return the report as a whole HTML document."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    nonce = hashlib.sha256(f"{report.run_id} {report.made}".encode()).hexdigest()[:24]
    drawn = any(isinstance(block, Drawing) for block in report.blocks())
    return environment.get_template("report.html").render(
        report=report,
        kind=_kind,
        rows=cells.text_rows,
        numeric=cells.numeric,
        words=WORDS,
        meanings=MEANINGS,
        figure=lambda drawing: figure_json(drawing, report.simulated),
        nonce=nonce,
        css=Markup((_FOLDER / "report.css").read_text()),
        script=Markup((_FOLDER / "report.js").read_text()),
        library=Markup(_library()) if drawn else "",
    )


def figure_json(drawing: Drawing, simulated: bool) -> Markup:
    """Return a figure as JSON that can stand inside a script element: nothing in it ends that."""
    figure: dict[str, Any] = json.loads(drawing.figure.to_json(validate=False))
    title = figure["layout"].get("title")
    if simulated and title and not title["text"].endswith(_SIMULATED):
        title["text"] += _SIMULATED
    text = json.dumps({"data": figure["data"], "layout": figure["layout"]}, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _kind(block: Block) -> str:
    if isinstance(block, Table):
        return "folded" if block.folded else "table"
    return type(block).__name__.lower()


@lru_cache(maxsize=1)
def _library() -> str:
    """Return plotly.js, gzip in base64: 2 of its 5 MB. It holds nothing that would end a script element."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()

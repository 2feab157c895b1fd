"""What a person reads on a page: entities resolved, as the browser does."""

import html
import json

from streamlit.testing.v1 import AppTest

from sgm_core.escape import WORD_JOINER


def text_of(app: AppTest) -> str:
    """Return all text on the page."""
    parts = [*app.title, *app.markdown, *app.caption, *app.subheader, *app.error, *app.warning, *app.info]
    return read("\n".join(str(part.value) for part in parts))


def read(text: str) -> str:
    """Return escaped text as it is shown."""
    return html.unescape(text).replace(WORD_JOINER, "")


def titles(app: AppTest) -> list[str]:
    """Return the titles of the figures."""
    return [read(figure["layout"]["title"]["text"]) for figure in figures(app)]


def figures(app: AppTest) -> list[dict]:
    """Return the figures as the browser gets them."""
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]

"""All the text that a page shows."""

from streamlit.testing.v1 import AppTest


def text_of(app: AppTest) -> str:
    """Return all text on the page."""
    parts = [*app.title, *app.markdown, *app.caption, *app.subheader, *app.error, *app.warning, *app.info]
    return "\n".join(str(part.value) for part in parts)

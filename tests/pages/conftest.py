"""What the tests of pages share: the dashboard run without a browser."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AppTest]:
    """Open a page of the dashboard, as a link with query parameters would; it may open the test's files.

    With `user`, as somebody who has logged in.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SGM_DATA", str(tmp_path))
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_it(name: str = "home", user: dict[str, object] | None = None, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        app.query_params.update(query)
        if user is not None:
            app.user = user
        if name != "home":
            app.switch_page(f"pages/{name}.py")
        return app.run()

    return open_it


@pytest.fixture
def compare_run(demo_dataset):
    """A finished comparison on the small simulated dataset."""
    from synthetic_run import make_compare_run

    from sgm_core.runs.store import open_run

    return open_run(make_compare_run(demo_dataset.name))

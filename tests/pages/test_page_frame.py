"""The frame: what is in view, the link, empty states, and no traceback ever."""

import subprocess
import sys
from pathlib import Path

import pytest
from page_text import read
from streamlit.testing.v1 import AppTest

from sgm_core.runs.store import STATES, create_run

PAGES = ("home", "datasets", "new_run", "runs", "annotate")
HEAVY = ("torch", "gseapy", "umap", "scanpy", "sklearn")
ROOT = Path(__file__).resolve().parents[2]


def test_every_state_of_a_run_has_a_word_and_a_shape():
    from pages.components import frame

    assert set(frame.STATES) == set(STATES)
    assert len({icon for _, _, icon in frame.STATES.values()}) == len(STATES)


@pytest.mark.parametrize("name", PAGES)
def test_pages_without_any_dataset_say_what_to_do(open_page, name):
    page = open_page(name)
    assert not page.exception and not page.error
    labels = [button.label for button in page.button]
    sentences = " ".join(str(part.value) for part in [*page.markdown, *page.caption])
    assert labels or name == "datasets"
    assert "yet" in sentences


@pytest.mark.parametrize("name", PAGES)
def test_pages_with_a_finished_run(open_page, compare_run, name):
    page = open_page(name)
    assert not page.exception and not page.error
    assert page.selectbox(key="dataset").value == "small"
    assert page.selectbox(key="run").value == compare_run.id


def test_dataset_and_run_are_in_the_link(open_page, compare_run):
    page = open_page("home")
    assert page.query_params["dataset"] == "small"
    assert page.query_params["run"] == compare_run.id


def test_the_link_decides_what_is_shown(compare_run, monkeypatch):
    other = create_run("pretrain", "small", {"data": "small"})
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["run"] = other.id
    app.run()
    assert app.selectbox(key="run").value == other.id
    app.switch_page("pages/runs.py").run()
    assert app.selectbox(key="run").value == other.id, "remembered across pages"


def test_an_outdated_link_falls_back_to_what_exists(compare_run, monkeypatch):
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["dataset"] = "gone"
    app.query_params["run"] = "gone-too"
    app.run()
    assert not app.exception
    assert app.selectbox(key="dataset").value == "small"
    assert app.selectbox(key="run").value == compare_run.id


def broken(kind: str) -> None:
    from pages.components import frame
    from sgm_core.errors import InputError

    with frame.guard():
        if kind == "input":
            raise InputError("column 'x' is missing in a.h5ad: choose another")
        {}["nothing"]


def test_what_a_person_can_mend_is_said_plainly(open_page):
    page = AppTest.from_function(broken, args=("input",)).run()
    assert [read(error.value) for error in page.error] == ["column 'x' is missing in a.h5ad: choose another"]
    assert not page.exception and not page.expander


def test_a_fault_of_ours_is_an_apology_with_the_log_folded_away(open_page):
    page = AppTest.from_function(broken, args=("ours",)).run()
    assert not page.exception
    assert "could not be drawn" in page.error[0].value
    assert "KeyError" in page.expander[0].code[0].value
    assert "Traceback" not in page.expander[0].code[0].value


def test_no_page_imports_anything_heavy_at_its_start():
    program = f"""
import pathlib, sys, types
for path in sorted(pathlib.Path("pages").glob("**/*.py")):
    compile(path.read_text(), str(path), "exec")
for path in sorted(pathlib.Path("pages/components").glob("*.py")):
    if path.stem != "__init__":
        __import__(f"pages.components.{{path.stem}}")
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_drawing_a_page_imports_nothing_heavy(compare_run, sgm_home):
    program = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
for page in {PAGES}:
    if page != "home":
        app.switch_page(f"pages/{{page}}.py").run()
    assert not app.exception, page
    print("drawn", page, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    drawn = [line for line in done.stdout.splitlines() if line.startswith("drawn")]
    assert drawn == [f"drawn {name} []" for name in PAGES], done.stdout + done.stderr


def test_drawing_a_page_again_reads_no_document_again(open_page, compare_run, monkeypatch):
    # Seen: with 200 runs, each rerun of a page read 800 to 1,400 JSON files.
    from sgm_core import home

    read: list[str] = []
    read_json = home.read_json

    def count(path):
        read.append(str(path))
        return read_json(path)

    page = open_page("home")
    monkeypatch.setattr(home, "read_json", count)
    for name in ("home", "runs", "compare"):
        page = open_page(name)
        read.clear()
        page.run()
        again = [path for path in read if path.endswith(("config.json", "status.json", "dataset.json"))]
        assert not again, name
    compare_run.update(state="failed", error="of a sudden")
    page.run()
    assert compare_run.state == "failed"
    assert sorted({path.rsplit("/", 1)[1] for path in read}) == ["status.json"], "what changed, and no more"

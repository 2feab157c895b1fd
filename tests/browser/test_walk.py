"""The dashboard in a real browser: every page, a real import, a real run."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# Without these Chromium asks for hosts of its maker at every start.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += [f"--disable-{name}" for name in ("background-networking", "component-update", "sync")]
PATIENCE_MS = 120_000  # a busy machine is no failure
PAGES = (
    "Home", "Datasets", "New run", "Runs", "Compare", "Cells", "Masked genes", "Enrichment", "Review",
    "Annotate", "Report",
)  # fmt: skip

pytestmark = pytest.mark.browser


@dataclass
class Visit:
    """One browser tab on the dashboard, and everything that its console complained about."""

    page: object
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, link: str = "") -> None:
        self.page.goto(f"{self.url}/{link}")
        self.wait()

    def click_page(self, name: str) -> None:
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
        self.page.get_by_role("heading", name=name, exact=True).wait_for()
        self.wait()

    def wait(self) -> None:
        """Wait until the script has run to its end."""
        self.page.locator("h1").first.wait_for()
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector("[data-test-script-state=notRunning]", state="attached")

    def button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def assert_well(self) -> None:
        assert self.page.get_by_test_id("stException").count() == 0
        assert self.page.get_by_text("could not be drawn").count() == 0
        assert self.complaints == []


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home folder with a small simulated dataset and a finished comparison."""
    sys.path.insert(0, str(ROOT / "tests"))
    from synthetic_run import make_compare_run

    home = tmp_path_factory.mktemp("walk") / "home"
    shutil.copytree(demo_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        make_compare_run("small")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    log = (home.parent / "server.log").open("w")
    data = os.environ.get("SGM_SHARED") or str(ROOT.parent / "shared")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            f"--server.port={port}",
            "--server.headless=true",
        ],
        cwd=ROOT,
        env={**os.environ, "SGM_HOME": str(home), "SGM_DATA": data, "SGM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://localhost:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not Path(CHROMIUM).exists():
        reason = f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM"
        pytest.fail(reason) if os.environ.get("SGM_REQUIRE_SHARED") == "1" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield instance
        instance.close()


def visit(browser, server: str, theme: str = "light", width: int = 1280) -> Visit:
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    tab = Visit(context.new_page(), server)

    def console(message) -> None:
        # A link to a page makes Streamlit's own start-up ask for its health below that page first, where the
        # answer is 404, and then at the root.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            tab.complaints.append(f"{message.text} {message.location.get('url', '')}")

    tab.page.on("console", console)
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    return tab


@pytest.fixture
def tab(browser, server: str) -> Iterator[Visit]:
    tab = visit(browser, server)
    yield tab
    tab.page.context.close()


def test_the_very_first_visitor_may_come_by_a_link_to_a_page(tab):
    # A fresh server took pages/ for Streamlit's old kind of folder: no context bar, the wrong navigation.
    tab.open("runs")
    assert tab.page.get_by_test_id("stSidebarNav").get_by_role("link", name="Masked genes").count() == 1
    assert "run=compare-small" in tab.page.url
    tab.assert_well()


@pytest.mark.parametrize("theme, width", [("light", 1280), ("dark", 420)])
def test_every_page(browser, server, theme, width):
    tab = visit(browser, server, theme, width)
    tab.open()
    for name in PAGES:
        if width < 700 and tab.page.get_by_test_id("stExpandSidebarButton").count():
            tab.page.get_by_test_id("stExpandSidebarButton").click()
        tab.click_page(name)
        tab.assert_well()
        scroll = tab.page.get_by_test_id("stMain")
        overflow = scroll.evaluate("element => element.scrollWidth - element.clientWidth")
        assert overflow <= 1, f"{name} is {overflow} pixels wider than the window"
    tab.page.context.close()


def test_the_link_brings_another_person_to_the_same_view(tab, browser, server):
    tab.open()
    tab.click_page("Datasets")
    tab.page.get_by_text("Folds", exact=True).click()
    tab.page.get_by_role("heading", name="Datasets").wait_for()
    tab.page.wait_for_url("**view=Folds**")
    other = visit(browser, server)
    other.page.goto(tab.page.url)
    other.page.get_by_text("Donors never cross a split").wait_for()
    other.page.context.close()


def test_importing_a_real_file_through_the_page(tab, shared, home):
    raw = shared / "data" / "vangalen2019_aml" / "raw"
    tab.open()
    tab.click_page("Datasets")
    tab.page.get_by_text("Import", exact=True).first.click()
    tab.page.get_by_label("File or folder on this machine").fill(str(raw))
    tab.page.keyboard.press("Enter")
    tab.page.get_by_text("GEO, 5 pairs").wait_for()
    tab.page.get_by_label("Name of the dataset").fill("vangalen-raw")
    tab.page.keyboard.press("Enter")
    tab.wait()
    tab.button("Import")
    tab.page.get_by_role("button", name="Open vangalen-raw").click()
    tab.page.get_by_text("5 donors").first.wait_for()
    tab.page.wait_for_url("**dataset=vangalen-raw**")
    assert (home / "datasets" / "vangalen-raw" / "dataset.json").exists()
    tab.assert_well()


def test_uploading_a_file(tab, home, tmp_path):
    rows = [["cell", "donor", "kind", *[f"GENE{i}" for i in range(30)]]]
    for i in range(60):
        rows.append([f"c{i}", f"D{i % 3}", "AB"[i % 2], *[str((i * j) % 7) for j in range(30)]])
    table = tmp_path / "tiny.csv"
    table.write_text("\n".join(",".join(row) for row in rows))
    tab.open("datasets?view=Import&from=Upload")
    tab.page.locator("input[type=file]").set_input_files(str(table))
    tab.page.get_by_label("Name of the dataset").wait_for()
    assert list((home / "uploads").glob("*/tiny.csv"))
    tab.assert_well()


def test_launching_a_run_and_seeing_it_end(tab, home):
    tab.open("new_run?dataset=small&kind=Pretrain+one+model")
    epochs = tab.page.get_by_role("spinbutton", name="Epochs")
    epochs.fill("1")
    epochs.press("Enter")
    tab.page.get_by_text("1 epoch,").first.wait_for()
    tab.button("Start the run")
    tab.page.get_by_role("heading", name="Runs", exact=True).wait_for()
    tab.page.wait_for_url("**run=pretrain-small**")
    tab.page.get_by_role("heading", name="Pretrain dense self-guided on small").wait_for()
    tab.page.get_by_text("done", exact=False).first.wait_for()
    deadline = time.time() + 480
    state = ""
    while time.time() < deadline and state not in ("done", "failed", "lost"):
        state = next((home / "runs").glob("pretrain-small*/status.json")).read_text().split('"state": "')[1]
        state = state.split('"')[0]
        tab.page.wait_for_timeout(1000)
    assert state == "done", next((home / "runs").glob("pretrain-small*/log.txt")).read_text()[-2000:]
    tab.page.get_by_role("button", name="Cancel").wait_for(state="detached")
    headings = tab.page.get_by_role("heading", name="Are the masks guided at all?")
    headings.first.wait_for()
    tab.page.wait_for_timeout(3000)  # the last live drawing gives way to the still one
    assert headings.count() == 1
    tab.assert_well()

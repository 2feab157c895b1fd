"""How long a switch of pages takes in a real browser: cold (the server's first visit) and warm.

``python benchmarks/pages.py [--home HOME] [--rounds 5]`` starts the dashboard on a home folder that holds a
dataset and a finished run (``make app`` makes one), walks through the navigation in headless Chromium and
prints the median and the slowest switch of each page, in seconds from the click until

* said: the page's title is there and its script has ended;
* drawn: every chart of the page is drawn too.

The goal is 0.5 s for a warm switch (said, median); with an atlas in view (``--home`` of a folder with
one, ``--dataset NAME``) 1 s warm and 3 s cold for Datasets, and less than 1 GB for the dashboard's process
after every page and every view was opened, which is printed too.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import psutil
from measured import served
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("Home", "Datasets", "New run", "Runs", "Compare", "Cells", "Masked genes", "Enrichment")
BROWSER = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
VIEWS = {"Datasets": ("view",), "Compare": ("detail",), "Masked genes": ("evidence", "by")}
# The title is the page's, and the script that the click started has ended.
SAID = """(title) => {
  const app = document.querySelector('[data-testid="stApp"]');
  const heading = document.querySelector('h1');
  const link = document.querySelector('[data-testid="stSidebarNavLink"][aria-current="page"]');
  return app?.dataset.testScriptState === 'notRunning' && !!heading && link?.textContent.includes(title)
    && (title === 'Home' || heading.textContent.includes(title));
}"""
DRAWN = """() => {
  const charts = [...document.querySelectorAll('[data-testid="stPlotlyChart"]')];
  return !document.querySelector('[data-testid="stSkeleton"]')
    && charts.every((chart) => chart.querySelector('.main-svg'));
}"""


def switch(page: Page, name: str) -> tuple[float, float]:
    """Click a page's link; returns the seconds until it is said and until it is drawn."""
    link = page.locator('[data-testid="stSidebarNavLink"]', has_text=name)
    start = time.perf_counter()
    link.click()
    page.wait_for_function(SAID, arg=name, polling="raf", timeout=120_000)
    said = time.perf_counter() - start
    page.wait_for_function(DRAWN, polling="raf", timeout=120_000)
    return said, time.perf_counter() - start


def open_views(page: Page, name: str) -> None:
    """Click through the views of the page that is shown; what they compute is held from then on."""
    for group in VIEWS.get(name, ()):
        buttons = page.locator(f'.st-key-{group} [data-testid^="stBaseButton-segmented_control"]')
        for place in range(buttons.count()):
            buttons.nth(place).click()
            page.wait_for_timeout(300)
            page.wait_for_function(SAID, arg=name, polling="raf", timeout=120_000)


def memory(pid: int) -> tuple[float, float]:
    """Return what a process holds and what it held at most, in GB."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    now, most = (int(lines[key].split()[0]) / 1e6 for key in ("VmRSS", "VmHWM"))
    helpers = sum(child.memory_info().rss for child in psutil.Process(pid).children(recursive=True)) / 1e9
    if helpers:
        print(f"helpers of the dashboard's process hold {helpers:.2f} GB more")
    return now, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("SGM_HOME", ROOT / "workspace")))
    parser.add_argument("--dataset", help="the dataset in view (default: the one with the newest run)")
    parser.add_argument("--rounds", type=int, default=5, help="warm visits of each page")
    options = parser.parse_args()
    if not list(options.home.glob("runs/*/folds.parquet")):
        print(f"{options.home} holds no finished run: start the dashboard once with 'make app' first")
        return
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in PAGES}
    view = f"/?dataset={options.dataset}" if options.dataset else ""
    held: dict[str, float] = {}
    with (
        served("app.py", SGM_HOME=str(options.home.resolve())) as (address, pid),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address + view)
        page.wait_for_function(SAID, arg="Home", timeout=120_000)
        for visit in range(options.rounds + 1):
            for name in (*PAGES[1:], PAGES[0]):
                times[name].append(switch(page, name))
                held.setdefault(name, memory(pid)[0])
                if visit == options.rounds:
                    open_views(page, name)
        now, most = memory(pid)
        browser.close()
    load = os.getloadavg()[0]
    print(f"Page switches, {os.cpu_count()} cores, load {load:.1f}, {options.rounds} warm rounds; seconds")
    print(
        f"{'page':14}{'cold said':>11}{'drawn':>8}{'warm said':>11}{'slowest':>9}{'drawn':>8}{'held, GB':>10}"
    )
    for name, rows in times.items():
        cold, warm = rows[0], rows[1:]
        said, drawn = [row[0] for row in warm], [row[1] for row in warm]
        print(
            f"{name:14}{cold[0]:11.2f}{cold[1]:8.2f}{statistics.median(said):11.2f}{max(said):9.2f}"
            f"{statistics.median(drawn):8.2f}{held[name]:10.2f}"
        )
    every = [row[0] for rows in times.values() for row in rows[1:]]
    print(f"{'all':14}{'':19}{statistics.median(every):11.2f}{max(every):9.2f}")
    print(f"the dashboard's process holds {now:.2f} GB after every page and view, {most:.2f} GB at most")


if __name__ == "__main__":
    main()

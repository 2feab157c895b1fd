"""The map of cells against Plotly's scattergl, in one headless Chromium with software GL.

``python benchmarks/scatter.py [--cells 350000 1000000] [--rounds 3]`` serves a page with one map of simulated
cells (18 types in the order of the file, one gene), drawn either way, and prints for each number of cells

* navigation to drawn: from asking for the page until the points are on the screen;
* recolour: from the click on the gene until they have its colours;
* lasso to table: from letting go of the mouse until the page shows the composition of the selection;
* frames a second while the map is dragged for two seconds (its own: drawn; Plotly's: the browser's);
* memory of the tab (its process and the one that draws) and of the server, and what went over the wire.

Times are medians over the rounds, in seconds; each round is a new tab, after one that is
left out.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import streamlit as st
from measured import served

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BROWSER = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
PATIENCE_MS = 240_000
TYPES = 18
# A number that changes with what is on the screen; 0 while nothing is. Reading pixels waits for the drawing.
PLOTLY_LOOK = """() => {
  let sum = 0;
  for (const canvas of document.querySelectorAll('.js-plotly-plot .gl-container canvas')) {
    const gl = canvas.getContext('webgl');
    if (!gl) continue;
    const w = gl.drawingBufferWidth, h = gl.drawingBufferHeight, data = new Uint8Array(4 * w * h);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, data);
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3]) sum = (sum * 31 + data[i] + data[i + 1] * 7 + 1) % 1e9;
    }
  }
  return sum;
}"""
OWN_LOOK = """() => {
  const root = document.querySelector('[data-testid="stBidiComponentIsolated"]')?.shadowRoot
    ?.querySelector('.sgm-scatter');
  if (!root?.dataset.drawn || root.dataset.state !== 'ready') return 0;
  const gl = root.querySelector('.points').getContext('webgl2');
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return [...root.dataset.drawn].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 1e9, 1);
}"""
LOOKS = {"plotly": PLOTLY_LOOK, "own": OWN_LOOK}
FRAMES = """() => {
  window.frames_seen = 0;
  const tick = () => { window.frames_seen += 1; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""


def cells(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y float32 (n x 2), the type uint8 (n,) ascending, and a gene float32 (n,)."""
    rng = np.random.default_rng(0)
    centres, turn = rng.normal(0, 6, (TYPES, 2)), rng.uniform(0, 2 * np.pi, TYPES)
    kind = np.sort(rng.choice(TYPES, n, p=rng.dirichlet(np.full(TYPES, 2.0)))).astype(np.uint8)
    along, across = rng.normal(0, 1.6, n), rng.normal(0, 0.6, n)
    cos, sin = np.cos(turn)[kind], np.sin(turn)[kind]
    xy = centres[kind] + np.column_stack([cos * along - sin * across, sin * along + cos * across])
    gene = np.maximum(0, rng.normal(0, 1, n) + np.where(kind % 5 == 0, 1.0, -1.0))
    return xy.astype(np.float32), kind, gene.astype(np.float32)


def app() -> None:
    """Show the page that is measured."""
    import plotly.graph_objects as go

    from pages.components.scatter import Colours, Points, scatter
    from sgm_core.analysis.composition import composition
    from sgm_core.analysis.selection import points_in_polygon
    from sgm_core.figures.palette import SAFE

    st.set_page_config(layout="wide")
    n, own = int(st.query_params["n"]), st.query_params["kind"] == "own"
    xy, kind, gene = st.cache_resource(cells)(n)
    names = [f"Type {code + 1}" for code in range(TYPES)]
    by = st.radio("Colour", ["type", "gene"], horizontal=True)
    corners = None
    if own:
        if by == "type":
            counts = np.bincount(kind, minlength=TYPES).tolist()
            colours = Colours(kind, list(SAFE[:TYPES]), names, counts, title="Type")
        else:
            ramp = [f"#{70 + 7 * i // 10:02x}{40 + 6 * i // 10:02x}{140 - i // 3:02x}" for i in range(255)]
            codes = np.clip(gene * (254 / 4), 0, 254).astype(np.uint8)
            colours = Colours(codes, ramp, low=0.0, high=4.0, title="Gene")
        event = scatter(Points(xy[:, 0], xy[:, 1], np.arange(n), f"{n}"), colours, key="map", title="Map")
        corners = np.array(event.polygon) if event and event.polygon else None
    else:
        fig = go.Figure(layout={"height": 520, "dragmode": "lasso"})
        if by == "type":
            for code, name in enumerate(names):
                mine = kind == code
                marker = {"color": SAFE[code], "size": 3, "opacity": 0.8}
                fig.add_scattergl(x=xy[mine, 0], y=xy[mine, 1], mode="markers", name=name, marker=marker)
        else:
            marker = {"color": gene, "cmin": 0, "cmax": 4, "size": 3, "colorscale": "Viridis", "opacity": 0.8}
            fig.add_scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=marker)
        event = st.plotly_chart(fig, key="map", on_select="rerun", selection_mode=("lasso",))
        lassos = event["selection"]["lasso"]
        corners = np.column_stack([lassos[0]["x"], lassos[0]["y"]]) if lassos else None
    if corners is not None:
        selected = points_in_polygon(xy[:, 0], xy[:, 1], corners)
        st.dataframe(composition(np.array(names, dtype=object)[kind], selected).table)
        st.text(f"{int(selected.sum())} selected")


def wait_for_look(page: Any, kind: str, before: int) -> int:
    """Wait until something else is on the screen than before; returns its number."""
    found = page.wait_for_function(
        f"before => {{ const now = ({LOOKS[kind]})(); return now && now !== before && now; }}",
        arg=before, polling=50, timeout=PATIENCE_MS,
    )  # fmt: skip
    return int(found.json_value())


def tab_memory(before: set[int]) -> float:
    """Return the memory (proportional, GB) of renderers that are not in `before` and of the GPU process."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
            if "--type=gpu-process" in line or ("--type=renderer" in line and process.pid not in before):
                total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e9


def lasso(page: Any, area: dict[str, float], most: int = 40) -> None:
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(middle[0] + 90, middle[1])
    page.mouse.down()
    for i in range(1, most):
        turn = 2 * math.pi * i / most
        page.mouse.move(middle[0] + 90 * math.cos(turn), middle[1] + 90 * math.sin(turn))


def visit(browser: Any, address: str, kind: str, n: int, serving: psutil.Process) -> dict[str, float]:
    """Open the page once; returns what was measured."""
    from playwright.sync_api import TimeoutError

    result = {}
    known = {child.pid for child in psutil.Process().children(recursive=True)}
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    wire = [0]
    page.on(
        "websocket", lambda ws: ws.on("framereceived", lambda data: wire.__setitem__(0, wire[0] + len(data)))
    )
    start = time.perf_counter()
    page.goto(f"{address}/?kind={kind}&n={n}")
    look = wait_for_look(page, kind, 0)
    result["navigation to drawn, s"] = time.perf_counter() - start
    result["sent to draw, MB"] = wire[0] / 1e6
    page.wait_for_timeout(1500)
    wire[0] = 0
    start = time.perf_counter()
    page.get_by_text("gene", exact=True).click()
    wait_for_look(page, kind, look)
    result["recolour, s"] = time.perf_counter() - start
    result["sent to recolour, MB"] = wire[0] / 1e6
    page.wait_for_timeout(1500)
    area = page.locator(".stage" if kind == "own" else ".nsewdrag").first.bounding_box()
    wire[0] = 0
    lasso(page, area)
    start = time.perf_counter()
    page.mouse.up()
    try:
        page.get_by_text(" selected").wait_for(timeout=60_000)
        result["lasso to table, s"] = time.perf_counter() - start
    except TimeoutError:  # at a million, Plotly's may never answer
        result["lasso to table, s"] = math.nan
    result["sent for the lasso, MB"] = wire[0] / 1e6
    if kind == "own":
        page.locator("[data-tool=pan]").first.click()
    else:
        page.locator(".modebar-btn[data-title=Pan]").first.click(force=True)
    page.wait_for_timeout(1000)
    page.evaluate(FRAMES)
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.mouse.down()
    seen = "Number(document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
    seen += ".querySelector('.sgm-scatter').dataset.frames)"
    count = seen if kind == "own" else "window.frames_seen"
    first, start, step = page.evaluate(count), time.perf_counter(), 0
    while time.perf_counter() - start < 2:
        step += 1
        page.mouse.move(
            area["x"] + area["width"] / 2 + 60 * math.sin(step / 9), area["y"] + area["height"] / 2
        )
    result["frames/s while panning"] = (page.evaluate(count) - first) / (time.perf_counter() - start)
    page.mouse.up()
    result["memory of the tab, GB"] = tab_memory(known)
    result["memory of the server, GB"] = serving.memory_info().rss / 1e9
    page.context.close()
    return result


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[350_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=LOOKS, help="measure one of the two")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, software GL, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for n in options.cells:
        found: dict[str, dict[str, list[float]]] = {}
        for kind in [options.only] if options.only else ("own", "plotly"):
            found[kind] = defaultdict(list)
            # A server and a browser of its own, so that the memory is of one kind.
            with served(str(Path(__file__).resolve())) as (address, pid), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
                serving = psutil.Process(pid)
                visit(browser, address, kind, 2_000, serving)  # the caches of server and browser
                for _ in range(options.rounds):
                    for name, value in visit(browser, address, kind, n, serving).items():
                        found[kind][name].append(value)
                browser.close()
        print(f"\n{n:,} cells{'':24}" + "".join(f"{kind:>9}" for kind in found))
        for name in next(iter(found.values())):
            values = [statistics.median(found[kind][name]) for kind in found]
            ratio = f"{values[1] / values[0]:8.1f}" if len(values) == 2 else ""
            print(f"{name:36}" + "".join(f"{value:9.2f}" for value in values) + ratio, flush=True)


if __name__ == "__main__":
    if st.runtime.exists():
        app()
    else:
        main()

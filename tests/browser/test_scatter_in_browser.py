"""The map of cells in a real browser: what is drawn, what a gesture tells the server, what stays."""

import io
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scatter_app import HOSTILE, N, cells

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--use-gl=angle", "--use-angle=swiftshader"]
FLAGS += ["--enable-unsafe-swiftshader"]
FLAGS += [f"--disable-{name}" for name in ("background-networking", "component-update", "sync")]
PATIENCE_MS = 60_000

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("scatter_app.py"))]
    process = subprocess.Popen([*command, "--server.port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A tab on the two maps, and what went over the wire."""

    def __init__(self, browser, address: str, script: str = "", touch: bool = False) -> None:
        size = {"width": 1280, "height": 800}
        self.page = browser.new_context(viewport=size, has_touch=touch).new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.received: list[int] = []
        self.sent: list[int] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", self._listen)
        if script:
            self.page.add_init_script(script)
        self.page.goto(address)
        self.page.get_by_text("told {").wait_for()

    def _listen(self, socket) -> None:
        socket.on("framereceived", lambda data: self.received.append(len(data)))
        socket.on("framesent", lambda data: self.sent.append(len(data)))

    def ready(self) -> "Tab":
        for place in (0, 1):
            self.root(place).wait_for()
        self.page.wait_for_timeout(250)
        return self

    def root(self, place: int = 0):
        return self.page.locator(f".st-key-map{place} .sgm-scatter[data-state=ready][data-drawn]")

    def stage(self, place: int = 0):
        return self.page.locator(f".st-key-map{place} .stage")

    def told(self, **wanted) -> dict:
        """Return what the server says, as soon as it says what is wanted."""
        until = time.monotonic() + PATIENCE_MS / 1000
        while True:
            text = self.page.get_by_text("told {").inner_text()
            said = json.loads(text.removeprefix("told "))
            if all(said[name] == value for name, value in wanted.items()):
                return said
            assert time.monotonic() < until, f"{said} is not {wanted}"
            self.page.wait_for_timeout(50)

    def pixels(self, place: int = 0) -> np.ndarray:
        from PIL import Image

        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(350)  # a moving map is drawn in full when it rests
        return np.asarray(Image.open(io.BytesIO(self.stage(place).screenshot())).convert("RGB")).astype(int)

    def at(self, x: float, y: float, place: int = 0) -> tuple[float, float]:
        """Return where a point of the data is on the screen while the whole map is shown."""
        box = self.stage(place).bounding_box()
        xs, ys, _ = cells()
        xs = -xs if place else xs
        width, height = box["width"] - 2, box["height"] - 2
        scale = 0.94 * min(width / (xs.max() - xs.min()), height / (ys.max() - ys.min()))
        middle = (xs.max() + xs.min()) / 2, (ys.max() + ys.min()) / 2
        return (
            float(box["x"] + 1 + width / 2 + (x - middle[0]) * scale),
            float(box["y"] + 1 + height / 2 - (y - middle[1]) * scale),
        )

    def draw_around(self, x: float, radius: float = 4.6, place: int = 0, steps: int = 40) -> None:
        self.page.mouse.move(*self.at(x + radius, 0, place))
        self.page.mouse.down()
        for i in range(1, steps):
            turn = 2 * math.pi * i / steps
            self.page.mouse.move(*self.at(x + radius * math.cos(turn), radius * math.sin(turn), place))
        self.page.mouse.up()


@pytest.fixture
def tab(browser, address) -> Iterator[Tab]:
    tab = Tab(browser, address).ready()
    yield tab
    complaints = tab.complaints
    tab.page.context.close()
    assert complaints == []


def reds(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 120) & (pixels[..., 2] < 120)


def blues(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 2] > 180) & (pixels[..., 0] < 120) & (pixels[..., 1] < 120)


def test_every_cloud_is_drawn_where_it_lies_in_its_colour(tab):
    pixels = tab.pixels()
    middle = pixels.shape[1] // 2
    assert reds(pixels)[:, :middle].sum() > 1000 and blues(pixels)[:, middle:].sum() > 1000
    assert not reds(pixels)[:, middle:].any() and not blues(pixels)[:, :middle].any()
    assert tab.root().get_attribute("data-names") == "3"
    assert tab.stage().get_attribute("aria-label") == f"Map 0 of {N:,} cells"


def test_a_lasso_tells_its_corners_once_and_selects_the_cells_inside_on_both_maps(tab):
    whole = reds(tab.pixels()).sum()
    tab.sent.clear()
    tab.draw_around(-10)
    said = tab.told(events=1, n=N // 2)
    corners = np.array(said["last"]["polygon"])
    assert said["last"]["kind"] == "lasso" and said["last"]["mode"] == "replace"
    assert len(corners) > 10
    assert np.allclose(np.hypot(corners[:, 0] + 10, corners[:, 1]), 4.6, atol=0.15), "not where it was drawn"
    assert max(tab.sent) < 12_000, "a lasso sends its corners only"
    pixels = tab.pixels()
    assert reds(pixels).sum() > 0.8 * whole and not blues(pixels).any(), "the others recede"
    bright = (tab.pixels(1)[..., 0] > 200) & (tab.pixels(1)[..., 2] < 120)
    assert not bright.any(), "the bright cells of the second map are outside"
    tab.page.wait_for_timeout(500)
    assert tab.told()["events"] == 1


def test_a_long_path_becomes_at_most_200_corners_that_follow_it(tab):
    script = (ROOT / "pages" / "components" / "scatter" / "lasso.js").read_text()
    turn = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    radius = 100 + 15 * np.sin(150 * turn)  # more bends than corners
    path = np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])
    corners = np.array(tab.page.evaluate(f"path => {{ {script}; return simplify(path); }}", path.tolist()))
    assert 50 < len(corners) <= 200
    assert {tuple(corner) for corner in corners} <= {tuple(point) for point in path}
    smooth = 100 * np.column_stack([np.cos(turn), np.sin(turn)])
    few = np.array(tab.page.evaluate(f"path => {{ {script}; return simplify(path); }}", smooth.tolist()))
    assert len(few) < 60 and np.hypot(*np.diff(few, axis=0).T).max() < 30


def test_a_rectangle_with_shift_adds_and_escape_clears(tab):
    tab.page.locator(".st-key-map0 [data-tool=box]").click()
    tab.page.keyboard.down("Shift")
    tab.page.mouse.move(*tab.at(6, 3.5))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.at(10, 0))
    tab.page.mouse.move(*tab.at(14, -3.5))
    tab.page.mouse.up()
    tab.page.keyboard.up("Shift")
    said = tab.told(events=1)["last"]
    assert (said["kind"], said["mode"], len(said["polygon"])) == ("box", "add", 4)
    assert np.allclose(sorted(x for x, _ in said["polygon"]), [6, 6, 14, 14], atol=0.1)
    tab.page.keyboard.press("Escape")
    assert tab.told(events=2, n=-1)["last"]["kind"] == "clear"
    for key in ("i", "Control+z", "Control+y"):
        tab.page.keyboard.press(key)
    assert tab.told(events=5)["last"]["kind"] == "redo", "none is lost, however fast they come"


def test_a_new_colour_sends_codes_but_no_coordinates_and_keeps_the_view(tab):
    tab.page.locator(".st-key-map0 [data-tool=in]").click()
    zoomed = tab.page.locator(".st-key-map0 [data-zoom='1.5']")
    zoomed.wait_for()
    before = tab.root().get_attribute("data-drawn")
    tab.received.clear()
    tab.page.get_by_text("number", exact=True).click()
    tab.page.wait_for_function(
        "before => document.querySelector('.st-key-map0 [data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.sgm-scatter').dataset.drawn !== before",
        arg=before,
    )
    assert zoomed.count() == 1, "the zoom stays"
    pixels = tab.pixels()
    assert not reds(pixels).any() and not blues(pixels).any()
    assert ((pixels[..., 0] > 180) & (pixels[..., 1] > 180) & (pixels[..., 2] < 120)).sum() > 1000
    assert max(tab.received) < 4 * N, "coordinates are 4 bytes a cell"
    assert tab.page.locator(".st-key-map0 .legend").inner_text().split() == [
        "Score", "-1", "3", "no", "value"
    ]  # fmt: skip


def test_the_legend_hides_isolates_and_shows_names_as_text(tab):
    legend = tab.page.locator(".st-key-map0 .legend")
    assert HOSTILE in legend.inner_text() and legend.locator("img").count() == 0
    left = legend.get_by_role("button", name="Left")
    left.click()
    assert left.get_attribute("aria-pressed") == "false"
    pixels = tab.pixels()
    assert not reds(pixels).any() and blues(pixels).any()
    tab.draw_around(-10)
    assert tab.told(events=1)["last"]["categories"] == [0], "what was hidden is told"
    legend.get_by_role("button", name="show all").click()
    left.dblclick()
    pixels = tab.pixels()
    assert reds(pixels).any() and not blues(pixels).any()
    left.dblclick()
    assert legend.locator("[aria-pressed=false]").count() == 0


def test_colours_that_change_fast_end_with_the_last_and_nothing_is_left_behind(tab):
    for name in ("number", "types", "number", "types", "number", "types"):
        tab.page.get_by_text(name, exact=True).click()
    tab.page.locator(".st-key-map0 .legend", has_text="Left").wait_for()
    tab.page.wait_for_timeout(1000)
    pixels = tab.pixels()
    assert reds(pixels).sum() > 1000 and blues(pixels).sum() > 1000
    held = tab.page.evaluate("[...globalThis.__sgmScatter.columns.values()].map(column => column.holders)")
    assert len(held) == 4 and set(held) == {1}, "points and codes of two maps"


def test_a_map_that_went_away_comes_back_where_it_was(tab):
    tab.page.locator(".st-key-map0 [data-tool=in]").click()
    tab.page.locator(".st-key-map0 [data-zoom='1.5']").wait_for()
    before = tab.pixels()
    away = tab.page.get_by_text("Away", exact=True)
    away.click()
    tab.page.locator(".sgm-scatter").first.wait_for(state="detached")
    tab.page.wait_for_timeout(200)
    kept = "[globalThis.__sgmScatter.columns.size, globalThis.__sgmScatter.groups.size]"
    assert tab.page.evaluate(kept) == [0, 0], "what nobody shows takes no memory"
    away.click()
    tab.ready()
    assert tab.root().get_attribute("data-zoom") == "1.5"
    assert (tab.pixels() == before).mean() > 0.99


def test_two_fingers_zoom_and_one_draws_a_lasso(browser, address):
    tab = Tab(browser, address, touch=True).ready()
    send = tab.page.context.new_cdp_session(tab.page).send

    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)]
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    corners = [(-14, 4), (-6, 4), (-6, -4), (-14, -4)]
    touch("touchStart", tab.at(-14, 0))
    for corner in corners:
        touch("touchMove", tab.at(*corner))
    touch("touchEnd")
    assert tab.told(events=1)["n"] > 0.9 * N / 2
    x, y = tab.at(0, 0)
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for far in (30, 40, 50, 60):
        touch("touchMove", (x - far, y), (x + far, y))
    touch("touchEnd")
    tab.page.wait_for_timeout(400)
    assert float(tab.root().get_attribute("data-zoom")) == pytest.approx(3, rel=0.1)
    assert tab.told()["events"] == 1 and tab.complaints == []
    tab.page.context.close()


def test_keys_move_zoom_and_choose_the_tool(tab):
    whole = tab.pixels()
    tab.stage().focus()
    for key, tool in (("p", "pan"), ("b", "box"), ("l", "lasso")):
        tab.page.keyboard.press(key)
        assert tab.stage().get_attribute("data-tool") == tool
    tab.page.keyboard.press("ArrowLeft")
    moved = np.flatnonzero(reds(tab.pixels()).any(axis=0)).mean()
    assert moved - np.flatnonzero(reds(whole).any(axis=0)).mean() == pytest.approx(40, abs=3)
    tab.page.keyboard.press("+")
    tab.page.locator(".st-key-map0 [data-zoom='1.5']").wait_for()
    tab.page.keyboard.press("0")
    assert (reds(tab.pixels()) == reds(whole)).mean() > 0.999
    box = tab.stage().bounding_box()
    tab.page.mouse.move(box["x"] + 100, box["y"] + 100)
    tab.page.mouse.wheel(0, -200)
    tab.page.wait_for_timeout(200)
    assert float(tab.root().get_attribute("data-zoom")) > 1.2
    assert tab.told()["events"] == 0, "moving is not the server's business"


def test_hover_shows_the_same_cell_on_the_other_map_without_the_server(tab):
    tab.page.wait_for_timeout(300)
    tab.sent.clear()
    tab.page.mouse.move(*tab.at(-10, 0))
    tip = tab.page.locator(".st-key-map0 .tip")
    tip.wait_for()
    other = tab.page.locator(".st-key-map1 .tip")
    other.wait_for()
    assert tip.get_attribute("data-cell") == other.get_attribute("data-cell")
    cell = int(tip.get_attribute("data-cell"))
    x, y, kind = cells()
    assert kind[cell] == 0 and math.hypot(x[cell] + 10, y[cell]) < 1, "the cell under the pointer"
    assert tip.inner_text().splitlines() == ["Left", f"cell {cell:,}"]
    assert other.inner_text().splitlines()[0] == "Score -1"
    ring = tab.page.locator(".st-key-map1 .ring").bounding_box()
    expected = tab.at(-x[cell], y[cell], 1)
    assert (ring["x"] + 7, ring["y"] + 7) == pytest.approx(expected, abs=3), "the mirrored place"
    tab.page.mouse.move(2, 2)
    other.wait_for(state="hidden")
    assert tab.sent == []


def test_a_lost_context_comes_back_with_the_picture(tab):
    before = tab.pixels()
    canvas = tab.page.locator(".st-key-map0 canvas.points")
    canvas.evaluate(
        "canvas => { window.lose = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');"
        " window.lose.loseContext(); }"
    )
    lost = tab.page.locator(".st-key-map0 [data-state=lost]")
    lost.wait_for()
    assert "comes back" in lost.inner_text()
    tab.page.evaluate("window.lose.restoreContext()")
    tab.root().wait_for()
    tab.page.wait_for_timeout(300)
    assert (tab.pixels() == before).mean() > 0.999


def test_the_picture_to_download_has_points_title_and_legend(tab, tmp_path):
    from PIL import Image

    with tab.page.expect_download() as download:
        tab.page.locator(".st-key-map0 [data-tool=png]").click()
    assert download.value.suggested_filename == "Map-0.png"
    download.value.save_as(tmp_path / "map.png")
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    side = picture[:, -225:]
    assert reds(picture).sum() > 1000 and blues(picture).sum() > 1000
    assert reds(side).any() and blues(side).any(), "the legend"
    assert (picture[:30, :200].sum(axis=2) < 300).any(), "the title"


def test_without_webgl2_the_map_says_what_to_do(browser, address):
    none = (
        "const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext ="
        " function (kind, ...rest) { return kind === 'webgl2' ? null : get.call(this, kind, ...rest); };"
    )
    tab = Tab(browser, address, none)
    message = tab.page.locator(".st-key-map0 [data-state=unsupported] .message")
    message.wait_for()
    assert "WebGL2" in message.inner_text() and "hardware acceleration" in message.inner_text()
    assert tab.complaints == []
    tab.page.context.close()

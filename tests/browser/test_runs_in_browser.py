"""A run is watched: nothing flickers, a new run moves nothing, and the browser tells of the end."""

import pytest
from playwright.sync_api import expect
from test_figures_in_browser import browser  # noqa: F401
from test_walk import home, server, visit  # noqa: F401

from sgm_core.runs.store import create_run

pytestmark = pytest.mark.browser

# What is taken away or moved from now on, the frames in which the figure has no line, and whether the list is
# the same element still. (Streamlit makes another element of a figure that has another point.)
WATCH = """() => {
  const list = () => document.querySelector('[data-testid="stDataFrame"] canvas');
  const first = list(), seen = { removed: [], shifts: 0, changed: 0, blank: 0, frames: 0 };
  const frame = () => {
    seen.frames += 1;
    seen.blank += !document.querySelector('.js-plotly-plot .scatterlayer .trace');
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new MutationObserver((all) => all.forEach((one) => {
    if (one.type === 'characterData') seen.changed += 1;
    for (const node of one.removedNodes)
      if (node.dataset?.testid) seen.removed.push(node.outerHTML.slice(0, 400));
  })).observe(document.querySelector('[data-testid="stMain"]'),
              { subtree: true, childList: true, characterData: true });
  new PerformanceObserver((all) => all.getEntries().forEach((one) => { seen.shifts += one.value; }))
    .observe({ type: 'layout-shift' });
  window.watched = () => ({ ...seen, list: list() === first });
}"""
POINTS = "document.querySelector('.js-plotly-plot')?.calcdata?.[0].length"
# A browser without a screen shows no messages: this one keeps them.
MESSAGES = """
window.asked = 0; window.told = [];
window.Notification = class { constructor(title, options) { window.told.push([title, options.body]); } };
Notification.permission = 'default';
Notification.requestPermission = async () => {
  window.asked += 1;
  return (Notification.permission = 'granted');
};
"""


def epoch(run, number: int) -> None:
    run.progress(number, 9, f"pretraining, epoch {number + 1}")
    run._written = 0.0  # the next progress is written too, however soon
    loss = 1 / number
    run.metric(
        phase="pretrain", arm="self-guided", fold=0, epoch=number, train_loss=loss, validation_loss=loss
    )


def test_a_run_is_watched_without_flicker_to_its_end(browser, server, home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SGM_HOME", str(home))
    run = create_run("pretrain", "small", {"data": "small"}, title="The watched one")
    run.begin()
    epoch(run, 1)
    epoch(run, 2)
    tab = visit(browser, server)
    page = tab.page
    page.add_init_script(MESSAGES)
    tab.open("runs?show=latest")
    page.wait_for_url(f"**show={run.id}**")  # what is newer later is another run
    page.wait_for_function(f"{POINTS} === 2")
    assert page.evaluate("window.asked") == 0, "nobody is asked before the click"
    page.get_by_role("button", name="Tell me when a run ends").click()
    page.get_by_role("button", name="You are told when a run ends").wait_for()
    page.wait_for_timeout(1500)
    tab.wait()
    page.evaluate(WATCH)
    epoch(run, 3)
    page.wait_for_function(f"{POINTS} === 3")
    expect(page.get_by_test_id("stProgress")).to_contain_text("epoch 4")
    seen = page.evaluate("window.watched()")
    assert seen["changed"] and seen["shifts"] < 0.001, seen
    # Streamlit may make the figure anew, in its place and without a frame in which there is none
    assert all("chart-curves" in one for one in seen["removed"]), seen
    assert seen["list"] and seen["frames"] and seen["blank"] == 0, seen

    other = create_run("pretrain", "small", {"data": "small"}, title="A newer one")
    expect(page.get_by_test_id("stMain")).to_contain_text("3 runs: ")
    page.wait_for_timeout(500)
    expect(page.locator("h3").first).to_have_text("The watched one")
    assert f"show={run.id}" in page.url and page.evaluate("window.watched()")["blank"] == 0

    run.finish("done")
    page.wait_for_function("window.told.length")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    [[title, body]] = page.evaluate("window.told")
    assert title == "Done: The watched one" and body.startswith("small")
    tab.assert_well()
    other.finish("cancelled")
    page.context.close()

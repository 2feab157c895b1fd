"""A message from the browser when a run ends, on whatever page, in the background too; off until asked for.

The browser asks its person, and only once they press the bell. It shows messages on https and on localhost
alone. What a tab has seen is remembered by the tab, so a message comes once, and none for what ended before.
A tab in the background is drawn again about once a minute.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from pages.components import login, state, words
from sgm_core.runs.store import ACTIVE, Run

_ON = "notices-on"
_EVERY_S = 5
_RECENT = timedelta(hours=6)  # a machine that slept hears of what ended meanwhile
_HTML = """<button type="button"><i></i><b></b></button><p role="status"></p>"""
_CSS = """
button { display: flex; align-items: center; gap: 0.6rem; padding: 0.3rem 0.5rem; border: 0; cursor: pointer;
         background: none; border-radius: var(--st-base-radius); color: var(--st-text-color); opacity: 0.75;
         font-family: var(--st-font); font-size: 0.875rem; text-align: left; }
button:hover, button:focus-visible, button[aria-pressed="true"] { opacity: 1; }
button[aria-pressed="true"] i { color: var(--st-primary-color); }
i { line-height: 0; } b { font-weight: 400; }
p { font-family: var(--st-font); font-size: 0.875rem; color: var(--st-text-color); margin: 0.2rem 0.5rem; }
p:empty { display: none; }
"""
_JS = """
const WANTED = "sgm-notices", SEEN = "sgm-runs-seen", SAY_MS = 8000;
const BELL = "M12 22a2 2 0 0 0 2-2h-4a2 2 0 0 0 2 2Zm6-6v-5c0-3.1-1.6-5.6-4.5-6.3V4a1.5 1.5 0 0 0-3 0v.7" +
  "C7.6 5.4 6 7.9 6 11v5l-2 2v1h16v-1l-2-2Z";
const able = () => window.isSecureContext && "Notification" in window;
const on = () => able() && Notification.permission === "granted" && localStorage.getItem(WANTED) === "on";

function announce(run) {
  const name = run.title.length > 80 ? run.title.slice(0, 79) + "…" : run.title;
  const note = new Notification(`${run.word}: ${name}`, { body: run.body, tag: `sgm-${run.id}` });
  note.onclick = () => {
    window.focus();
    window.location.assign(new URL(`runs?show=${encodeURIComponent(run.id)}`, document.baseURI));
  };
}

function compare(runs) {
  const before = JSON.parse(sessionStorage.getItem(SEEN) ?? "null");
  const now = Object.fromEntries(runs.map((run) => [run.id, run.active ? "active" : run.finished]));
  sessionStorage.setItem(SEEN, JSON.stringify(now));
  if (before === null) return [];
  return runs.filter((run) => !run.active && before[run.id] !== run.finished);
}

export default function ({ parentElement, data, setStateValue }) {
  const button = parentElement.querySelector("button"), status = parentElement.querySelector("p");
  const say = (text) => {
    status.textContent = text;
    clearTimeout(button.silence);
    button.silence = setTimeout(() => (status.textContent = ""), SAY_MS);
  };
  const show = () => {
    button.setAttribute("aria-pressed", on());
    const fill = on() ? "currentColor" : "none";
    parentElement.querySelector("i").innerHTML = `<svg width="18" height="18" viewBox="0 0 24 24"
      fill="${fill}" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round"
      ><path d="${BELL}"/></svg>`;
    parentElement.querySelector("b").textContent =
      on() ? "You are told when a run ends" : "Tell me when a run ends";
    if (on() !== data.on) setStateValue("on", on());
  };
  button.onclick = async () => {
    if (!able()) return say("This browser shows messages on https or on localhost only.");
    if (on()) {
      localStorage.removeItem(WANTED);
      say("No more messages.");
    } else if ((await Notification.requestPermission()) === "granted") {
      localStorage.setItem(WANTED, "on");
      sessionStorage.removeItem(SEEN);
      say("You are told when a run ends, as long as a tab is open.");
    } else say("The browser blocks messages of this site; its settings allow them.");
    show();
  };
  if (on() && data.on) {
    try { compare(data.runs).forEach(announce); }
    catch (error) { say("This browser shows no messages of a page."); }
  }
  show();
}
"""
_bell = st.components.v2.component("run_notices", html=_HTML, css=_CSS, js=_JS)


def bell() -> None:
    """Draw the bell; once it is on, look for ends of runs every few seconds, and draw nothing else then."""
    on = bool(st.session_state.get(_ON))
    st.fragment(_draw, run_every=_EVERY_S if on else None)(on)


def _draw(on: bool) -> None:
    shown = on and login.inside()  # a fragment is drawn again without the page's own check
    runs = [_facts(run) for run in state.runs(kinds=None) if _is_news(run)] if shown else []
    said = _bell(
        key="run-notices",
        data={"on": on, "runs": runs},
        default={"on": on},
        on_on_change=lambda: None,
    )
    if bool(said.on) != on:
        st.session_state[_ON] = bool(said.on)
        st.rerun()


def _is_news(run: Run) -> bool:
    ended = words.moment(run.status.get("finished"))
    return run.state in ACTIVE or (ended is not None and datetime.now(UTC) - ended < _RECENT)


def _facts(run: Run) -> dict[str, Any]:
    status = run.status
    took = words.took(run)
    body = [status.get("error") or "", f"after {words.duration(took)}" if took is not None else ""]
    return {
        "id": run.id,
        "title": run.title,
        "word": status["state"].capitalize(),
        "active": status["state"] in ACTIVE,
        "finished": status.get("finished"),
        "body": " · ".join(filter(None, [run.dataset_name, *body]))[:200],
    }

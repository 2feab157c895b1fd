"""The keys that buttons can't have by themselves: find, comment, help, and leaving a field."""

import streamlit as st

KEYS = {
    "1 to 4": "verdict",
    "J": "next gene",
    "K": "previous gene",
    "/": "find a gene",
    "M": "comment",
    "U": "undo your last verdict",
    "Esc": "leave a field",
    "?": "this list",
}
HELP, COMMENT, FIND = "review-help", "review-comment", "gene"
"""Keys of the button and the fields that are reached from the keyboard; Streamlit makes them classes."""

_SHOWN = "review-keys-shown"
# One listener a page. It acts on what is there when a key is pressed, and never within a field.
_JS = """
const FIELDS = "input, textarea, select, [contenteditable='true']";
const inside = (name) => document.querySelector(`[class*="st-key-${name}"]`);

export default function ({ data }) {
  const act = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const field = event.target.closest?.(FIELDS);
    if (field) {
      if (event.key === "Escape") field.blur();
      // a gene was chosen: the keys of the page work again
      if (event.key === "Enter" && field.closest(`.st-key-${data.find}`)) setTimeout(() => field.blur(), 60);
      return;
    }
    const reached = {
      "/": () => inside(data.find)?.querySelector("input")?.focus(),
      "m": () => inside(data.comment)?.querySelector("textarea")?.focus(),
      "?": () => inside(data.help)?.querySelector("button")?.click(),
    }[event.key.toLowerCase()];
    if (!reached) return;
    event.preventDefault();
    reached();
  };
  document.addEventListener("keydown", act);
  return () => document.removeEventListener("keydown", act);
}
"""
_listener = st.components.v2.component("review_keys", js=_JS)


def listen() -> None:
    """Listen for the keys as long as the page is open."""
    _listener(key="review-keys", data={"help": HELP, "comment": COMMENT, "find": FIND})


def button() -> None:
    """Draw the button that shows the keys, and hides them again."""
    st.button("Keys ?", icon=":material/keyboard:", type="tertiary", key=HELP, on_click=_toggle)


def shown() -> None:
    """Draw the list of keys if it is wanted."""
    if st.session_state.get(_SHOWN):
        with st.container(border=True):
            st.markdown(" · ".join(f"`{key}` {what}" for key, what in KEYS.items()))


def _toggle() -> None:
    st.session_state[_SHOWN] = not st.session_state.get(_SHOWN, False)

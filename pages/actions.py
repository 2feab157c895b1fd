"""Actions: who did what, when? For operators of a dashboard with a login."""

import pandas as pd
import streamlit as st

from pages.components import frame, show, words
from sgm_core.access import read_actions
from sgm_core.escape import escape

_MOST = 500
_COLUMNS = {
    "time": st.column_config.DatetimeColumn("When", format="D MMM YYYY, HH:mm:ss"),
    "who": st.column_config.TextColumn("Who"),
    "role": st.column_config.TextColumn("Role", width="small"),
    "action": st.column_config.TextColumn("Action"),
    "what": st.column_config.TextColumn("Of what", width="large"),
    "outcome": st.column_config.TextColumn("Outcome", width="small"),
    "why": st.column_config.TextColumn("Why it failed"),
}

frame.page("Actions", badge=False)
answer_line = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    who = st.text_input("Who", key="by", bind="query-params", placeholder="part of a name", width=220)
    action = st.text_input("Action", key="what", bind="query-params", placeholder="delete", width=220)
rows = read_actions(_MOST, (who or "").strip(), (action or "").strip())
with answer_line:
    if not rows:
        frame.answer("Nothing of that kind was done yet." if who or action else "Nothing was done yet.")
    else:
        refused = sum(row["outcome"] == "refused" for row in rows)
        people = len({row["who"] for row in rows})
        latest = rows[0]
        frame.answer(
            f"{words.count(len(rows), 'entry', 'entries')} of {words.count(people, 'person', 'people')}, "
            f"{refused:,} refused; the latest: {escape(latest['who'])}, {escape(latest['action'])}, "
            f"{words.ago(latest['time'])}."
        )
if rows:
    table = pd.DataFrame(rows)
    table["time"] = pd.to_datetime(table["time"])
    show.table(table, "actions", column_config=_COLUMNS, height=560)
st.caption(
    f"The latest {_MOST:,} at most, kept in actions.jsonl of the home folder, which only grows. All of them: "
    "`sgm log --last 100000`."
)

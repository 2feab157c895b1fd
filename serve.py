"""The dashboard as ``sgm app`` serves it: `app.py`, with uploads streamed to disk."""

import streamlit as st
from starlette.middleware import Middleware

from pages.components.uploads import Streamed

app = st.App("app.py", middleware=[Middleware(Streamed)])

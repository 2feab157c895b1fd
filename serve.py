"""The dashboard as ``sgm app`` serves it: `app.py`, for its own pages alone, uploads streamed to disk."""

import streamlit as st
from starlette.middleware import Middleware

from pages.components.same_origin import SameOrigin
from pages.components.uploads import Streamed

app = st.App("app.py", middleware=[Middleware(SameOrigin), Middleware(Streamed)])

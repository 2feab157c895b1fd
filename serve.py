"""The dashboard as ``sgm app`` serves it: `app.py` behind its doors, uploads streamed to disk."""

import streamlit as st
from starlette.middleware import Middleware

from pages.components.doors import Admitted, SameOrigin
from pages.components.uploads import Streamed

app = st.App("app.py", middleware=[Middleware(SameOrigin), Middleware(Admitted), Middleware(Streamed)])

"""What this machine has to compute with, in one line."""

import streamlit as st

from pages.components import words
from sgm_core.device import gpus, memory, usable_cores


@st.cache_data(ttl=10, show_spinner=False)
def device_line() -> str:
    """Return e.g. 'CPU, 2 cores, 21.3 GB of memory free' or the GPU with its free memory."""
    cpu = f"CPU with {words.count(usable_cores(), 'core')}, {words.size(memory('cpu').free)} of memory free"
    cards = ", ".join(f"{gpu.name}, {words.size(gpu.free)} free" for gpu in gpus())
    return f"{cards} · {cpu}" if cards else f"{cpu} · no GPU: runs use the CPU"

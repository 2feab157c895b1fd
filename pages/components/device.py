"""What this machine has to compute with, found without importing torch."""

import subprocess
from pathlib import Path

import psutil
import streamlit as st

from pages.components import words

_NVIDIA = Path("/proc/driver/nvidia")


@st.cache_data(ttl=10, show_spinner=False)
def device_line() -> str:
    """Return e.g. 'CPU, 2 cores, 21.3 GB of memory free' or the GPU with its free memory."""
    cores = psutil.cpu_count() or 1
    free = words.size(psutil.virtual_memory().available)
    cpu = f"CPU with {words.count(cores, 'core')}, {free} of memory free"
    gpus = _gpus()
    return f"{gpus} · {cpu}" if gpus else f"{cpu} · no GPU: runs use the CPU"


def _gpus() -> str:
    if not _NVIDIA.exists():
        return ""
    query = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=5).stdout.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return "GPU (its driver does not answer)"
    parts = [line.rsplit(",", 1) for line in lines if "," in line]
    return ", ".join(f"{name.strip()}, {words.size(float(free) * 2**20)} free" for name, free in parts)

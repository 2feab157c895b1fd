"""Run a command and say what it took: wall clock, processor time, and the memory of all its processes."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SGM = [sys.executable, "-m", "sgm_core.cli"]
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Measured:
    """What a command took.

    Parameters
    ----------
    seconds, cpu_seconds : wall clock, and processor time over all processes
    gb : most memory that all its processes held together; what several share is counted once (PSS)
    rss_gb : the same with mapped files in full (RSS of the largest moment), as `/usr/bin/time -v` counts
    code : exit status
    out, error : what it printed
    """

    seconds: float
    cpu_seconds: float
    gb: float
    rss_gb: float
    code: int
    out: str
    error: str


def measured(command: Sequence[str], home: Path, limit: float | None = None, **env: str) -> Measured:
    """Run `command` with SGM_HOME `home` to its end, or until `limit` seconds are over, and measure it."""
    started = time.perf_counter()
    before = os.times()
    process = subprocess.Popen(
        list(command), cwd=ROOT, env={**os.environ, "SGM_HOME": str(home), **env}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    top, top_rss = 0.0, 0.0
    texts: tuple[str, str] | None = None
    while texts is None:
        try:
            texts = process.communicate(timeout=_PAUSE_S)
        except subprocess.TimeoutExpired:
            shared, full = _held(process.pid)
            top, top_rss = max(top, shared), max(top_rss, full)
            if limit is not None and time.perf_counter() - started > limit:
                os.killpg(process.pid, 9)
                texts = process.communicate()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    seconds = time.perf_counter() - started
    return Measured(seconds, cpu, top / 1e9, top_rss / 1e9, process.returncode, *texts)


def _held(pid: int) -> tuple[float, float]:
    """Return the bytes that a process and its children hold, shared pages once and in full."""
    shared, full = 0.0, 0.0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    for one in family:
        try:
            info: Any = one.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        shared, full = shared + info.pss, full + info.rss
    return shared, full


@contextmanager
def served(script: str, *flags: str, **env: str) -> Iterator[tuple[str, int]]:
    """Serve a Streamlit script on a free port; gives its address and process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *flags]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://localhost:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)

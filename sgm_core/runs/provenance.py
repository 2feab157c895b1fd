"""What a run was made with: the code's version and the machine."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import sgm_core
from sgm_core.device import gpus, usable_cores


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the package's version, with the commit when it runs from a git checkout."""
    root = Path(sgm_core.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return sgm_core.__version__
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return sgm_core.__version__
    return f"{sgm_core.__version__}+{commit}"


@lru_cache(maxsize=1)
def hardware() -> dict[str, Any]:
    """Return processor, cores, memory (GiB), graphics cards and the versions that numbers depend on."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": [gpu.name for gpu in gpus()],
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "numpy")},
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

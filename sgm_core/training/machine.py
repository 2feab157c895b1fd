"""The machine that a run would use, found without torch: which device, its memory, its expected speed."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import psutil

from sgm_core.errors import InputError
from sgm_core.training.cores import usable_cores

# Multiply-adds a second in training, wide matrices: of one CPU core, measured in fp32 (AVX-512; bf16 without
# AMX had 0.6 of it, `benchmarks/results/backbone.md`), and of a GPU, a cautious guess for a data-centre card.
# Bytes a second: what every step moves besides.
_CPU_RATE, _CPU_BYTES = 55e9, 5e9
_GPU_RATE, _GPU_BYTES = {"fp32": 1e13, "bf16": 1e14}, 1.2e12
_FRESH_S = 5.0


@dataclass(frozen=True)
class Memory:
    """Bytes of memory that a run can have, in all and now; `what` is 'memory' or 'GPU memory'."""

    total: int
    free: int
    what: str


@dataclass(frozen=True)
class Speed:
    """Expected multiply-adds and bytes a second, the seconds every step takes at least, and from where."""

    work: float
    traffic: float
    step: float
    words: str


def on_gpu(device: str) -> bool:
    """Say whether `device` (auto, cpu, cuda, cuda:N) means a GPU here."""
    if device != "auto":
        return device.startswith("cuda")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not _torch_knows_gpus()
    return Path("/dev/nvidia0").exists() and not hidden


def memory(device: str) -> Memory:
    """Return the memory of `device`.

    Raises
    ------
    InputError
        If it is a GPU and the driver tells nothing.
    """
    if on_gpu(device):
        index, visible = int(device.partition(":")[2] or 0), os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return _gpu_memory(index, visible, int(time.monotonic() // _FRESH_S))
    host = psutil.virtual_memory()
    limit = _container_limit() or host.total
    return Memory(min(host.total, limit), min(host.available, limit), "memory")


def speed(device: str, precision: str, width: int) -> Speed:
    """Return the expected speed of a backbone of this width, before anything was measured."""
    if on_gpu(device):
        rate = _GPU_RATE[precision]
        return Speed(rate, _GPU_BYTES, 0.02, f"{rate / 1e12:,.0f} T multiply-adds/s (GPU, not yet measured)")
    cores = usable_cores()
    rate = cores * _CPU_RATE * min(1.0, 0.3 + width / 1000)
    if precision == "bf16":
        rate *= 2.0 if _has_amx() else 0.6
    return Speed(rate, _CPU_BYTES, 0.004, f"{rate / 1e9:,.0f} G multiply-adds/s ({cores} CPU cores)")


@lru_cache(maxsize=1)
def _torch_knows_gpus() -> bool:
    return not version("torch").endswith("+cpu")


@lru_cache(maxsize=8)
def _gpu_memory(index: int, visible: str, moment: int) -> Memory:
    """Ask the driver; what it said holds for a moment, for it takes long and an estimate asks often."""
    query = ["nvidia-smi", "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        # what the first visible GPU is called here, the driver may call the fourth
        names = [part.strip() for part in visible.split(",") if part]
        query.append(f"--id={names[index] if names else index}")
        text = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        total, free = (int(float(part)) << 20 for part in text.strip().split(","))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        raise InputError(
            f"the memory of GPU {index} can't be read (nvidia-smi does not tell it): use device cpu"
        ) from error
    return Memory(total, free, "GPU memory")


@lru_cache(maxsize=1)
def _container_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((Path("/sys/fs/cgroup") / name).read_text())
        except (OSError, ValueError):
            continue
    return None


@lru_cache(maxsize=1)
def _has_amx() -> bool:
    """Say whether the processor multiplies bf16 faster than fp32; with avx512_bf16 alone it does not."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False

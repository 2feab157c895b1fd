"""How fast a machine is expected to be before anything was measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sgm_core.device import on_gpu, usable_cores

# Multiply-adds a second in training, wide matrices: of one CPU core, measured in fp32 (AVX-512; bf16 without
# AMX had 0.6 of it, `benchmarks/results/backbone.md`), and of a GPU, a cautious guess for a data-centre card.
# Bytes a second: what every step moves besides.
_CPU_RATE, _CPU_BYTES = 55e9, 5e9
_GPU_RATE, _GPU_BYTES = {"fp32": 1e13, "bf16": 1e14}, 1.2e12


@dataclass(frozen=True)
class Speed:
    """Expected multiply-adds and bytes a second, the seconds every step takes at least, and from where."""

    work: float
    traffic: float
    step: float
    words: str


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
def _has_amx() -> bool:
    """Say whether the processor multiplies bf16 faster than fp32; with avx512_bf16 alone it does not."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False

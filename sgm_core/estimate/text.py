"""What an estimate says, in words."""

import sys

from sgm_core.device import Memory
from sgm_core.estimate.fit import warnings
from sgm_core.estimate.run import Estimate
from sgm_core.units import duration


def report(estimate: Estimate) -> str:
    """Say an estimate as a block of lines: tokens, memory, time, and what it rests on."""
    tokens, host = estimate.tokens, estimate.machine
    parts = ", ".join(f"{name} {_size(part)}" for name, part in estimate.memory.items() if part >= 5e6)
    several = f" in {estimate.processes} processes" if estimate.processes > 1 else ""
    rate = estimate.cells_per_s
    cells = f"{estimate.cells:,} cells at {rate:,.{0 if rate >= 10 else 2}f} cells/s"
    encode_s, epoch = estimate.encode_seconds, duration(estimate.seconds_per_epoch)
    passes = [f"encoding         {cells}: {duration(encode_s)}"] if encode_s else []
    lines = [
        f"tokens per cell  {tokens.mean:,.0f} mean, {tokens.p95:,.0f} at 95 %, "
        f"{tokens.longest:,} longest (max_tokens {tokens.max_tokens:,})",
        f"memory           {_size(estimate.memory_bytes)}{several}{_room(host)}; "
        f"by the formula, a process: {parts}",
        *passes,
        f"an epoch         {epoch if encode_s else f'{cells}: {epoch}'}",
        f"in all           {duration(estimate.seconds)} for {_what(estimate)}",
    ]
    if estimate.disk_bytes:
        lines.append(f"disk             {_size(estimate.disk_bytes)} while it runs")
    lines.append(f"rests on         {estimate.basis}")
    return "\n".join(lines + [f"note             {warning}" for warning in warnings(estimate)])


def _room(host: Memory) -> str:
    if host.whose == "this machine":
        return f" of {_size(host.total)} {host.what} ({_size(host.free)} free now)"
    return (
        f" of {_size(host.total)} that {host.whose} has" if host.total < sys.maxsize else f" in {host.whose}"
    )


def _what(estimate: Estimate) -> str:
    if estimate.pretrainings is not None:
        return f"{estimate.pretrainings} pretrainings of {estimate.epochs} epochs, with their finetunings"
    return f"{estimate.epochs} epochs" + (f" in each of {estimate.folds} folds" if estimate.folds > 1 else "")


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 9.5e7 else f"{n_bytes / 1e6:,.0f} MB"

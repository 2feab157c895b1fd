"""What an estimate says, in words."""

from typing import Any

from sgm_core.units import duration


def report(guess: dict[str, Any]) -> str:
    """Say an estimate as a block of lines: tokens, memory, time, and what it rests on."""
    tokens, host = guess["tokens"], guess["machine"]
    parts = ", ".join(f"{name} {_size(part)}" for name, part in guess["memory"].items() if part >= 5e6)
    several = f" in {guess['processes']} processes" if guess.get("processes", 1) > 1 else ""
    lines = [
        f"tokens per cell  {tokens['mean']:,.0f} mean, {tokens['p95']:,.0f} at 95 %, "
        f"{tokens['longest']:,} longest (max_tokens {tokens['max_tokens']:,})",
        f"memory           {_size(guess['memory_bytes'])}{several} of {_size(host['total'])} {host['what']} "
        f"({_size(host['free'])} free now); counted per process: {parts}",
        *_passes(guess),
        f"in all           {duration(guess['seconds'])} for {_what(guess)}",
    ]
    if guess.get("disk_bytes"):
        lines.append(f"disk             {_size(guess['disk_bytes'])} while it runs")
    lines.append(f"rests on         {guess['basis']}")
    lines += [f"note             {warning}" for warning in guess["warnings"]]
    return "\n".join(lines)


def _passes(guess: dict[str, Any]) -> list[str]:
    cells, epoch = f"{guess['cells']:,} cells at {_rate(guess['cells_per_s'])}", guess["seconds_per_epoch"]
    if "encode_seconds" in guess:
        encoding = f"encoding         {cells}: {duration(guess['encode_seconds'])}"
        return [encoding, f"an epoch         {duration(epoch)}"]
    return [f"an epoch         {cells}: {duration(epoch)}"]


def _what(guess: dict[str, Any]) -> str:
    if "pretrainings" in guess:
        return f"{guess['pretrainings']} pretrainings of {guess['epochs']} epochs, with their finetunings"
    folds = guess.get("folds", 1)
    return f"{guess['epochs']} epochs" + (f" in each of {folds} folds" if folds > 1 else "")


def _rate(cells_per_s: float) -> str:
    return f"{cells_per_s:,.0f} cells/s" if cells_per_s >= 10 else f"{cells_per_s:.2g} cells/s"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 9.5e7 else f"{n_bytes / 1e6:,.0f} MB"

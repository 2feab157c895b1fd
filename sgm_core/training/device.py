"""Which device a piece of work runs on, and in which number format."""

import math
import os
from contextlib import AbstractContextManager

import torch

from sgm_core.errors import InputError
from sgm_core.training.cores import usable_cores


def pick_device(name: str) -> torch.device:
    """Return the device that `name` (auto, cpu, cuda, cuda:N) means here.

    Raises
    ------
    InputError
        If a GPU is asked for that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not on this machine ({torch.cuda.device_count()} GPUs): use auto or cpu"
        )
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context of the forward pass: bf16 autocast or plain fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def set_threads(workers: int = 1) -> None:
    """Share the machine's cores between `workers` processes (``SGM_THREADS`` overrides)."""
    cores = usable_cores()
    torch.set_num_threads(int(os.environ.get("SGM_THREADS") or max(1, cores // workers)))


def schedule(kind: str, step: int, steps: int) -> float:
    """Return the learning rate's factor at `step` of `steps`: constant, or 5 % warm-up and cosine decay."""
    if kind == "constant":
        return 1.0
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

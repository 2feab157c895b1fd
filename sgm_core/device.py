"""The machine: its cores, graphics cards and memory; the one place that looks, and without torch."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sgm_core.errors import InputError
from sgm_core.world import world

if TYPE_CHECKING:
    import torch

_FRESH_S = 5.0


@dataclass(frozen=True)
class Memory:
    """Bytes of memory that a run can have, in all and now; `what` is 'memory' or 'GPU memory'."""

    total: int
    free: int
    what: str
    whose: str = "this machine"


@dataclass(frozen=True)
class Gpu:
    """A graphics card that this process may use: its name, and bytes of memory in all and free."""

    name: str
    total: int
    free: int


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> tuple[Gpu, ...]:
    """Return the graphics cards that a run would see, in the order of their numbers.

    ``CUDA_VISIBLE_DEVICES`` holds as it does for torch (numbers or UUIDs; what follows an unknown one is
    hidden), and a build of torch without CUDA sees none.
    """
    if not _torch_knows_gpus():
        return ()
    return _visible(os.environ.get("CUDA_VISIBLE_DEVICES"), int(time.monotonic() // _FRESH_S))


def visible_cards() -> list[str]:
    """Return the names under which ``CUDA_VISIBLE_DEVICES`` shows one of the cards each to a process."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [part.strip() for part in wanted.split(",")] if wanted is not None else []
    return [names[number] if wanted is not None else str(number) for number in range(len(gpus()))]


def device_name(device: str) -> str:
    """Return which device `device` (auto, cpu, cuda, cuda:N) means here: ``cpu`` or ``cuda:N``."""
    if device == "auto":
        device = "cuda" if gpus() else "cpu"
    return "cuda:0" if device == "cuda" else device


def on_gpu(device: str) -> bool:
    """Say whether `device` (auto, cpu, cuda, cuda:N) means a GPU here."""
    return device_name(device).startswith("cuda")


def memory(device: str) -> Memory:
    """Return the memory of `device`.

    Raises
    ------
    InputError
        If it is a GPU that is not here.
    """
    if on_gpu(device):
        number, here = int(device_name(device).partition(":")[2]), gpus()
        if number >= len(here):
            raise InputError(f"GPU {number} is not on this machine, which shows {len(here)}: use device cpu")
        return Memory(here[number].total, here[number].free, "GPU memory")
    host = psutil.virtual_memory()
    limit = _container_limit() or host.total
    return Memory(min(host.total, limit), min(host.available, limit), "memory")


def pick_device(name: str) -> torch.device:
    """Return the torch device that `name` (auto, cpu, cuda, cuda:N) means here.

    Of processes that train together each has the GPU of its number on the machine.

    Raises
    ------
    InputError
        If a GPU is asked for that this machine does not have, or one for several processes.
    """
    import torch

    try:
        device = torch.device(device_name(name))
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and world().size > 1:
        if name not in ("auto", "cuda"):
            raise InputError(
                f"device is {name!r} and {world().size} processes train: give cuda, one GPU for each"
            )
        device = torch.device("cuda", world().local_rank)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not on this machine ({torch.cuda.device_count()} GPUs): use auto or cpu"
        )
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context of the forward pass: bf16 autocast or plain fp32."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def thread_count(workers: int = 1) -> int:
    """Return how many threads each of `workers` processes has on this machine (``SGM_THREADS`` overrides)."""
    return int(os.environ.get("SGM_THREADS") or max(1, usable_cores() // workers))


def set_threads(workers: int = 1) -> None:
    """Share the machine's cores between `workers` processes.

    Torch's threads and those of the numerical libraries alike: two processes whose libraries each keep two
    threads busy on two cores were seen to take more than ten times as long.
    """
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(thread_count(workers))
    threadpool_limits(thread_count(workers))


@lru_cache(maxsize=1)
def _torch_knows_gpus() -> bool:
    return not version("torch").endswith("+cpu")


@lru_cache(maxsize=4)
def _visible(wanted: str | None, moment: int) -> tuple[Gpu, ...]:
    """Ask the driver; what it said holds for a moment, for an estimate asks often."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, no card
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        if wanted is not None:
            uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
            handles = [handles[i] for i in _chosen(wanted, uuids)]
        return tuple(_describe(handle) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _chosen(wanted: str, uuids: list[str]) -> list[int]:
    """Return the numbers of the cards that ``CUDA_VISIBLE_DEVICES`` names, up to the first unknown one."""
    numbers: list[int] = []
    for part in (part.strip() for part in wanted.split(",")):
        if part.isdigit() and int(part) < len(uuids):
            numbers.append(int(part))
            continue
        named = [i for i, uuid in enumerate(uuids) if part.startswith("GPU-") and uuid.startswith(part)]
        if len(named) != 1:
            break
        numbers += named
    return numbers


def _describe(handle: object) -> Gpu:
    import pynvml

    space = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(str(pynvml.nvmlDeviceGetName(handle)), int(space.total), int(space.free))


@lru_cache(maxsize=1)
def _container_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((Path("/sys/fs/cgroup") / name).read_text())
        except (OSError, ValueError):
            continue
    return None

"""Measure a run by its first steps on the device: ``python -m sgm_core.estimate.measure REQUEST.json``.

It is a process of its own, so that its peak memory is that of the run and of nothing else. The steps are
those of the run's own loop; only the order of the cells differs: the batch of the longest cells comes first,
to warm up and to show the peak memory, then batches whose lengths spread evenly.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.device import pick_device
from sgm_core.errors import SGMError
from sgm_core.estimate import formula
from sgm_core.model.scgpt import ScGPT
from sgm_core.progress import Observer
from sgm_core.training.config import PretrainConfig
from sgm_core.training.folds import run_fold
from sgm_core.training.loop import Loop
from sgm_core.training.memory import keep_freed_memory
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.pretrain import pretrain_cells, pretraining
from sgm_core.training.start import initial_state

STEPS = 3
PATIENCE_S = 180.0
"""Longest that the steps of one part may take, by the formula."""
_NICE = 10  # the dashboard answers at once meanwhile
_BUSY_PERCENT = 40.0


def main(argv: list[str]) -> int:
    """Measure what a request (a JSON file) asks for, and write the result where it says."""
    os.nice(_NICE)
    keep_freed_memory()  # as a run does
    request = home.read_json(Path(argv[0]))
    torch.set_num_threads(request["threads"])
    try:
        config = PretrainConfig.from_dict(request["config"])
        parts = measure_steps(config, open_dataset(config.data), request["encodes"])
        home.write_json(Path(request["result"]), {"parts": parts})
    except (SGMError, torch.OutOfMemoryError, MemoryError) as error:
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def measure_steps(config: PretrainConfig, dataset: Dataset, encodes: bool = False) -> dict[str, Any]:
    """Measure a few steps.

    Parameters
    ----------
    config, dataset : the pretraining; one of an encoder alone where `encodes`
    encodes : leave the pretraining steps out

    Returns
    -------
    dict
        By part, ``pretrain`` and ``encode``: ``cell_s`` seconds per cell, ``peak_bytes`` (of the device; on a
        CPU of this process), ``steps``, ``batch_size``, ``asked`` (the batch of the run itself, of which one
        that would take minutes measures less), ``device``, ``busy`` if other programs used the processors,
        ``note`` on what differed; ``pretrain`` also has ``setup_s``.
    """
    config = dataclasses.replace(config, epochs=1, accumulation=1)
    device = pick_device(config.device)
    busy = device.type == "cpu" and psutil.cpu_percent(0.3) > _BUSY_PERCENT
    fold, tokens = run_fold(dataset, config), formula.tokens_of(dataset, config)
    shape, threads = formula.shape_of(config, tokens.n_genes), torch.get_num_threads()
    result: dict[str, Any] = {}
    started = time.perf_counter()
    if encodes:
        begun = initial_state(dataset, config, pretrain_cells(dataset, fold)[0], device)
    else:
        task = pretraining(dataset, config, fold, Observer())
        begun = task.start
        if isinstance(begun.model.backbone, ScGPT):  # the later steps of generation are the longer ones
            begun.model.backbone.feedback_after = 0
        size, cell_s = config.batch_size, formula.train_seconds(config, shape, tokens, threads)
        clock = _Clock(device)
        loop = Loop(task, config, clock, keep_best=False)
        task.start_epoch(0)
        result["pretrain"] = clock.time(loop.steps, task.cells.rows, begun.values.lengths, size, cell_s, busy)
        result["pretrain"]["setup_s"] = clock.times[0] - started
    _forget_peak(device)

    def encode(order: Sequence[np.ndarray]) -> None:
        for rows in order:
            clock.check()
            pooled_vectors(begun.model, begun.values, rows, True, config.precision)

    clock, lengths = _Clock(device), begun.values.lengths
    cells, most = formula.ENCODED
    size = int(np.searchsorted(np.cumsum(np.sort(lengths)[::-1][:cells]), most, "right"))
    cell_s = formula.pass_seconds(config, shape, tokens, threads)
    result["encode"] = clock.time(encode, np.arange(len(lengths)), lengths, max(1, size), cell_s, busy)
    return result


class _Clock(Observer):
    """Is asked at the start of every step, and so knows how long each took."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def check(self) -> None:
        """Note the time."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())

    def time(
        self,
        steps: Callable[[Sequence[np.ndarray]], None],
        rows: np.ndarray,
        lengths: np.ndarray,
        asked: int,
        cell_s: float,
        busy: bool,
    ) -> dict[str, Any]:
        """Take a step to warm up and three that count, of the cells `rows`; return a part of the result."""
        asked = min(asked, len(rows))
        size = max(1, min(asked, int(PATIENCE_S / cell_s / (STEPS + 1))))
        order = spread(rows[np.argsort(lengths[rows], kind="stable")], size)
        steps(order)
        self.check()
        note = "" if size == asked else f", in place of {asked} cells"
        note += ", while other programs kept the processors busy" if busy else ""
        return {
            "cell_s": (self.times[-1] - self.times[1]) / (STEPS * size),
            "peak_bytes": _peak(self.device),
            **{"steps": STEPS, "batch_size": size, "asked": asked, "busy": busy, "note": note},
            "device": _device_words(self.device),
        }


def spread(ordered: np.ndarray, size: int) -> list[np.ndarray]:
    """Return the batch of the longest cells, then three whose lengths spread evenly.

    Parameters
    ----------
    ordered : row numbers by ascending length
    size : cells a batch, at most as many as there are
    """
    places = len(ordered) - size
    starts = [places, *(round(places * (2 * step + 1) / (2 * STEPS)) for step in range(STEPS))]
    return [ordered[start : start + size] for start in starts]


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """Return the most memory that was in use: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        # unlike ru_maxrss, this does not begin at the memory of the process that started this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU core{'s' * (threads > 1)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

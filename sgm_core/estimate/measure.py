"""Measure a run by its first steps on the device: ``python -m sgm_core.estimate.measure REQUEST.json``.

It is a process of its own, so that its peak memory is that of the run and of nothing else. The steps are
those of `sgm_core.training.pretrain` itself; only the order of the cells differs: the batch of the longest
cells comes first, to warm up and to show the peak memory, then batches whose lengths spread evenly.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.device import pick_device
from sgm_core.errors import SGMError
from sgm_core.estimate.run import estimate
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training import pretrain as training
from sgm_core.training import start
from sgm_core.training.config import PretrainConfig
from sgm_core.training.data import Batching, Values, model_values
from sgm_core.training.folds import run_fold
from sgm_core.training.memory import keep_freed_memory
from sgm_core.training.pooling import pooled_vectors

STEPS = 3
_NICE = 10  # the dashboard answers at once meanwhile
_BUSY_PERCENT = 40.0
_ENCODED = 128  # cells that a pass of `pooled_vectors` takes at once
PATIENCE_S = 180.0
"""Longest that the steps of one part may take, by the counted estimate."""


def main(argv: list[str]) -> int:
    """Measure what a request (a JSON file) asks for, and write the result where it says."""
    os.nice(_NICE)
    keep_freed_memory()  # as a run does
    request = home.read_json(Path(argv[0]))
    target = Path(request["result"])
    try:
        config = PretrainConfig.from_dict(request["config"])
        parts = probe(config, open_dataset(config.data), request["encodes"])
        home.write_json(target, {"parts": parts})
    except (SGMError, torch.OutOfMemoryError, MemoryError) as error:
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def probe(config: PretrainConfig, dataset: Dataset, encodes: bool = False) -> dict[str, Any]:
    """Measure a few steps.

    Parameters
    ----------
    config, dataset : the pretraining; one of an encoder alone where `encodes`
    encodes : leave the pretraining steps out

    Returns
    -------
    dict
        By part, ``pretrain`` and ``encode``: ``cell_s`` seconds per cell, ``step_s``, ``peak_bytes`` (of the
        device; on a CPU of this process), ``steps``, ``batch_size``, ``tokens`` a cell, ``device``,
        ``busy`` if other programs used the processors, ``note`` what differed from the run itself;
        ``pretrain`` also has ``setup_s``.
    """
    steps, asked, size = affordable(config, dataset)
    config = dataclasses.replace(config, epochs=1, accumulation=1, patience=None, batch_size=size)
    device = pick_device(config.device)
    note = "" if size == asked else f", in place of {asked} cells"
    busy = device.type == "cpu" and psutil.cpu_percent(0.3) > _BUSY_PERCENT
    if busy:
        note += ", while other programs kept the processors busy"
    common = {"device": _device_words(device), "note": note, "busy": busy}
    fold = run_fold(dataset, config)
    result: dict[str, Any] = {}
    if encodes:
        ready = start.initial_state(dataset, config, training.pretrain_cells(dataset, fold)[0], device)
        model, values = ready.model, ready.values
    else:
        watch = _Watch(device, steps)
        started = time.perf_counter()
        few = Batching(watch.train, watch.validate)
        trained = training.pretrain(dataset, config, fold, watch, batching=few)
        setup_s = watch.times[0] - started
        result["pretrain"] = {**watch.summary(), "peak_bytes": _peak(device), "setup_s": setup_s, **common}
        model = trained.model
        values = model_values(dataset, model, trained.names, device)
    result["encode"] = {**_encode(model, values, config, steps), **common}
    return result


def affordable(config: PretrainConfig, dataset: Dataset) -> tuple[int, int, int]:
    """Return how many steps to measure, the batch size that is asked for, and the one that is measured.

    Three steps of the run's own batches, unless they would take over three minutes: then one step, and of
    so few cells that it does not either.
    """
    cell_s = 1 / estimate(config, dataset)["cells_per_s"]
    size = max(1, min(config.batch_size, dataset.n_cells))
    if (STEPS + 1) * size * cell_s <= PATIENCE_S:
        return STEPS, size, size
    return 1, size, int(max(1, min(size, PATIENCE_S / (2 * cell_s))))


class _Watch(Observer):
    """The clock of some training steps: one to warm up, the others measured.

    Attributes
    ----------
    times : when each step began, and when the last one ended
    """

    def __init__(self, device: torch.device, steps: int) -> None:
        self.device, self.steps = device, steps
        self.times: list[float] = []
        self.cells: list[int] = []
        self.tokens: list[float] = []

    def check(self) -> None:
        """Note the time; the training loop asks at the start of each step."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())

    def train(self, rows: np.ndarray, lengths: np.ndarray, size: int, *_: Any) -> list[np.ndarray]:
        """Choose a few batches of cells, see `spread`."""
        chosen = spread(rows[np.argsort(lengths[rows], kind="stable")], size, self.steps)
        for batch in chosen[1:]:
            self.cells.append(len(batch))
            self.tokens.append(float(lengths[batch].mean()))
        return chosen

    def validate(self, rows: np.ndarray, *_: Any) -> list[np.ndarray]:
        """Choose two cells."""
        self.check()  # the last step has ended
        return [rows[:2]]

    def summary(self) -> dict[str, Any]:
        """Return what was measured."""
        seconds = self.times[-1] - self.times[1]
        return {
            "cell_s": seconds / sum(self.cells),
            "step_s": seconds / len(self.cells),
            "steps": len(self.cells),
            "batch_size": max(self.cells),
            "tokens": sum(self.tokens) / len(self.tokens),
        }


def spread(ordered: np.ndarray, size: int, steps: int) -> list[np.ndarray]:
    """Return the batch of the longest cells, then `steps` batches whose lengths spread evenly.

    Parameters
    ----------
    ordered : row numbers by ascending length
    size : cells a batch
    """
    size = min(size, len(ordered))
    places = len(ordered) - size
    starts = [places, *(round(places * (2 * step + 1) / (2 * steps)) for step in range(steps))]
    return [ordered[start : start + size] for start in starts]


def _encode(model: MaskedModel, values: Values, config: PretrainConfig, steps: int) -> dict[str, Any]:
    """Measure the encoder's pass over whole cells."""
    lengths, device = values.lengths, values.device
    size = min(_ENCODED, 8 * config.batch_size, len(lengths))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    watch = _Watch(device, steps)
    for rows in watch.train(np.arange(len(lengths)), lengths, size):
        watch.check()
        pooled_vectors(model, values, rows, True, config.precision)
    watch.check()
    return {**watch.summary(), "peak_bytes": _peak(device)}


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
    return f"{torch.get_num_threads()} CPU cores"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

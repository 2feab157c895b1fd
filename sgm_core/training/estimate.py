"""How long a run will take and whether it fits, before it starts; needs neither torch nor a GPU."""

import os
from typing import Any

import numpy as np

from sgm_core.cells.dataset import Dataset
from sgm_core.training.config import ARMS, CompareConfig, PretrainConfig, pretrain_config
from sgm_core.training.cores import usable_cores

# Counted multiply-adds per second in pretraining: of one CPU core, measured (2 cores, AVX-512), and of a
# GPU, a cautious guess until one has been measured here.
CPU_RATE, GPU_RATE = 9e9, 4e11
_SHAPES = {"tiny": (128, 1, 2, 32, 1, 16), "small": (256, 4, 4, 64, 2, 64)}


def estimate(config: PretrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Estimate one pretraining.

    Returns
    -------
    dict
        ``seconds`` and ``memory_bytes`` of the whole run, and ``basis``: what the estimate rests on.
    """
    width, depth, ff, decoder_width, decoder_depth, inner = _SHAPES[config.backbone]
    genes = min(config.n_genes, dataset.n_genes)
    detected = float(np.diff(dataset.counts().indptr).mean())
    # informative genes are rarer than the average gene; half its density is what the AML data shows
    visible = max(8.0, detected / dataset.n_genes * genes * 0.7)
    encoder = depth * visible * (width * width * (4 + 2 * ff) + 2 * visible * width)
    decoder = (
        decoder_depth * genes * (decoder_width * inner * 4 + inner * 16 * 4) + visible * width * decoder_width
    )
    decoder += 0.1 * genes * decoder_width**2 * 8
    masker = 0.0
    if config.masker == "self-guided" or config.summary != "none":
        masker = 2.0 * genes * config.latents * config.latent_width
    per_cell = 3 * (encoder + decoder + masker)
    share = 0.7 if config.fold is not None else 0.95
    cells = dataset.n_cells * share * config.epochs
    rate, device = _rate(config.device)
    activations = (
        depth * visible * width * 16 + decoder_depth * genes * (decoder_width * 12 + inner * 16)
    ) * 4
    matrix = dataset.n_cells * visible * 8
    parameters = 16.0 * (genes * width + depth * width * width * (4 + 2 * ff))
    return {
        "seconds": cells * per_cell / rate + 5,
        "memory_bytes": int(8e8 + 3 * activations * config.batch_size + matrix + parameters),
        "basis": f"counted arithmetic at {rate / 1e9:,.0f} GFLOP/s ({device}); a factor of two either way",
    }


def estimate_compare(config: CompareConfig, dataset: Dataset) -> dict[str, Any]:
    """Estimate a comparison: its pretrainings, finetunings and baselines over all folds."""
    seconds, memory = 0.0, 0
    for arm in config.arms:
        fields = {
            **config.pretrain,
            "data": config.data,
            "backbone": config.backbone,
            "device": config.device,
        }
        preset = fields.pop("preset", "sgm")
        one = estimate(
            pretrain_config(preset, **{**fields, **(ARMS[arm] or ARMS["uniform"]), "fold": 0}), dataset
        )
        finetuning = 0.6 * one["seconds"]
        seconds += config.folds * ((one["seconds"] if ARMS[arm] else 0) + finetuning)
        memory = max(memory, one["memory_bytes"])
        basis = one["basis"]
    seconds += config.folds * dataset.n_cells * 0.004
    # a comparison runs one process a core, and one that gathers their tables
    workers = 1 if _on_gpu(config.device) else usable_cores()
    return {"seconds": seconds, "memory_bytes": workers * memory + int(1e9), "basis": basis}


def _on_gpu(device: str) -> bool:
    return device.startswith("cuda") or (device == "auto" and os.path.exists("/proc/driver/nvidia/version"))


def _rate(device: str) -> tuple[float, str]:
    if _on_gpu(device):
        return GPU_RATE, "GPU, not yet measured"
    return CPU_RATE * usable_cores(), f"{usable_cores()} CPU cores"


def sentence(guess: dict[str, Any]) -> str:
    """Say an estimate in one sentence."""
    minutes = guess["seconds"] / 60
    length = f"{minutes:.0f} min" if minutes >= 2 else f"{guess['seconds']:.0f} s"
    return f"about {length} and {guess['memory_bytes'] / 1e9:.1f} GB; {guess['basis']}"

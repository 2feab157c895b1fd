"""What a run will take before it starts: tokens per cell, memory, time; needs neither torch nor a GPU.

Everything is counted from the shape of the backbone and the dataset's own cells. Where steps were measured
on the device (`sgm_core.estimate.measure`), their time and peak memory take the place of what was counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from sgm_core import device as machine
from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import fold_cells
from sgm_core.comparison.arms import seeds_of, settings
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.device import usable_cores
from sgm_core.errors import InputError, NotFoundError
from sgm_core.estimate import cost
from sgm_core.estimate.speed import speed
from sgm_core.model.bundle import open_bundle
from sgm_core.model.sizes import SIZES
from sgm_core.training.backbones import shape_of_size
from sgm_core.training.config import FinetuneConfig, PretrainConfig, Settings, fold_count
from sgm_core.training.folds import run_fold
from sgm_core.training.tokens import Tokens, informative_tokens, vocabulary_tokens

_PROCESS, _GPU_PROCESS = 6e8, 6e8  # Python with torch; a GPU's context
_VALIDATION = 512
_SETUP_S = 5.0
_HEADS = 4  # that a linear probe trains to choose its weight decay
_ENCODE_BATCH, _ENCODE_TOKENS = 128, 32768
_PER_GENE = 4000  # bytes a gene of the counts of masks, in which group and epoch

Measured = Mapping[str, Mapping[str, Any]]
"""What was measured, by part: ``pretrain`` and ``encode``, each with ``cell_s`` and ``peak_bytes``."""


def shape_of(config: PretrainConfig, n_genes: int) -> dict[str, Any]:
    """Return the fields of its backbone's shape: a size for `n_genes` genes, or an imported bundle's own."""
    if config.backbone in SIZES:
        shape = shape_of_size(config, n_genes)
    else:
        shape = open_bundle(config.backbone).config
    return {**shape, "attention_dropout": config.attention_dropout}


def tokens_of(dataset: Dataset, config: PretrainConfig) -> Tokens:
    """Return how many tokens each cell gives the backbone of `config`."""
    if config.backbone in SIZES:
        return informative_tokens(dataset, min(config.n_genes, dataset.n_genes), config.depth_tokens)
    stamp = (open_bundle(config.backbone).path / "bundle.json").stat().st_mtime_ns
    return _bundle_tokens(dataset, dataset.content_hash, config.backbone, stamp)


@lru_cache(maxsize=16)
def _bundle_tokens(dataset: Dataset, content_hash: str, backbone: str, stamp: int) -> Tokens:
    bundle = open_bundle(backbone)
    return vocabulary_tokens(dataset, bundle.genes, bool(bundle.config["depth_tokens"]))


def estimate(config: PretrainConfig, dataset: Dataset, measured: Measured | None = None) -> dict[str, Any]:
    """Estimate one pretraining.

    Parameters
    ----------
    config, dataset : what would run
    measured : what was measured of it, if anything

    Returns
    -------
    dict
        ``tokens`` per cell, ``work`` (multiply-adds of one cell's forward pass), ``memory`` by part and
        ``memory_bytes`` in all, ``machine``, ``seconds_per_epoch``, ``seconds`` of the whole run,
        ``cells_per_s``, and ``basis``: what the estimate rests on.
    """
    fields, tokens = config.to_dict(), tokens_of(dataset, config)
    shape = shape_of(config, tokens.n_genes)
    work = cost.pretraining_work(shape, tokens, fields)
    visible, batch = 1 - config.mask_ratio, _batch(config.batch_size, tokens)
    kept = cost.encoder_activations(shape, visible * _longest(tokens, batch), config.recompute)
    if not machine.on_gpu(config.device):
        kept += cost.attention_maps(shape, visible**2 * _longest(tokens, batch, 2), config.recompute)
    kept += batch * cost.decoder_activations(shape, config.recompute)
    kept += batch * cost.masker_activations(tokens, fields)
    count = cost.parameter_count(shape, fields)
    memory = _memory(config, dataset, tokens, count, count, kept)
    mean = cost.encoder_activations(shape, visible * tokens.mean) + cost.decoder_activations(shape)
    forward = 4 if config.recompute else 3
    pace = speed(config.device, config.precision, shape["width"])
    update = 28.0 * count / pace.traffic / config.accumulation
    cell_s = forward * work.total / pace.work + 5 * 4 * mean / pace.traffic
    cell_s += (pace.step + update) / batch
    encode_s = cost.encoder_work(shape, tokens.mean, tokens.mean_square) / pace.work
    train, validation = _cells(config, dataset)
    step = dict((measured or {}).get("pretrain", {}))
    cell_s = step.get("cell_s", cell_s)
    encode_s = (measured or {}).get("encode", {}).get("cell_s", encode_s)
    epoch = train * cell_s + min(validation, _VALIDATION) * 0.4 * cell_s
    return _answer(
        config,
        tokens,
        memory,
        step,
        config.max_tokens,
        batch,
        work={"encoder": work.encoder, "decoder": work.decoder, "masker": work.masker},
        parameters=count,
        cells=train,
        cells_per_s=1 / cell_s,
        epochs=config.epochs,
        seconds_per_epoch=epoch,
        seconds=config.epochs * epoch + dataset.n_cells * encode_s + step.get("setup_s", _SETUP_S),
        counted=pace.words,
    )


def source_of(config: FinetuneConfig) -> PretrainConfig:
    """Return the pretraining that a finetuning starts from, on the finetuning's device.

    Raises
    ------
    NotFoundError
        If its run does not exist.
    InputError
        If its run is no pretraining.
    """
    machine_fields = {name: getattr(config, name) for name in ("device", "precision", "max_tokens")}
    if config.backbone:
        names = ("data", "backbone", "weights_key", "split", "n_folds")
        own = {name: getattr(config, name) for name in names}
        return PretrainConfig.from_dict({**own, **machine_fields, "masker": "uniform", "summary": "none"})
    path = home.folder("runs") / home.check_name(config.run, "run") / "config.json"
    if not path.is_file():
        raise NotFoundError(f"no run {config.run!r}: `sgm runs list` shows the runs that exist")
    described = home.read_json(path)
    if described["kind"] != "pretrain":
        raise InputError(f"run {config.run!r} is a {described['kind']} run: finetuning needs a pretrain run")
    parameters = described["parameters"]
    machine_fields["max_tokens"] = max(config.max_tokens, parameters.get("max_tokens", 0))
    return PretrainConfig.from_dict({**parameters, **machine_fields})


def estimate_finetune(
    config: FinetuneConfig,
    dataset: Dataset,
    measured: Measured | None = None,
    source: PretrainConfig | None = None,
) -> dict[str, Any]:
    """Estimate one finetuning; fields as in `estimate`, and ``disk_bytes`` of the cache that it keeps.

    Parameters
    ----------
    config, dataset, measured : see `estimate`
    source : the pretraining that it starts from, by default the one that `config` names
    """
    source = source or source_of(config)
    tokens = tokens_of(dataset, source)
    shape = shape_of(source, tokens.n_genes)
    pace = speed(config.device, config.precision, shape["width"])
    measured = measured or {}
    whole = cost.encoder_work(shape, tokens.mean, tokens.mean_square)
    traffic = 4 * cost.encoder_activations(shape, tokens.mean)
    encode = measured.get("encode", {})
    encode_s = encode.get("cell_s", whole / pace.work + 1.5 * traffic / pace.traffic)
    cells = _labelled(dataset, dataset.content_hash, config.label)
    one = config.fold is not None or source.fold is not None
    folds = 1 if one else fold_count(source.split, source.n_folds)
    train = 0.8 * cells
    epochs, disk, trained = config.epochs, 0.0, 0
    batch = _batch(config.batch_size, tokens)
    longest = _longest(tokens, batch)
    if config.scheme == "linear-probe":
        heads = _HEADS if config.choose_decay else 1
        epochs, once, per_epoch = config.probe_epochs, cells * encode_s, heads * train * 3e-5
        longest = min(_ENCODE_TOKENS, _longest(tokens, _batch(_ENCODE_BATCH, tokens)))
        kept = cost.encoder_activations(shape, max(longest, tokens.longest), blocks=1)
    elif config.scheme == "partial":
        once, per_epoch = 0.2 * cells * encode_s, train * 3 * encode_s
        kept = cost.encoder_activations(shape, longest)
        trained = _block_parameters(shape) + tokens.n_genes * shape["width"]
    else:
        once, per_epoch = cells * encode_s, train * 3 * encode_s * _trained_blocks(config) / shape["depth"]
        disk = 2.0 * shape["width"] * tokens.mean * cells
        kept = cost.encoder_activations(shape, longest, blocks=_trained_blocks(config))
        trained = _trained_blocks(config) * _block_parameters(shape)
    count = cost.parameter_count(shape, source.to_dict())
    memory = _memory(config, dataset, tokens, count, trained, kept)
    # folds that share one model share its pooled vectors
    passes = 1 if config.scheme == "linear-probe" else folds
    seconds = passes * once + folds * epochs * per_epoch + _SETUP_S
    return _answer(
        config,
        tokens,
        memory,
        _only_time(encode) if config.scheme != "linear-probe" else encode,
        source.max_tokens,
        0,
        work={"encoder": whole, "decoder": 0.0, "masker": 0.0},
        parameters=count,
        cells=cells,
        cells_per_s=1 / encode_s,
        epochs=epochs,
        folds=folds,
        encode_seconds=cells * encode_s,
        seconds_per_epoch=per_epoch,
        seconds=seconds,
        disk_bytes=int(disk),
        counted=pace.words,
    )


def costliest(config: CompareConfig) -> PretrainConfig:
    """Return the pretraining of the arm that costs most: one with latents where there is any."""
    arms = [arm for arm in config.arms if ARMS[arm]] or list(config.arms) or ["uniform"]
    arms.sort(key=lambda arm: cost.has_latents(settings(config, arm)[0].to_dict()))
    return settings(config, arms[-1])[0]


def estimate_compare(
    config: CompareConfig, dataset: Dataset, measured: Measured | None = None
) -> dict[str, Any]:
    """Estimate a comparison: its pretrainings, finetunings and baselines over all folds."""
    n_folds = fold_count(config.split, config.folds)
    seconds, disk = n_folds * dataset.n_cells * 0.004, 0
    first = estimate(costliest(config), dataset, measured)
    # a size runs in one process a core, which share the cores' speed, and one that gathers their tables
    alone = machine.on_gpu(config.device) or config.backbone not in SIZES
    workers = 1 if alone else usable_cores()
    largest, at_once = first, first["memory_bytes"]
    for arm in config.arms:
        pretraining, finetuning = settings(config, arm)
        models = n_folds * len(seeds_of(config, arm))
        if ARMS[arm]:
            seconds += models * estimate(pretraining, dataset, measured)["seconds"]
        for scheme in config.schemes:
            compat = finetuning.compat if scheme == "official" else "corrected"
            one = replace(finetuning, scheme=scheme, compat=compat)
            guess = estimate_finetune(one, dataset, measured, pretraining)
            seconds += models * guess["seconds"]
            disk = max(disk, guess["disk_bytes"])
            if guess["memory_bytes"] > at_once:
                largest, at_once = guess, guess["memory_bytes"]
    pretrainings = n_folds * sum(len(seeds_of(config, arm)) for arm in config.arms if ARMS[arm])
    return first | {
        "seconds": seconds,
        "memory": largest["memory"],
        "memory_bytes": workers * at_once + int(1e9 if workers > 1 else 0),
        "processes": workers,
        "pretrainings": pretrainings,
        "disk_bytes": workers * disk,
    }


def estimate_run(config: Settings, dataset: Dataset, measured: Measured | None = None) -> dict[str, Any]:
    """Estimate a run of any kind."""
    if isinstance(config, CompareConfig):
        return estimate_compare(config, dataset, measured)
    if isinstance(config, FinetuneConfig):
        return estimate_finetune(config, dataset, measured)
    assert isinstance(config, PretrainConfig)
    return estimate(config, dataset, measured)


def _only_time(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return a measured part without its memory, which is not that of the work it stands for."""
    return {name: value for name, value in measured.items() if name != "peak_bytes"}


def _batch(size: int, tokens: Tokens) -> int:
    return max(1, min(size, len(tokens.counts)))


def _longest(tokens: Tokens, batch: int, power: int = 1) -> float:
    """Return the tokens of the batch of the longest cells, which decides the memory; each to a power."""
    return float(np.sum(np.partition(tokens.counts, -batch)[-batch:].astype(np.float64) ** power))


def _trained_blocks(config: FinetuneConfig) -> int:
    # the released code trains the second-to-last block, so the last one is passed through too
    return 2 if config.scheme == "official" or config.trained_block == "second-to-last" else 1


def _block_parameters(shape: Mapping[str, Any]) -> int:
    return int(shape["width"] ** 2 * (4 + 2 * shape["ff"]))


@lru_cache(maxsize=64)
def _labelled(dataset: Dataset, content_hash: str, label: str | None) -> int:
    return int(dataset.labels(label).notna().sum())


def _cells(config: PretrainConfig, dataset: Dataset) -> tuple[int, int]:
    """Return how many cells train and how many validate."""
    fold = run_fold(dataset, config)
    if fold is not None:
        train, validation, _ = fold_cells(dataset, fold)
        return len(train), len(validation)
    held_out = max(1, dataset.n_cells // 20)
    return dataset.n_cells - held_out, held_out


def _memory(
    config: PretrainConfig | FinetuneConfig,
    dataset: Dataset,
    tokens: Tokens,
    count: int,
    trained: int,
    kept: float,
) -> dict[str, float]:
    """Return the bytes of every part that lies in the device's memory when it is fullest."""
    moments = 12 if getattr(config, "amsgrad", False) else 8
    # the best epoch's weights are kept: finetuning's always, pretraining's where it may stop early
    best = trained if isinstance(config, FinetuneConfig) else count * (config.patience is not None)
    parts = {
        "weights": 4.0 * best + count * (6.0 if config.precision == "bf16" else 4.0),
        "gradients": 4.0 * trained,
        "optimiser": float(moments * trained),
        "activations": cost.activation_bytes(kept, config.precision),
    }
    if machine.on_gpu(config.device):
        return {**parts, "process": _GPU_PROCESS}
    # the matrix is built from the raw counts, so that both are in memory for a moment
    counts = float(np.sum(tokens.counts)) * 8
    return {**parts, "cells": 2 * counts, "process": _PROCESS + _PER_GENE * tokens.n_genes}


def _answer(
    config: PretrainConfig | FinetuneConfig,
    tokens: Tokens,
    memory: dict[str, float],
    measured: Mapping[str, Any],
    limit: int,
    batch: int,
    counted: str,
    **rest: Any,
) -> dict[str, Any]:
    host = machine.memory(config.device)
    over = tokens.over(limit)
    if measured:
        steps = measured["steps"]
        basis = (
            f"{steps} step{'s' * (steps > 1)} of {measured['batch_size']} cells measured on "
            f"{measured['device']}{measured.get('note', '')}"
        )
    else:
        basis = f"counted arithmetic at {counted}; a factor of two either way"
    peak = measured.get("peak_bytes") or sum(memory.values())
    if measured.get("peak_bytes") and measured["batch_size"] < batch:
        peak += memory["activations"] * (1 - measured["batch_size"] / batch)
    return {
        "tokens": {
            "mean": tokens.mean,
            "p95": tokens.p95,
            "longest": tokens.longest,
            "max_tokens": limit,
            "over": over,
            "exact": tokens.exact,
        },
        "memory": memory,
        "memory_bytes": int(peak),
        "machine": {"total": host.total, "free": host.free, "what": host.what},
        "measured": bool(measured),
        "basis": basis,
        "warnings": [],
        "disk_bytes": 0,
        **rest,
    }

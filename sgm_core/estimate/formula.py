"""What a run takes before a step of it was measured: tokens times parameters, a factor of two either way.

A pass multiplies every token of a cell with the parameters of the encoder's blocks and every position with
those of the decoder's; a training step is three passes. A step keeps a fixed number of values for every
token or position, block and unit of width. The constants are those of `benchmarks/results/backbone.md`: the
full size takes 15.6 s a real cell and 4.9 GB a step, `tiny` does 360 real cells a second, on two cores.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sgm_core.cells.dataset import Dataset
from sgm_core.device import on_gpu
from sgm_core.model.bundle import open_bundle
from sgm_core.model.sizes import CELL_TOKEN, GENERATED, GENES, SIZES, parameters
from sgm_core.model.strategies import strategy_class
from sgm_core.training.backbones import shape_of_size
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.tokens import Tokens, informative_tokens, vocabulary_tokens

# Multiply-adds a second: of one core at the full width (wide products keep it busier), in fp32; of a GPU, a
# cautious figure for a data-centre card that nobody has measured.
_CORE, _FULL_WIDTH = 42e9, 768
_GPU = {"fp32": 1e13, "bf16": 1e14}
_CPU_BF16 = 0.7  # of the speed of fp32, on a processor without AMX
_STEP_S, _GPU_STEP_S = 0.004, 0.02  # that a step takes at least
_VALUES = 13  # that a step keeps a token, block and unit of width; an attention head a pair of tokens 2.25
PROCESS = 7.5e8  # Python with torch, or a GPU's context
_PER_CELL = 250.0  # bytes: a dozen numbers, and its row of labels as text
ENCODED = 128, 32768  # cells and tokens that a pass without gradient has at most

Shape = dict[str, Any]
Recipe = PretrainConfig | FinetuneConfig


def shape_of(config: PretrainConfig, n_genes: int) -> Shape:
    """Return the fields of its backbone's shape: a size for `n_genes` genes, or an imported bundle's own."""
    if config.backbone in SIZES:
        shape = shape_of_size(config, n_genes)
    else:
        shape = open_bundle(config.backbone).config
    return {**shape, "attention_dropout": config.attention_dropout}


def tokens_of(dataset: Dataset, config: PretrainConfig) -> Tokens:
    """Return how many tokens each cell gives the backbone of `config`."""
    if config.backbone in SIZES:
        n_genes = min(config.n_genes + config.variable_genes, dataset.n_genes)
        return informative_tokens(dataset, n_genes, config.depth_tokens)
    stamp = (open_bundle(config.backbone).path / "bundle.json").stat().st_mtime_ns
    return _bundle_tokens(dataset, dataset.content_hash, config.backbone, stamp)


@lru_cache(maxsize=16)
def _bundle_tokens(dataset: Dataset, content_hash: str, backbone: str, stamp: int) -> Tokens:
    bundle = open_bundle(backbone)
    return vocabulary_tokens(dataset, bundle.genes, bundle.config)


def has_latents(config: PretrainConfig) -> bool:
    """Say whether a pretraining has latents: to choose the masks, or for the summary."""
    if config.summary != "none" or config.masker == "uniform":
        return config.summary != "none"
    return strategy_class(config.masker).uses_latents


def pass_seconds(
    config: Recipe, shape: Shape, tokens: Tokens, threads: int, visible: float = 1, decodes: int = 0
) -> float:
    """Return the seconds of one cell's pass through the backbone.

    Parameters
    ----------
    config : device and precision
    shape, tokens : of the backbone, and those of all cells, over which the mean is taken
    threads : of the process, on a CPU
    visible : share of the tokens that the encoder sees
    decodes : positions that the decoder sees
    """
    count = parameters(shape)
    attention = 2 * shape["depth"] * shape["width"] * visible**2 * tokens.mean_square
    if shape.get("kind") == "scbert":  # by random features: with the tokens, not with their square
        inner, head_dim = inner_width(shape)
        features = int(head_dim * np.log(max(2, head_dim)))
        attention = 4 * shape["depth"] * inner * features * tokens.mean
    work = visible * tokens.mean * count.encoder + attention + decodes * count.decoder
    if shape.get("kind") == "dense":  # one product a layer, of whole cells
        work = float(sum(count) if decodes else count.encoder + count.embeddings)
    if on_gpu(config.device):
        return work / _GPU[config.precision]
    rate = threads * _CORE * min(1.0, shape["width"] / _FULL_WIDTH) ** 0.75
    return work / rate / (_CPU_BF16 if config.precision == "bf16" else 1)


def train_seconds(config: PretrainConfig, shape: Shape, tokens: Tokens, threads: int) -> float:
    """Return the seconds of one cell in a step of pretraining."""
    once = pass_seconds(config, shape, tokens, threads, seen(config, shape), predicted(config, shape, tokens))
    passes = (4 if config.recompute else 3) * (2 if config.objective == "generative" else 1)
    return passes * once + (_GPU_STEP_S if on_gpu(config.device) else _STEP_S) / config.batch_size


def seen(config: PretrainConfig, shape: Shape) -> float:
    """Return the share of a cell's tokens that the encoder sees: all, where hidden genes are tokens too."""
    return 1.0 if shape.get("kind") in CELL_TOKEN else 1 - config.mask_ratio


def predicted(config: PretrainConfig, shape: Shape, tokens: Tokens) -> int:
    """Return the positions of a cell that go through the decoder, or the heads in its place."""
    hidden = float(np.mean(GENERATED)) if config.objective == "generative" else config.mask_ratio
    return int(hidden * tokens.mean) if shape.get("kind") in CELL_TOKEN else tokens.n_genes


def inner_width(shape: Shape) -> tuple[int, int]:
    """Return the width of all heads of an encoder block, and that of one."""
    head_dim = shape.get("head_dim") or shape["width"] // shape["heads"]
    return head_dim * shape["heads"], head_dim


def longest(tokens: Tokens, cells: int) -> np.ndarray:
    """Return the tokens of the `cells` longest cells: their batch decides the memory."""
    cells = max(1, min(cells, len(tokens.counts)))
    return np.partition(tokens.counts, -cells)[-cells:].astype(np.float64)


def activations(config: Recipe, shape: Shape, batch: np.ndarray, decodes: int = 0, blocks: int = 0) -> float:
    """Return the bytes that a step of training keeps for the gradient.

    Parameters
    ----------
    config : device, precision and `recompute`
    shape : of the backbone
    batch : tokens of each cell that the encoder sees
    decodes : positions that the decoder sees, over the batch
    blocks : the encoder's trained blocks, by default all
    """
    recompute = getattr(config, "recompute", False)
    encoder, decoder = blocks or shape["depth"], shape["decoder_depth"]
    values = batch.sum() * shape["width"] * _kept(encoder, recompute) * _heaviness(shape)
    if getattr(config, "objective", "masked") == "generative":  # a second pass, with the cells' vectors
        values *= 2
    values += decodes * shape["decoder_width"] * _kept(decoder, recompute)
    if shape.get("kind") == "dense":  # a dozen arrays of genes (input, masks, predictions), few of units
        values = 12.0 * decodes + 10.0 * shape["width"] * len(batch)
    if shape["attention_dropout"] and not on_gpu(config.device):  # a GPU's kernel keeps no map
        values += 2.25 * shape["heads"] * np.square(batch).sum() * (1 if recompute else encoder)
    if isinstance(config, PretrainConfig) and has_latents(config):
        cells = len(batch) * shape["n_genes"]  # the latents attend over all genes
        values += 5 * config.latents * config.latent_heads * cells
    return float(values) * (3 if config.precision == "bf16" else 4)


def encoding(shape: Shape, tokens: Tokens) -> float:
    """Return the bytes of a pass without gradient over the longest cells; one block's values are alive."""
    cells, most = ENCODED
    at_once = max(tokens.longest, min(most, longest(tokens, cells).sum()))
    return 4.0 * _VALUES * _heaviness(shape) * shape["width"] * at_once


def _heaviness(shape: Shape) -> float:
    """Return how many values a token keeps against one of scFoundation's encoder."""
    if shape.get("kind") not in CELL_TOKEN:
        return 1.0
    width, (inner, _) = shape["width"], inner_width(shape)
    # what enters the layers, queries to values, and the feed-forward layer's (with the GELU, twice)
    hidden = shape["ff"] * width * (2 if shape["kind"] == "scbert" else 1)
    return float((5 * width + 4 * inner + hidden) / (_VALUES * width))


def cell_bytes(dataset: Dataset) -> float:
    """Return the bytes of what a process knows of every cell: totals, tokens, labels, donors, places.

    The counts themselves are read by the batch.
    """
    return _PER_CELL * dataset.n_cells


def pooled_width(shape: Shape) -> int:
    """Return the width P of a cell's vector."""
    parts = shape.get("pool", ("max", "mean", "weighted"))
    return sum(int(shape["n_genes" if part == GENES else "width"]) for part in parts)


def memory(
    config: Recipe, shape: Shape, tokens: Tokens, trained: int, in_step: float, cells: float = 0.0
) -> dict[str, float]:
    """Return the bytes of every part that lies in the device's memory when it is fullest.

    Parameters
    ----------
    config, shape, tokens : the training, its backbone and the cells
    trained : number of trained parameters
    in_step : bytes of activations
    cells : bytes of the cells, which lie in the host's memory
    """
    count = sum(parameters(shape))
    # the best epoch's weights are kept: finetuning's always, pretraining's where it may stop early
    best = trained if isinstance(config, FinetuneConfig) or config.patience is not None else 0
    parts = {
        "weights": 4.0 * best + count * (6.0 if config.precision == "bf16" else 4.0),
        "gradients": 4.0 * trained,
        "optimiser": (12.0 if config.amsgrad else 8.0) * trained,
        "activations": max(in_step, encoding(shape, tokens)),
        "process": PROCESS,
    }
    return parts if on_gpu(config.device) else {**parts, "cells": cells}


def _kept(blocks: int, recompute: bool) -> float:
    """Return the values that `blocks` blocks keep a token and unit of width."""
    # computed again: what enters each block, and one block's values and gradients
    return min(blocks * _VALUES, blocks + 1.5 * _VALUES) if recompute else blocks * _VALUES

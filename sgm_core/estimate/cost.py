"""What one cell and one step cost: multiply-adds and bytes, counted from the shape of the backbone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sgm_core.training.tokens import Tokens

# What a pass holds beside the blocks' activations. A full-size step (fp32, 2,002 tokens, 2 CPU cores) was
# measured at 4.9 GB in all; this counts 6.3.
_BESIDE = 1.15
_PER_POSITION = 30  # numbers a cell and position: values, noise, masks, their sorting


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one cell's forward pass, mean over the cells."""

    encoder: float
    decoder: float
    masker: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.encoder + self.decoder + self.masker


def parameter_count(shape: dict[str, Any], masking: dict[str, Any] | None = None) -> int:
    """Return the parameters of a backbone of this shape, with those of its masker."""
    width, inner = shape["width"], shape["decoder_heads"] * shape["decoder_head_dim"]
    small, bins = shape["decoder_width"], shape["bins"]
    positions = shape["n_genes"] + 2 * shape["depth_tokens"] + 1
    encoder = shape["depth"] * width * (width * (4 + 2 * shape["ff"]) + 9 + shape["ff"])
    decoder = shape["decoder_depth"] * small * (4 * inner + 2 * shape["ff"] * small + 5 + shape["ff"])
    total = positions * width + bins * (bins + 3 + width) + 2 * width + encoder + decoder + width * small
    if shape["cell_context"]:
        total += len(shape["pool"]) * width * small
    if masking and has_latents(masking):
        inner = masking["latent_width"]
        total += inner * (masking["latents"] + 2 * inner + 4 * width)
    return int(total)


def has_latents(masking: dict[str, Any]) -> bool:
    """Say whether a pretraining has latents: to choose the masks, or for the summary."""
    return masking["masker"] == "self-guided" or masking["summary"] != "none"


def encoder_work(shape: dict[str, Any], tokens: float, squares: float, blocks: int | None = None) -> float:
    """Return the multiply-adds of the encoder (or of `blocks` of its blocks) for one cell.

    Parameters
    ----------
    shape : fields of `BackboneConfig`
    tokens, squares : mean of a cell's tokens, and of their square
    """
    width, blocks = shape["width"], shape["depth"] if blocks is None else blocks
    embedding = tokens * shape["bins"] * (shape["bins"] + width)
    return embedding + blocks * (tokens * width**2 * (4 + 2 * shape["ff"]) + 2 * squares * width)


def decoder_work(shape: dict[str, Any], queried: float, tokens: float) -> float:
    """Return the multiply-adds of the decoder for one cell whose loss looks at `queried` positions."""
    width, heads, head = shape["decoder_width"], shape["decoder_heads"], shape["decoder_head_dim"]
    inner, positions = heads * head, shape["n_genes"] + 2 * shape["depth_tokens"]
    features = heads * max(1, int(head * math.log(head))) * head
    keys = 2 * width * inner + 2 * features
    queries = 2 * width * inner + 2 * features + 2 * shape["ff"] * width**2
    full = (shape["decoder_depth"] - 1) * positions * (keys + queries)
    return full + positions * keys + queried * queries + tokens * shape["width"] * width


def pretraining_work(shape: dict[str, Any], tokens: Tokens, masking: dict[str, Any]) -> Work:
    """Return the multiply-adds of one cell's forward pass in masked pretraining."""
    genes, visible = tokens.n_genes, 1 - masking["mask_ratio"]
    if masking["mask_basis"] == "all":
        queried = masking["mask_ratio"] * genes
    else:
        queried = masking["mask_ratio"] * tokens.mean
        queried += masking["zero_ratio"] * max(0.0, genes - tokens.mean)
    per_step = genes * shape["width"] * shape["decoder_width"] / max(1, masking["batch_size"])
    masker = 0.0
    if has_latents(masking):
        inner = masking["latent_width"]
        each = 2 * masking["latents"] * genes * inner + tokens.mean * shape["width"] * inner
        masker = 2 * (each + genes * shape["width"] * inner / max(1, masking["batch_size"]))
    return Work(
        encoder_work(shape, visible * tokens.mean, visible**2 * tokens.mean_square),
        decoder_work(shape, queried, visible * tokens.mean) + per_step,
        masker,
    )


def encoder_activations(
    shape: dict[str, Any], tokens: float, recompute: bool = False, blocks: int | None = None
) -> float:
    """Return the numbers that the encoder keeps of `tokens` tokens for the gradient."""
    width, ff = shape["width"], shape["ff"]
    blocks = shape["depth"] if blocks is None else blocks
    block = (9 + ff) * width * tokens
    embedding = (3 * shape["bins"] + 4 * width) * tokens
    if recompute:
        return embedding + blocks * width * tokens + 1.5 * block
    return embedding + blocks * block


def attention_maps(shape: dict[str, Any], squares: float, recompute: bool = False) -> float:
    """Return the numbers of the attention probabilities that the encoder keeps for the gradient.

    There are none unless they have dropout; a GPU keeps none even then.

    Parameters
    ----------
    shape : fields of `BackboneConfig`
    squares : sum of the squared tokens of the cells of a step
    recompute : keep one block's at a time
    """
    blocks = 1 if recompute else shape["depth"]
    return 2.25 * blocks * shape["heads"] * squares if shape["attention_dropout"] else 0.0


def decoder_activations(shape: dict[str, Any], recompute: bool = False) -> float:
    """Return the numbers that the decoder keeps of one cell for the gradient."""
    width, ff = shape["decoder_width"], shape["ff"]
    inner = shape["decoder_heads"] * shape["decoder_head_dim"]
    positions = shape["n_genes"] + 2 * shape["depth_tokens"]
    block = (4 * width + 4 * inner + 2 * ff * width) * positions
    last = 2 * (width + inner) * positions  # its outputs are computed where the loss looks, and no further
    around = (4 * width + _PER_POSITION) * positions
    if recompute:
        return around + shape["decoder_depth"] * width * positions + 1.5 * block
    return around + (shape["decoder_depth"] - 1) * block + last


def activation_bytes(numbers: float, precision: str) -> float:
    """Return the bytes of a step's kept numbers; under bf16 about half of them are stored in two bytes."""
    return numbers * (3.0 if precision == "bf16" else 4.0) * _BESIDE


def masker_activations(tokens: Tokens, masking: dict[str, Any]) -> float:
    """Return the numbers that the latents' attention over one cell keeps for the gradient."""
    if not has_latents(masking):
        return 0.0
    maps = 5.0 * masking["latents"] * masking["latent_heads"] * tokens.n_genes
    return maps + 4 * tokens.n_genes

"""The padded batch of the released classifier, for those who must have its numbers.

There cells are padded to the longest of the batch, attention leaves the padding out, but the maximum that
pools a cell runs over the padding too: a prediction then depends on the cells beside it. Our own path
(`sgm_core.model.backbone`) has no padding.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sgm_core.errors import InputError
from sgm_core.model.attention import EncoderBlock
from sgm_core.model.backbone import Backbone
from sgm_core.model.interface import CellBackbone, Encoded

PAD_POSITION = 103
"""The released code gives padding the position row of its pad id, which is that of an ordinary gene."""


class Padded(NamedTuple):
    """Tokens (B, M, D) of a batch, left-packed, and which of them are no padding, `valid` (B, M)."""

    tokens: Tensor
    valid: Tensor


def pad_token(backbone: CellBackbone) -> Tensor:
    """Return what padding enters the first block as (D,).

    Raises
    ------
    InputError
        If the backbone has no padding: only imported weights have.
    """
    if backbone.values.pad is None:
        raise InputError("compat=official needs imported weights: this backbone knows no padding")
    return backbone.values.pad + backbone.positions.weight[min(PAD_POSITION, backbone.config.n_positions)]


def pad(encoded: Encoded, padding: Tensor, extra: int = 0) -> Padded:
    """Put packed tokens into a padded batch.

    Parameters
    ----------
    encoded : the tokens
    padding : (D,), or (B, D) for one of each cell
    extra : places of padding beyond the longest cell
    """
    lengths = torch.tensor(encoded.lengths, device=encoded.tokens.device)
    most = max(encoded.lengths, default=0) + extra
    valid = torch.arange(most, device=lengths.device) < lengths.unsqueeze(1)
    rows = padding.unsqueeze(-2).to(encoded.tokens.dtype).expand(len(lengths), most, -1)
    return Padded(rows.masked_scatter(valid.unsqueeze(-1), encoded.tokens), valid)


def through_padded(backbone: CellBackbone, padded: Padded, start: int = 0, stop: int | None = None) -> Padded:
    """Send a padded batch through the blocks `start` to `stop`; after the last one it is normalised."""
    assert isinstance(backbone, Backbone), "only imported weights know padding"
    stop = len(backbone.blocks) if stop is None else stop
    tokens, keys = padded.tokens, padded.valid.clone()
    keys[~keys.any(1), :1] = True  # a cell without a gene attends to its padding: its softmax needs something
    for block in backbone.blocks[start:stop]:
        assert isinstance(block, EncoderBlock)
        tokens = block.padded(tokens, keys)
    return Padded(backbone.norm(tokens) if stop == len(backbone.blocks) else tokens, padded.valid)


def pool_padded(padded: Padded) -> Tensor:
    """Return the maximum (B, D) over all places, padding included."""
    return padded.tokens.amax(1)

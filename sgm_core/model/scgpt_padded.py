"""The padded batch of scGPT's released code, for those who must have its numbers of two pools.

There cells are padded to the longest of the batch, and the mean over a cell's tokens, as well as their sum
weighted by bin, runs over the padding too (and over the codes -1 and -2): a cell's vector then depends on
the cells beside it, and on the kernel of its attention. The token of the cell, which the released models use,
knows no padding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sgm_core.model.attention import EncoderBlock
from sgm_core.model.scgpt import MASK_CODE, PAD_CODE, ScGPT


def pool_with_padding(
    backbone: ScGPT, codes: Tensor, visible: Tensor, hidden: Tensor | None, part: str, flash: bool = False
) -> Tensor:
    """Encode a batch and pool it as the released code does.

    Parameters
    ----------
    backbone, codes, visible, hidden : see `CellBackbone.encode`
    part : ``mean``, over all places; ``weighted``, the sum by the codes, normalised to length 1
    flash : whether what padding holds is that of flash attention, or of torch's own

    Returns
    -------
    (B, D)
    """
    encoded = backbone.embed_tokens(codes, visible, None, hidden)
    own = codes if hidden is None else codes.masked_fill(hidden, MASK_CODE)
    lengths = torch.tensor(encoded.lengths, device=codes.device)
    valid = torch.arange(max(encoded.lengths), device=codes.device) < lengths.unsqueeze(1)
    weights = own.new_full(valid.shape, PAD_CODE).masked_scatter(valid, own[encoded.cell, encoded.at])
    padding = backbone.gene_norm(backbone.positions.weight[-1]) + backbone.values(own.new_tensor(PAD_CODE))
    x = padding.expand(*valid.shape, -1).masked_scatter(valid.unsqueeze(-1), encoded.tokens)
    for block in backbone.blocks:
        assert isinstance(block, EncoderBlock)
        x = block.padded(x, valid, flash)
    if part == "mean":
        return x.mean(1)
    return F.normalize((x * weights.to(x.dtype).unsqueeze(-1)).sum(1))

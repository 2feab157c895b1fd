"""What enters the first trained block, computed once for every cell and kept on disk.

Where everything before a block is frozen, its input never changes. It is kept as float16, about 3 MB a
full-size cell, in a folder of its own that is deleted at the end, and also when the process is killed.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgm_core import home
from sgm_core.device import autocast
from sgm_core.errors import InputError
from sgm_core.model.interface import Encoded
from sgm_core.model.padded import Padded, pad, pad_token, through_padded
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.data import Values, ahead, token_batches
from sgm_core.world import world

_SPARE = 1 << 30  # bytes of disk that stay free


class Entered(NamedTuple):
    """Tokens as they enter a block, and the padding (B, D) that goes with them on the padded path."""

    encoded: Encoded
    padding: Tensor | None


class Prefix:
    """The frozen part of a model: the tokens of a cell up to the block `stop`.

    Parameters
    ----------
    model : the model
    values : what it reads
    stop : number of frozen blocks
    keep_summary, genes_only : see `MaskedModel.embed_tokens`
    padded : also follow a token of padding through the blocks (the released classifier pools it)
    precision : fp32 or bf16
    """

    def __init__(
        self,
        model: MaskedModel,
        values: Values,
        stop: int,
        keep_summary: bool,
        genes_only: bool = False,
        padded: bool = False,
        precision: str = "fp32",
    ) -> None:
        self.model, self.values, self.stop = model, values, stop
        self.keep_summary, self.genes_only = keep_summary, genes_only
        self.padded, self.precision = padded, precision

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of every cell that enter the block, padding left out."""
        config = self.model.backbone.config
        dropped = 2 if self.genes_only and config.depth_tokens else 0
        return self.model.backbone.token_counts(self.values.lengths - dropped)

    def compute(self, x: Tensor) -> Entered:
        """Send the values (B, L) of some cells through the frozen part."""
        backbone = self.model.backbone
        with autocast(x.device, self.precision):
            embedded = self.model.embed_tokens(x, self.keep_summary, self.genes_only)
            if not self.padded:
                return Entered(backbone.through(embedded, 0, self.stop), None)
            # all padding of a cell is alike and nothing attends to it, so one place stands for it
            through = through_padded(backbone, pad(embedded, pad_token(backbone), 1), 0, self.stop)
            valid = through.tokens[through.valid]
            return Entered(embedded._replace(tokens=valid), through.tokens[:, -1])


class Store:
    """The output of a `Prefix` for some cells, memory-mapped."""

    def __init__(self, prefix: Prefix, rows: np.ndarray, folder: Path, observer: Observer) -> None:
        self.prefix = prefix
        lengths = prefix.lengths() + prefix.padded
        self._starts = np.zeros(len(lengths), np.int64)
        self._starts[rows] = np.cumsum(lengths[rows]) - lengths[rows]
        self._lengths = lengths
        width = prefix.model.backbone.config.width
        shape = (max(1, int(lengths[rows].sum())), width)
        self._tokens = np.memmap(folder / "tokens.f16", np.float16, "w+", shape=shape)
        with suppress(OSError):
            # the mapping keeps the file: not even a process that is killed leaves gigabytes behind
            (folder / "tokens.f16").unlink()
            folder.rmdir()
        order, done = list(token_batches(rows, lengths, 128)), 0
        for batch, x in zip(order, ahead(prefix.values.batch, order, prefix.values.device), strict=True):
            observer.check()
            observer.progress(done, len(rows), "keeping what enters the trained block")
            with torch.no_grad():
                encoded, padding = prefix.compute(x)
            tokens = encoded.tokens.half().cpu().numpy()
            ends = np.cumsum(encoded.lengths)
            for i, cell in enumerate(batch):
                part = tokens[ends[i] - encoded.lengths[i] : ends[i]]
                at = self._starts[cell]
                self._tokens[at : at + len(part)] = part
                if padding is not None:
                    self._tokens[at + len(part)] = padding[i].half().cpu().numpy()
            done += len(batch)

    def read(self, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Return the stored tokens (T, D) of some cells, one cell after the other, and their padding."""
        ends = self._starts[rows] + self._lengths[rows] - self.prefix.padded
        parts = [self._tokens[start:end] for start, end in zip(self._starts[rows], ends, strict=True)]
        tokens = torch.from_numpy(np.concatenate(parts))
        return tokens, torch.from_numpy(self._tokens[ends]) if self.prefix.padded else None


@contextmanager
def stored(prefix: Prefix, rows: np.ndarray, observer: Observer | None = None) -> Iterator[Store]:
    """Keep what enters the trained block for the cells `rows`, and delete it at the end.

    Raises
    ------
    InputError
        If the disk has too little room.
    """
    tokens = int((prefix.lengths() + prefix.padded)[rows].sum())
    # processes that train together each keep all of it: every epoch has other cells for each
    needed = 2 * tokens * prefix.model.backbone.config.width * world().size
    parent = home.folder("tmp")
    free = shutil.disk_usage(parent).free
    if needed + _SPARE > free:
        raise InputError(
            f"keeping what enters the trained block of {len(rows):,} cells takes {needed / 1e9:.1f} GB and "
            f"{parent} has {free / 1e9:.1f} GB free (1 GB is left alone): free some, put SGM_HOME on a "
            "larger disk, or set cache=false, which computes it anew in every epoch"
        )
    with home.scratch(parent / "prefix") as folder:
        yield Store(prefix, rows, folder, observer or Observer())


def as_padded(entered: Entered) -> Padded:
    """Return tokens and their padding as a padded batch."""
    assert entered.padding is not None
    return pad(entered.encoded, entered.padding)

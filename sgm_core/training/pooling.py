"""One vector per cell from a pretrained backbone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sgm_core.device import autocast
from sgm_core.home import whole_file
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.data import Values, ahead, token_batches
from sgm_core.training.logistic import Linear, Scale
from sgm_core.world import world


@torch.no_grad()
def pooled_vectors(
    model: MaskedModel,
    values: Values,
    rows: np.ndarray,
    keep_summary: bool = True,
    precision: str = "fp32",
    observer: Observer | None = None,
    out: np.ndarray | None = None,
    parts: Sequence[str] | None = None,
) -> np.ndarray:
    """Encode each of the cells `rows` once; processes that work together share them, and all have the same.

    Parameters
    ----------
    model, values : the model and the normalised values of its genes
    rows : row numbers of the dataset
    keep_summary : whether the latents' summary stays in the forward pass
    precision : fp32 or bf16
    observer : is told the progress and asked whether to stop
    out : where they go (cells, P), such as a mapped file; by default into memory
    parts : see `BackboneConfig.pool`, which is the default

    Returns
    -------
    Pooled vectors (cells, P), float32, in the order of `rows`.
    """
    model.eval()
    config = model.backbone.config
    shape = (len(rows), config.width_of(config.pool if parts is None else parts))
    vectors = np.zeros(shape, np.float32) if out is None else out
    place = np.empty(len(values.lengths), np.int64)
    place[rows] = np.arange(len(rows))
    done = 0
    order = world().deal(list(token_batches(rows, values.lengths, 128)))
    for batch, x in zip(order, ahead(values.batch, order, values.device), strict=True):
        if observer is not None:
            observer.check()
            observer.progress(done * world().size, len(rows), "encoding cells")
        with autocast(values.device, precision):
            _, pooled = model.encode(x, keep_summary, parts)
        vectors[place[batch]] = pooled.float().cpu().numpy()
        done += len(batch)
    if world().size > 1:
        world().sum(torch.from_numpy(vectors))
    return vectors


@dataclass(frozen=True)
class Pooled:
    """The pooled vectors of some cells.

    Parameters
    ----------
    rows : row numbers of the cells (n,), ascending
    vectors : (n, P) float32, in memory or in a mapped file
    fits : what linear heads made of them, by the cells that they learned from
    """

    rows: np.ndarray
    vectors: np.ndarray
    fits: dict[str, tuple[Scale, Linear]] = field(default_factory=dict, compare=False)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return a copy of the vectors of some of the cells, by row number."""
        return np.array(self.vectors[np.searchsorted(self.rows, rows)])


def pooled_of(
    model: MaskedModel,
    values: Values,
    rows: np.ndarray,
    keep_summary: bool = True,
    precision: str = "fp32",
    observer: Observer | None = None,
) -> Pooled:
    """Encode each of the cells `rows`, which may come more than once; parameters as in `pooled_vectors`."""
    rows = np.unique(rows)
    return Pooled(rows, pooled_vectors(model, values, rows, keep_summary, precision, observer))


def write_pooled(
    path: Path,
    model: MaskedModel,
    values: Values,
    keep_summary: bool = True,
    precision: str = "fp32",
    observer: Observer | None = None,
) -> Pooled:
    """Encode every cell into the file `path`, whole or absent: the parts that the model makes.

    Parameters as in `pooled_vectors`.
    """
    rows = np.arange(len(values.lengths))
    parts = model.backbone.config.token_pool
    shape = (len(rows), model.backbone.config.width_of(parts))
    with whole_file(path) as temporary:
        out = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        pooled_vectors(model, values, rows, keep_summary, precision, observer, out, parts)
        out.flush()
        del out
    return read_pooled(path)


def read_pooled(path: Path) -> Pooled:
    """Return what `write_pooled` wrote."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    return Pooled(np.arange(len(vectors)), vectors)

"""A batch of which several processes have a part each: its means are over the whole of it.

A loss is a sum over cells or positions, divided by how many there are. Where processes share a batch each has
its own sum, and all divide by the number in the whole batch (`whole`), so that the losses, and the gradients
with them, add up to those of one process. Outside a shared batch everything here is what its name says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.world import World


@dataclass(frozen=True)
class Share:
    """What this process has of a batch.

    Parameters
    ----------
    world : the processes that share it
    n_cells : cells of the whole batch
    """

    world: World
    n_cells: int

    @property
    def idle(self) -> bool:
        """Whether none of the cells is this process's: what it computes counts for nothing."""
        rank, size = self.world.rank, self.world.size
        return self.n_cells * (rank + 1) // size == self.n_cells * rank // size


_share: Share | None = None


@contextmanager
def shared(world: World, n_cells: int) -> Iterator[None]:
    """Let what is computed be of this process's part of a batch of `n_cells`."""
    global _share
    _share = Share(world, n_cells) if world.size > 1 else None
    try:
        yield
    finally:
        _share = None


def idle() -> bool:
    """Say whether this process only goes along with a batch that has fewer cells than there are processes."""
    return _share is not None and _share.idle


def cells(n: int) -> int:
    """Return the number of cells of the whole batch, of which `n` are here."""
    return n if _share is None else _share.n_cells


def whole(x: Tensor) -> Tensor:
    """Return the sum of `x` over the processes that share the batch; a gradient goes through it."""
    if _share is None:
        return x
    return _Whole.apply(x * 0 if _share.idle else x, _share.world)  # type: ignore[no-any-return]


def whole_mean(x: Tensor) -> Tensor:
    """Return this process's part of the mean over the cells of the batch, of a number each (B,)."""
    return x.mean() if _share is None else x.sum() / _share.n_cells


class _Whole(torch.autograd.Function):
    """The sum over processes: each has it, so what each makes of it comes back to all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, world: World) -> Tensor:  # type: ignore[override]
        ctx.world = world
        return world.sum(x.clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.world.sum(grad.clone()), None


class Dropout(nn.Dropout):
    """Dropout that is the same however many processes share a batch.

    Each draws for all rows of the batch, in the order of its cells, and takes its own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of rows (n, ...), of whichever cells are here."""
        if _share is None or not self.training or not self.p:
            return super().forward(x)
        rows = _share.world.gather(0 if _share.idle else len(x))
        start = 0 if _share.idle else sum(rows[: _share.world.rank])
        kept = F.dropout(x.new_ones(sum(rows), *x.shape[1:]), self.p)
        return x * kept[start : start + len(x)]


@contextmanager
def own_random(device: torch.device, needed: bool) -> Iterator[None]:
    """Let random numbers, if any are `needed`, be this process's own: those not drawn for the whole batch.

    Afterwards torch's random state is again what it is in all processes.
    """
    if _share is None or not needed:
        yield
        return
    seed = int(torch.randint(2**62, ())) + _share.world.rank
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield

"""A task's modules where several processes train them: each has its part of every batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sgm_core.model.parts import idle, shared
from sgm_core.world import World

_Made = TypeVar("_Made")


class _Root(nn.Module):
    """Modules under one roof: what is called within `forward` has them ready."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


class Together:
    """What a loop calls to take a step, alone or with other processes.

    Parameters
    ----------
    modules : what is trained; the first process's weights are taken by all
    world : the processes
    """

    def __init__(self, modules: Sequence[nn.Module], world: World) -> None:
        self.world = world
        self._root: Any = None
        if world.size > 1:
            # a strategy may leave parameters without a gradient; nothing here changes a buffer differently
            self._root = DistributedDataParallel(
                _Root(modules), forward_sync_buffers=False, find_unused_parameters=True
            )

    def loss(self, function: Callable[[_Made], Tensor], batch: _Made) -> tuple[Tensor, Tensor]:
        """Return what `function` makes of a batch, to take the gradient of, and the whole batch's loss."""
        if self._root is None:
            loss = function(batch)
            return loss, loss.detach()
        loss = self._root(function, batch)
        loss = loss * 0 if idle() else loss
        # gradients come as their mean over the processes, and the loss is their sum
        return loss * self.world.size, self.world.sum(loss.detach().clone())

    @contextmanager
    def part(self, n_cells: int, last: bool) -> Iterator[None]:
        """Let a step be of a part of a batch of `n_cells`; gradients add up in the `last` of an update."""
        kept = self._root.no_sync() if self._root is not None and not last else nullcontext()
        with shared(self.world, n_cells), kept:
            yield

    def finite(self, parameters: Sequence[Tensor]) -> bool:
        """Say whether all weights are finite."""
        with torch.no_grad():
            # a sum is not finite where a term is not, and needs no second tensor
            return bool(torch.stack([p.sum().isfinite() for p in parameters]).all())

"""A task's modules where several processes train them: each has its part of every batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sgm_core.model.parts import idle, shared
from sgm_core.world import World

_Made = TypeVar("_Made")
_Result = TypeVar("_Result")


class Root(nn.Module):
    """Modules under one roof: what is called within `forward` has them ready."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function` makes of its arguments."""
        return function(*arguments)


class Alone:
    """What a loop asks of the modules that it trains; this is one process, which has nobody to ask.

    Parameters
    ----------
    modules : what is trained
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = modules

    def loss(self, function: Callable[[_Made], Tensor], batch: _Made) -> tuple[Tensor, Tensor]:
        """Return what `function` makes of a batch, to take the gradient of, and the whole batch's loss."""
        loss = function(batch)
        return loss, loss.detach()

    @contextmanager
    def part(self, n_cells: int, last: bool) -> Iterator[None]:
        """Let a step be of a part of a batch of `n_cells`; gradients add up in the `last` of an update."""
        yield

    def measure(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what `function` measures of the modules."""
        return function(*arguments)

    def finite(self, parameters: Sequence[Tensor]) -> bool:
        """Say whether all weights are finite."""
        with torch.no_grad():
            # a sum is not finite where a term is not, and needs no second tensor
            return bool(torch.stack([p.sum().isfinite() for p in parameters]).all())

    def whole(self, state: Any) -> Any:
        """Return a state with whole tensors, in the first process, which keeps it."""
        return state

    def parts_of(self, weights: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
        """Return a module's whole weights as what this process has of them."""
        return weights

    def loaded(self, optimiser: torch.optim.Optimizer) -> None:
        """Let an optimiser that got a whole state keep what this process has of it."""

    def plain(self) -> Sequence[nn.Module]:
        """Return the modules as one process has them, with what they have learned."""
        return self.modules


class Together(Alone):
    """Several processes, of which each has all of the modules, and the first one's weights at first.

    Parameters
    ----------
    modules : what is trained
    world : the processes
    """

    def __init__(self, modules: Sequence[nn.Module], world: World) -> None:
        super().__init__(modules)
        self.world = world
        self.root = self.wrapped(Root(modules))

    def wrapped(self, root: Root) -> Any:
        """Return what is called in place of `root`, so that gradients come as their mean over processes."""
        # a strategy may leave parameters without a gradient; no process changes a buffer on its own
        return DistributedDataParallel(root, forward_sync_buffers=False, find_unused_parameters=True)

    def loss(self, function: Callable[[_Made], Tensor], batch: _Made) -> tuple[Tensor, Tensor]:
        """Return what `function` makes of a batch, to take the gradient of, and the whole batch's loss."""
        loss = self.root(function, batch)
        loss = loss * 0 if idle() else loss
        # the whole loss is the sum of its parts, and what comes of the gradients is their mean
        return loss * self.world.size, self.world.sum(loss.detach().clone())

    @contextmanager
    def part(self, n_cells: int, last: bool) -> Iterator[None]:
        """Let a step be of a part of a batch of `n_cells`; gradients add up in the `last` of an update."""
        with shared(self.world, n_cells):
            if last:
                yield
            else:
                with self.root.no_sync():
                    yield

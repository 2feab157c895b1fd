"""Modules of which each process keeps a part: weights, gradients and the optimiser's state (FSDP2)."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sgm_core.model.parts import shared
from sgm_core.training.together import Root, Together
from sgm_core.world import World

_Result = TypeVar("_Result")


class Sharded(Together):
    """Several processes that have a part of every tensor each, and a block whole while they compute it.

    Parameters
    ----------
    modules : what is trained; a block is a member of any `torch.nn.ModuleList` in them
    world : the processes
    device : where the modules are
    """

    def __init__(self, modules: Sequence[nn.Module], world: World, device: torch.device) -> None:
        self.device = device
        # what one process has at the end: in the first alone, and beside the GPU meanwhile
        self._plain = [copy.deepcopy(module).cpu() for module in modules] if world.first else []
        super().__init__(modules, world)

    def wrapped(self, root: Root) -> Any:
        """Share every block and the rest out."""
        mesh = init_device_mesh(self.device.type, (self.world.size,))
        lists = [part for one in root.parts for part in one.modules() if isinstance(part, nn.ModuleList)]
        for block in (block for blocks in lists for block in blocks):
            fully_shard(block, mesh=mesh)
        return fully_shard(root, mesh=mesh)

    @contextmanager
    def part(self, n_cells: int, last: bool) -> Iterator[None]:
        """Let a step be of a part of a batch of `n_cells`; gradients add up in every step."""
        with shared(self.world, n_cells):
            yield

    def measure(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what `function` measures of the modules, in every process at once."""
        with torch.no_grad():
            measured = self.root(function, *arguments)
        self.root.reshard()
        return measured  # type: ignore[no-any-return]

    def finite(self, parameters: Sequence[Tensor]) -> bool:
        """Say whether all weights are finite."""
        here = super().finite([p.to_local() if isinstance(p, DTensor) else p for p in parameters])
        return not self.world.sum(torch.tensor(int(not here)))

    def whole(self, state: Any) -> Any:
        """Return a state with whole tensors; without any in all processes but the first."""
        if isinstance(state, DTensor):
            full = state.full_tensor()
            return full.cpu() if self.world.first else None
        if isinstance(state, dict):
            return {key: self.whole(value) for key, value in state.items()}
        if isinstance(state, list | tuple):
            return [self.whole(value) for value in state]
        return state

    def parts_of(self, weights: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
        """Return a module's whole weights as what this process has of them."""
        own = module.state_dict()
        return {name: self._part(value, own[name]) for name, value in weights.items()}

    def loaded(self, optimiser: torch.optim.Optimizer) -> None:
        """Let an optimiser that got a whole state keep what this process has of it."""
        for parameter, state in optimiser.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = self._part(value, parameter)

    def _part(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor) or isinstance(value, DTensor):
            return value
        moved = value.to(self.device)
        return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)

    def plain(self) -> Sequence[nn.Module]:
        """Return the modules as one process has them, with what they have learned; in the first alone."""
        weights = [self.whole(module.state_dict()) for module in self.modules]
        for module, learned in zip(self._plain, weights, strict=False):
            module.load_state_dict(learned)
        return [module.to(self.device) for module in self._plain]

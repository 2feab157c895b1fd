"""The processes that train one model together: how many there are, which is this, what they tell each other.

`World` is one process, which has the whole of everything, and costs nothing; a `Group` is several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_Item = TypeVar("_Item")


class World:
    """One process.

    Attributes
    ----------
    rank : number of this process; the first, 0, alone writes, and asks whether to stop
    size : how many there are
    local_rank : number of this process on its machine, which is that of its GPU
    """

    rank, size, local_rank = 0, 1, 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's cells of a batch (n,), which lie behind each other; never none.

        Where there are fewer cells than processes, one that would have none gets the batch's first cell, with
        which it goes through the same steps as the others; it counts for nothing (`sgm_core.model.parts`).
        """
        return rows

    def deal(self, items: Sequence[_Item]) -> list[_Item]:
        """Return those of some pieces of work that this process does."""
        return list(items)

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of every process's tensor, made in the memory of `x`."""
        return x

    def collect(self, tensors: Sequence[Tensor]) -> None:
        """Add what every process has to what the first has, and set it to zero in the others."""

    def tell(self, numbers: Sequence[float]) -> list[float]:
        """Return the first process's numbers."""
        return list(numbers)

    def gather(self, number: int) -> list[int]:
        """Return every process's number, in their order."""
        return [number]


ALONE = World()
_here: World = ALONE


class Group(World):
    """Several processes, between which ``torch.distributed`` is set up.

    Parameters
    ----------
    rank, size, local_rank : see `World`
    """

    def __init__(self, rank: int, size: int, local_rank: int) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank

    def part(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's cells of a batch."""
        start, stop = (len(rows) * number // self.size for number in (self.rank, self.rank + 1))
        return rows[start:stop] if stop > start else rows[:1]

    def deal(self, items: Sequence[_Item]) -> list[_Item]:
        """Return every `size`-th piece of work."""
        return list(items[self.rank :: self.size])

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of every process's tensor."""
        from torch import distributed

        distributed.all_reduce(x)
        return x

    def collect(self, tensors: Sequence[Tensor]) -> None:
        """Add up in the first process."""
        from torch import distributed

        for tensor in tensors:
            distributed.reduce(tensor, 0)
            if not self.first:
                tensor.zero_()

    def tell(self, numbers: Sequence[float]) -> list[float]:
        """Return the first process's numbers."""
        import torch
        from torch import distributed

        told = torch.tensor(numbers, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return told.tolist()  # type: ignore[no-any-return]

    def gather(self, number: int) -> list[int]:
        """Return every process's number."""
        import torch

        numbers = torch.zeros(self.size, dtype=torch.int64)
        numbers[self.rank] = number
        return self.sum(numbers).tolist()  # type: ignore[no-any-return]


def world() -> World:
    """Return the processes that work together with this one."""
    return _here


@contextmanager
def within(group: World) -> Iterator[None]:
    """Let this process be one of a group until the block, or the group (see `leave`), ends."""
    global _here
    _here = group
    try:
        yield
    finally:
        leave()


def leave() -> None:
    """End the group, in all its processes at once: from here on each is alone."""
    global _here
    if _here.size > 1:
        from torch import distributed

        _here = ALONE
        if distributed.is_initialized():
            distributed.destroy_process_group()

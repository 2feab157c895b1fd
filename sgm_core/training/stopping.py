"""The best epoch of a training, and when to wait no longer for a better one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

Score = tuple[float, ...]
"""How good an epoch is on the validation cells; the larger is better, later entries decide ties."""


class BestEpoch:
    """Keeps the weights of the best epoch.

    Parameters
    ----------
    modules : what is trained
    patience : end after so many epochs without improvement; None = never before the last epoch

    Attributes
    ----------
    epoch : number of the best epoch, counted from 1; 0 before the first
    score : that epoch's
    ended : whether the patience is at its end
    """

    def __init__(self, modules: Sequence[nn.Module], patience: int | None) -> None:
        self.modules, self.patience = modules, patience
        self.epoch, self.ended = 0, False
        self.score: Score | None = None
        self._waited = 0
        self._states: list[dict[str, torch.Tensor]] = []

    def ends(self, score: Score, epoch: int) -> bool:
        """Take note of an epoch's score; returns whether it was the last epoch."""
        if self.score is None or score > self.score:
            self.score, self.epoch, self._waited = score, epoch, 0
            self._states = [
                {name: tensor.clone() for name, tensor in module.state_dict().items()}
                for module in self.modules
            ]
        else:
            self._waited += 1
            self.ended = self.patience is not None and self._waited >= self.patience
        return self.ended

    def restore(self) -> None:
        """Give the modules the weights of their best epoch; without a score, they keep the last ones."""
        for module, state in zip(self.modules, self._states):
            module.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "score": None if self.score is None else list(self.score),
            "ended": self.ended,
            "waited": self._waited,
            "states": self._states,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        self.epoch, self.ended, self._waited = state["epoch"], state["ended"], state["waited"]
        self.score = None if state["score"] is None else tuple(state["score"])
        self._states = state["states"]

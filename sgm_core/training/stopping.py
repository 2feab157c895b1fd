"""Early stopping on held-out donors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class EarlyStopping:
    """Ends a training after some epochs without improvement, and goes back to its best epoch.

    Parameters
    ----------
    patience : epochs without improvement that are waited for
    modules : what is trained
    """

    def __init__(self, patience: int, modules: Sequence[nn.Module]) -> None:
        self.patience, self.modules = patience, modules
        self.best, self._waited = np.inf, 0
        self._states: list[dict[str, torch.Tensor]] = []

    def ends(self, loss: float) -> bool:
        """Take note of an epoch's held-out loss; returns whether it was the last epoch."""
        if loss < self.best:
            self.best, self._waited = loss, 0
            self._states = [
                {name: tensor.clone() for name, tensor in module.state_dict().items()}
                for module in self.modules
            ]
            return False
        self._waited += 1
        return self._waited >= self.patience

    def restore(self) -> None:
        """Give the modules the weights of their best epoch."""
        for module, state in zip(self.modules, self._states):
            module.load_state_dict(state)

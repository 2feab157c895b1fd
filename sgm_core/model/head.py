"""The classifier's head."""

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """Two-layer MLP on a cell's pooled vector (the paper's head: hidden 256), on standardised inputs.

    Parameters
    ----------
    width : length of the pooled vector
    n_classes : number of cell types
    hidden : width of the hidden layer
    dropout : on the pooled vector and the hidden layer, while training
    """

    def __init__(self, width: int, n_classes: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, n_classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return class logits (B, C) of pooled vectors (B, P)."""
        return self.output(self.dropout(F.relu(self.hidden(self.dropout(self.norm(pooled))))))

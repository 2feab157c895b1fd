"""The classifier's head."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.parts import Dropout, cells, whole

CLIP = 10.0
"""The largest standardised value, of either sign."""
_MOMENTUM = 0.01  # of the running statistics, where a batch is one cell


class LinearHead(nn.Module):
    """Linear classifier of a cell's vector, standardised by the training cells and clipped.

    Parameters
    ----------
    mean, spread : of the vectors (P,)
    n_classes : number of cell types C
    dropout : on the standardised vector, while training
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, mean: Tensor, spread: Tensor, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(len(mean), n_classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return class logits (B, C) of pooled vectors (B, P)."""
        z = ((pooled - self.mean) / self.spread).clamp(-CLIP, CLIP)
        return self.output(self.dropout(z))  # type: ignore[no-any-return]


class DeepHead(nn.Module):
    """scGPT's classifier: (linear, ReLU, layer norm) `layers` - 1 times in the vector's width, then linear.

    Parameters
    ----------
    width : length of the cell's vector
    n_classes : number of cell types C
    layers : number of linear layers
    activation : in place of ReLU
    """

    def __init__(
        self,
        width: int,
        n_classes: int,
        layers: int = 3,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers - 1))
        self.output = nn.Linear(width, n_classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return class logits (B, C) of pooled vectors (B, P)."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            pooled = norm(self.activation(layer(pooled)))
        return self.output(pooled)  # type: ignore[no-any-return]


class PositionsHead(nn.Module):
    """scBERT's classifier of all positions: one number of each, then three linear layers over the positions.

    Parameters
    ----------
    length, width : number of positions L and width D of their tokens
    n_classes : number of cell types C
    hidden : width of the last hidden layer
    """

    def __init__(self, length: int, width: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.each = nn.Linear(width, 1)
        self.fc1, self.fc2 = nn.Linear(length, 512), nn.Linear(512, hidden)
        self.output = nn.Linear(hidden, n_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return class logits (B, C) of the tokens (B, L, D)."""
        return self.output(self.hidden(tokens))  # type: ignore[no-any-return]

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the last hidden layer (B, H)."""
        return F.relu(self.fc2(F.relu(self.fc1(F.relu(self.each(tokens).squeeze(-1))))))


class Head(nn.Module):
    """Two-layer MLP on a cell's pooled vector (the paper's head: hidden 256), on standardised inputs.

    While training, a batch standardises itself. A batch of one cell can't: it is standardised by the running
    statistics, which it then joins, so that training one cell at a time, as the paper does, works and no cell
    is left out.

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
        self.dropout = Dropout(dropout)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, n_classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return class logits (B, C) of pooled vectors (B, P)."""
        return self.output(self.dropout(F.relu(self.hidden(self.dropout(self._standardise(pooled))))))

    def _standardise(self, pooled: Tensor) -> Tensor:
        n_cells = cells(len(pooled))
        if self.training and n_cells != len(pooled) and n_cells > 1:
            return self._standardise_part(pooled, n_cells)
        if not self.training or len(pooled) > 1:
            return self.norm(pooled)  # type: ignore[no-any-return]
        mean, variance, seen = self.norm.running_mean, self.norm.running_var, self.norm.num_batches_tracked
        assert mean is not None and variance is not None and seen is not None
        with torch.no_grad():
            # the mean over all cells at first, moving later: the statistics start from the first cells
            share = max(_MOMENTUM, 1 / (1 + int(seen)))
            off = pooled[0].detach().to(mean.dtype) - mean
            mean += share * off
            variance.copy_((1 - share) * (variance + share * off.square()))
            seen += 1
        return F.batch_norm(pooled, mean.clone(), variance.clone(), eps=self.norm.eps)

    def _standardise_part(self, pooled: Tensor, n_cells: int) -> Tensor:
        """Standardise a part of a batch by the whole of it (torch's own does so on GPUs alone)."""
        mean = whole(pooled.sum(0)) / n_cells
        off = pooled - mean
        variance = whole(off.square().sum(0)) / n_cells
        running = self.norm.running_mean, self.norm.running_var, self.norm.num_batches_tracked
        assert running[0] is not None and running[1] is not None and running[2] is not None
        with torch.no_grad():
            share = self.norm.momentum or 0.0
            running[0].lerp_(mean.to(running[0].dtype), share)
            running[1].lerp_((variance * n_cells / (n_cells - 1)).to(running[1].dtype), share)
            running[2].add_(1)
        return off * (variance + self.norm.eps).rsqrt()

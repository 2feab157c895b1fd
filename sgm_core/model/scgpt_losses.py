"""The losses of scGPT's finetuning for the integration of batches, by the names of its code.

Written from `scgpt.md` alone. On hidden values: GEP by token and MVC by cell, each with the chance of a value
to be above zero. On cells' vectors: ECS, which draws alike cells together, and DAB, which names the batch
through a reversed gradient, so that the vector learns to hide it.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sgm_core.model.scgpt_variants import Outputs

ECS_WEIGHT = 10.0


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return -grad


def reverse_gradient(x: Tensor) -> Tensor:
    """Return `x`, through which the gradient goes back with the other sign."""
    return _Reverse.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def similarity_loss(cells: Tensor, threshold: float = 0.3) -> Tensor:
    """Return the loss () that draws alike cells together and others apart (ECS) of vectors (B, D).

    The mean over all pairs of ``1 - (max(cos, 0) - threshold)^2``, where a cell's own is 0.
    """
    unit = F.normalize(cells)
    cosine = (unit @ unit.T).masked_fill(torch.eye(len(cells), dtype=torch.bool, device=cells.device), 0)
    return (1 - (F.relu(cosine) - threshold).square()).mean()


def integration_terms(
    outputs: "Outputs", target: Tensor, hidden: Tensor, batch: Tensor | None = None, threshold: float = 0.3
) -> dict[str, Tensor]:
    """Return the weighted terms () of an integration's loss that a model has the heads for.

    Parameters
    ----------
    outputs : what the model said of the cells
    target : (B, L) their bins
    hidden : (B, L) bool, what was hidden and counts
    batch : (B,) numbers of the cells' batches
    threshold : see `similarity_loss`; the released script has 0.8
    """
    counts = hidden[outputs.encoded.cell, outputs.encoded.at]
    wanted = target[outputs.encoded.cell, outputs.encoded.at][counts]
    terms = {"ecs": ECS_WEIGHT * similarity_loss(outputs.cells, threshold)}
    for name, predicted in (("gep", outputs.own), ("mvc", outputs.by_cell)):
        if predicted is not None:
            terms[name] = (predicted[counts] - wanted).square().mean()
    for name, chance in (("gep_zero", outputs.chance), ("mvc_zero", outputs.chance_by_cell)):
        if chance is not None:
            # the single precision of what is named here is that of the released code
            above = torch.distributions.Bernoulli(probs=chance[counts], validate_args=False)
            terms[name] = -above.log_prob((wanted > 0).float()).mean()
    if outputs.batches is not None and batch is not None:
        terms["dab"] = F.cross_entropy(outputs.batches, batch)
    return terms

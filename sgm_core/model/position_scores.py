"""A small network that scores every position of a cell: what learned masking strategies choose by."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.interface import CellBackbone

HIDDEN = 32


class PositionScores(nn.Module):
    """Scores from a position's gene, from whether it is zero, and from the cell; all zero at the start.

    With z = 1 where x_j > 0 and else 0, p_j the gene's row of the backbone (detached) and c the cell's
    content, the mean of its genes' rows weighted by value and normalised,
    s_j = b[z, j] + <U_z c, V p_j + v> / sqrt(32). U and b start at zero, so that masks start uniform.

    Parameters
    ----------
    n_positions, backbone_width : number and width of the gene rows
    """

    def __init__(self, n_positions: int, backbone_width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2, n_positions))
        self.cell = nn.Linear(backbone_width, 2 * HIDDEN)
        self.gene = nn.Linear(backbone_width, HIDDEN)
        nn.init.zeros_(self.cell.weight)
        nn.init.zeros_(self.cell.bias)

    def forward(self, backbone: CellBackbone, values: Tensor, eligible: Tensor) -> Tensor:
        """Return the scores (B, L) of cells with values (B, L); what is not eligible is no content."""
        rows = backbone.gene_rows()
        content = F.layer_norm((values * eligible) @ rows, rows.shape[1:])
        cell = self.cell(content).unflatten(1, (2, HIDDEN)) / HIDDEN**0.5
        zero, nonzero = (cell @ self.gene(rows).T + self.bias).float().unbind(1)
        return torch.where(values > 0, nonzero, zero)

"""Counting what was masked, gene by gene, while it is masked."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sgm_core.cells.dataset import Dataset

STATISTICS = (
    "masked",
    "opportunities",
    "masked_nonzero",
    "opportunities_nonzero",
    "expected",
    "variance",
    "expected_free",
    "value_sum",
    "value_sq_sum",
    "value_sum_masked",
)
MAX_LEVELS = 60  # of donors; more would make the table large
FEW_LEVELS = 10  # of a further column


class MaskCounter:
    """Counts of every gene's masks: over all cells, by cell type, donor, timepoint, condition ..., and epoch.

    Parameters
    ----------
    dataset : where the groups come from
    genes : names of the G genes that are counted, in the model's order
    epochs : number of epochs
    positions : (G,) the model's positions of these genes; None = its first G
    groups : False counts over all cells alone

    Attributes
    ----------
    sums : (statistics, levels, G) the counts so far
    """

    def __init__(
        self,
        dataset: Dataset,
        genes: np.ndarray,
        epochs: int,
        positions: np.ndarray | None = None,
        groups: bool = True,
    ) -> None:
        self.genes = genes
        self._positions = None if positions is None else torch.from_numpy(positions)
        self.levels: list[tuple[str, str]] = [("all", "")]
        memberships = [np.ones((dataset.n_cells, 1), np.float32)]
        for by, column in (_groups(dataset) if groups else {}).items():
            names = sorted(column.dropna().astype(str).unique())
            if len(names) <= MAX_LEVELS or by != "donor":
                self.levels += [(by, name) for name in names]
                text = column.astype(object).where(column.notna(), "").astype(str).to_numpy()
                memberships.append((text[:, None] == np.array(names)[None]).astype(np.float32))
        self._membership = torch.from_numpy(np.concatenate(memberships, axis=1))
        self._groups = len(self.levels)
        self.levels += [("epoch", str(epoch + 1)) for epoch in range(epochs)]
        self.sums = torch.zeros(len(STATISTICS), len(self.levels), len(genes), dtype=torch.float64)

    def add(
        self,
        rows: np.ndarray,
        epoch: int,
        values: Tensor,
        masked: Tensor,
        eligible: Tensor,
        target: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        rows : its cells (B,)
        epoch : number of the epoch
        values, masked : (B, L) what the masks were drawn on, and the masks
        eligible : (L,)
        target : (B, L) the cells' own expression where `values` are those of thinned cells
        """
        device, target = values.device, values if target is None else target
        if self._positions is not None:
            self._positions = self._positions.to(device)
            values, masked, target = (x[:, self._positions] for x in (values, masked, target))
            eligible = eligible[self._positions]
        nonzero = ((values > 0) & eligible).float()
        zero = ((values <= 0) & eligible).float()
        hit = masked.float()
        rate_nonzero = (hit * nonzero).sum(1, keepdim=True) / nonzero.sum(1, keepdim=True).clamp(min=1)
        rate_zero = (hit * zero).sum(1, keepdim=True) / zero.sum(1, keepdim=True).clamp(min=1)
        expected = rate_nonzero * nonzero + rate_zero * zero
        variance = rate_nonzero * (1 - rate_nonzero) * nonzero + rate_zero * (1 - rate_zero) * zero
        allowed = nonzero + zero
        free = hit.sum(1, keepdim=True) / allowed.sum(1, keepdim=True).clamp(min=1) * allowed
        value = target * allowed
        parts = (
            hit,
            allowed,
            hit * nonzero,
            nonzero,
            expected,
            variance,
            free,
            value,
            value * value,
            value * hit,
        )
        # a few cells touch a few levels: only those rows of the large table are worth a visit
        member = self._membership[torch.from_numpy(rows)].T
        touched = member.any(1).nonzero().squeeze(1)
        member = member[touched].to(device)
        touched, self.sums = touched.to(device), self.sums.to(device)
        for i, part in enumerate(parts):
            sums = (member @ part).double()
            self.sums[i].index_add_(0, touched, sums)
            self.sums[i, self._groups + epoch] += sums[0]

    def table(self, arm: str, fold: int, seed: int) -> pd.DataFrame:
        """Return the counts as the run table `masks` (one row per by, level and gene)."""
        n_levels, n_genes = len(self.levels), len(self.genes)
        by = pd.Categorical([by for by, _ in self.levels for _ in range(n_genes)])
        level = pd.Categorical([level for _, level in self.levels for _ in range(n_genes)])
        frame = pd.DataFrame(
            {
                "arm": arm,
                "fold": fold,
                "seed": seed,
                "by": by,
                "level": level,
                "gene": np.tile(self.genes, n_levels),
            }
        )
        for name, sums in zip(STATISTICS, self.sums.cpu().numpy()):
            frame[name] = sums.reshape(-1)
        return frame.astype({"by": str, "level": str, "gene": str})

    def rank_correlation(self, epoch: int) -> float:
        """Return Spearman's correlation of an epoch's mask frequency with mean expression over genes."""
        from scipy.stats import spearmanr

        sums = self.sums[:, self._groups + epoch].cpu().numpy()
        seen = sums[1] > 0
        frequency = sums[0, seen] / sums[1, seen]
        if frequency.size < 3 or np.ptp(frequency) == 0:
            return 0.0
        return float(spearmanr(frequency, sums[7, seen] / sums[1, seen]).statistic)


def _groups(dataset: Dataset) -> dict[str, pd.Series]:
    """Return the columns that cells are grouped by."""
    columns = {"cell_type": dataset.labels(), "donor": dataset.donors()}
    if dataset.timepoint_column:
        columns["timepoint"] = dataset.obs[dataset.timepoint_column]
    roles = (dataset.cell_type_column, dataset.donor_column, dataset.timepoint_column)
    for name in dataset.grouping_columns():
        # condition, malignancy and the like
        if name not in roles and name not in columns and dataset.obs[name].nunique() <= FEW_LEVELS:
            columns[name] = dataset.obs[name]
    return columns


def sum_models(masks: pd.DataFrame) -> pd.DataFrame:
    """Return mask counts with the models of each arm added up (``fold`` = ``seed`` = -1)."""
    keys = ["arm", "by", "level", "gene"]
    total = masks.groupby(keys, sort=False, observed=True)[list(STATISTICS)].sum().reset_index()
    total.insert(1, "fold", -1)
    total.insert(2, "seed", -1)
    return total

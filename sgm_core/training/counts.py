"""Counting what was masked, gene by gene, while it is masked."""

from collections.abc import Iterable

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
        # of each cell its level in every column, not a table of cells x levels; -1 = none
        member = [np.zeros(dataset.n_cells, np.int32)]
        for by, column in (_groups(dataset) if groups else {}).items():
            codes, found = pd.factorize(column)
            text = [str(name) for name in found]
            names = sorted(set(text))
            if len(names) <= MAX_LEVELS or by != "donor":
                places = np.array([len(self.levels) + names.index(name) for name in text] + [-1], np.int32)
                self.levels += [(by, name) for name in names]
                member.append(places[codes])
        self._member = np.column_stack(member)
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
        eligible : (L,) or (B, L)
        target : (B, L) the cells' own expression where `values` are those of thinned cells
        """
        device, target = values.device, values if target is None else target
        if self._positions is not None:
            self._positions = self._positions.to(device)
            values, masked, target = (x[:, self._positions] for x in (values, masked, target))
            eligible = eligible[..., self._positions]
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
        own = self._member[rows]
        levels = np.unique(own[own >= 0])
        member = torch.from_numpy((own[None] == levels[:, None, None]).any(2).astype(np.float32)).to(device)
        touched, self.sums = torch.from_numpy(levels).long().to(device), self.sums.to(device)
        for i, part in enumerate(parts):
            sums = (member @ part).double()
            self.sums[i].index_add_(0, touched, sums)
            self.sums[i, self._groups + epoch] += sums[0]

    def table(self, arm: str, fold: int, seed: int) -> pd.DataFrame:
        """Return the counts as the run table `masks` (one row per by, level and gene)."""
        n_levels, n_genes = len(self.levels), len(self.genes)
        names = {"by": [by for by, _ in self.levels], "level": [level for _, level in self.levels]}
        columns: dict[str, object] = {"arm": arm, "fold": fold, "seed": seed}
        # one text object for each name, which its rows share
        columns |= {name: np.repeat(np.array(of, dtype=object), n_genes) for name, of in names.items()}
        columns["gene"] = np.tile(self.genes.astype(object), n_levels)
        sums = self.sums.cpu().numpy().reshape(len(STATISTICS), -1)
        return pd.DataFrame(columns | dict(zip(STATISTICS, sums)))

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


def sum_models(masks: pd.DataFrame | Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return mask counts with the models of each arm added up (``fold`` = ``seed`` = -1).

    Parameters
    ----------
    masks
        The counts of all models, or one table after the other: no more than one of them and the sums are held
        then, which matters where a vocabulary makes millions of rows.
    """
    sums: dict[str, _Sums] = {}
    for table in [masks] if isinstance(masks, pd.DataFrame) else masks:
        for arm in table["arm"].unique():
            sums.setdefault(str(arm), _Sums()).add(
                table[table["arm"] == arm] if table["arm"].nunique() > 1 else table
            )
    return pd.concat([total.table(arm) for arm, total in sums.items()], ignore_index=True)


class _Sums:
    """Counts by group (by, level) and gene: (statistics, groups, genes), as large as what was added needs."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], int] = {}
        self.genes: dict[str, int] = {}
        self.values = np.zeros((len(STATISTICS), 0, 0))
        self.seen = np.zeros((0, 0), bool)

    def add(self, table: pd.DataFrame) -> None:
        (by, by_names), (level, levels), (gene, genes) = (
            pd.factorize(table[name]) for name in ("by", "level", "gene")
        )
        group, pairs = pd.factorize(by.astype(np.int64) * len(levels) + level)
        places = (divmod(int(pair), len(levels)) for pair in pairs)
        names = [(str(by_names[a]), str(levels[b])) for a, b in places]
        rows = np.array([self.groups.setdefault(name, len(self.groups)) for name in names])
        columns = np.array([self.genes.setdefault(str(name), len(self.genes)) for name in genes])
        grown = ((0, len(self.groups) - self.seen.shape[0]), (0, len(self.genes) - self.seen.shape[1]))
        if any(part[1] for part in grown):
            self.values, self.seen = np.pad(self.values, ((0, 0), *grown)), np.pad(self.seen, grown)
        where = rows[group] * len(self.genes) + columns[gene]
        self.seen.ravel()[where] = True
        for sums, statistic in zip(self.values, STATISTICS):
            np.add.at(sums.ravel(), where, table[statistic].to_numpy())

    def table(self, arm: str) -> pd.DataFrame:
        group, gene = np.nonzero(self.seen)
        names = np.array(list(self.groups), dtype=object).reshape(-1, 2)
        columns: dict[str, object] = {"arm": arm, "fold": -1, "seed": -1}
        columns |= {"by": names[group, 0], "level": names[group, 1]}
        columns["gene"] = np.array(list(self.genes), dtype=object)[gene]
        every = self.seen.all()
        values = self.values.reshape(len(STATISTICS), -1) if every else self.values[:, group, gene]
        return pd.DataFrame(columns | dict(zip(STATISTICS, values)))

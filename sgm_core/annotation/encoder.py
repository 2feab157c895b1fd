"""A pretrained backbone as what a classifier reads of a cell: its pooled vector."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from sgm_core.cells.dataset import TARGET_SUM, Dataset
from sgm_core.device import autocast, pick_device
from sgm_core.errors import InputError
from sgm_core.model.inputs import depth_values
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.sizes import GENES
from sgm_core.progress import Observer
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import refuse_long_cells, to_device, token_batches

_BLOCK, _BATCH = 4096, 128


class Encoder:
    """Reads cells by a backbone.

    Parameters
    ----------
    model : with its weights
    names : symbols of its genes
    symbols : symbols of all genes of the values (G,)
    recipe : how finetuning reads it: summary, precision, longest cell, device
    store : where vectors of a dataset's cells are kept, each encoded once; None = nowhere

    Attributes
    ----------
    genes : columns of the values that it reads (p,)
    """

    def __init__(
        self,
        model: MaskedModel,
        names: np.ndarray,
        symbols: np.ndarray,
        recipe: FinetuneConfig,
        store: Path | None = None,
    ) -> None:
        self.device = pick_device(recipe.device)
        self.model, self.names = model.to(self.device).eval(), names
        self._recipe, self._store = recipe, store
        place = pd.Index(names).get_indexer(pd.Index(symbols))
        self.genes = np.flatnonzero(place >= 0)
        # columns by position, those of genes that the values lack are zero
        at = place[self.genes]
        one = np.ones(len(at), np.float32)
        self._to_positions = sparse.csr_matrix((one, (np.arange(len(at)), at)), (len(at), len(names)))
        self._kept: tuple[np.ndarray, np.ndarray] | None = None

    def read(self, values: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
        """Return the pooled vectors (n, P), see `Reader`.

        Raises
        ------
        InputError
            If a cell has more tokens than the recipe takes.
        """
        placed, depths = self._placed(values, totals)
        return self._with_genes(self._encoded(placed, depths), placed)

    def of_cells(self, dataset: Dataset, rows: np.ndarray, observer: Observer) -> np.ndarray:
        """Return the pooled vectors (n, P) of cells of a dataset."""
        made = np.empty((len(rows), self.model.backbone.config.pooled_width), np.float32)
        for start in range(0, len(rows), _BLOCK):
            observer.check()
            own = rows[start : start + _BLOCK]
            placed, depths = self._placed(dataset.lognorm(own), dataset.totals()[own])
            made[start : start + _BLOCK] = self._with_genes(self._once(dataset, own, placed, depths), placed)
        return made

    def _once(
        self, dataset: Dataset, rows: np.ndarray, placed: sparse.csr_matrix, depths: np.ndarray | None
    ) -> np.ndarray:
        """Return what the model makes of cells (n, Q); what it made before comes from the disk."""
        if self._store is None:
            return self._encoded(placed, depths)
        if self._kept is None:
            config = self.model.backbone.config
            shape = (dataset.n_cells, max(1, config.width_of(config.token_pool)))
            kept = np.lib.format.open_memmap(self._store, "w+", np.float32, shape)
            self._kept = kept, np.zeros(dataset.n_cells, bool)
        vectors, there = self._kept
        new = np.flatnonzero(~there[rows])
        if len(new):
            made = self._encoded(placed[new], None if depths is None else depths[new])
            vectors[rows[new], : made.shape[1]] = made
            there[rows[new]] = True
        config = self.model.backbone.config
        return np.array(vectors[rows, : config.width_of(config.token_pool)])

    def _placed(
        self, values: sparse.csr_matrix, totals: np.ndarray
    ) -> tuple[sparse.csr_matrix, np.ndarray | None]:
        """Return the values at the model's positions (n, g), and T and S (n, 2) where it has them."""
        placed = sparse.csr_matrix(values[:, self.genes] @ self._to_positions, dtype=np.float32)
        backbone, target = self.model.backbone, str(self.model.masking.get("target_depth", "a0"))
        totals = np.maximum(np.asarray(totals, np.float64), 1)
        if backbone.genes is not None:
            # imported weights have a cell's total over the genes of their vocabulary alone
            shares = np.expm1(placed.data.astype(np.float64)) / TARGET_SUM
            cell = np.repeat(np.arange(placed.shape[0]), np.diff(placed.indptr))
            own = np.bincount(cell, shares, placed.shape[0])
            placed.data = np.log1p(TARGET_SUM * shares / np.maximum(own, 1e-12)[cell]).astype(np.float32)
            totals = np.maximum(totals * own, 1)
        if not backbone.config.depth_tokens:
            return placed, None
        return placed, np.stack(depth_values(np.log10(totals), target), 1).astype(np.float32)

    @torch.no_grad()
    def _encoded(self, placed: sparse.csr_matrix, depths: np.ndarray | None) -> np.ndarray:
        """Return what the model makes of cells (n, Q), without the genes that a head reads beside it."""
        config = self.model.backbone.config
        made = np.empty((placed.shape[0], config.width_of(config.token_pool)), np.float32)
        if not made.size:
            return made
        tokens = np.diff(placed.indptr) + (0 if depths is None else 2)
        refuse_long_cells(tokens, self._recipe.max_tokens, "the data")
        lengths = self.model.backbone.token_counts(tokens)
        for rows in token_batches(np.arange(placed.shape[0]), lengths, _BATCH):
            with autocast(self.device, self._recipe.precision):
                x = self._batch(placed, depths, rows)
                _, pooled = self.model.encode(x, self._recipe.keep_summary, config.token_pool)
            made[rows] = pooled.float().cpu().numpy()
        return made

    def _batch(self, placed: sparse.csr_matrix, depths: np.ndarray | None, rows: np.ndarray) -> Tensor:
        x = placed[rows].toarray()
        if depths is not None:
            x = np.concatenate([x, depths[rows]], axis=1)
        return to_device(torch.from_numpy(x), self.device)

    def _with_genes(self, made: np.ndarray, placed: sparse.csr_matrix) -> np.ndarray:
        """Return whole vectors (n, P): what the model makes, and the genes where the pool has them."""
        pool = self.model.backbone.config.pool
        if GENES not in pool:
            return made
        if pool[-1] != GENES:
            raise InputError(f"the pool {pool} can't be kept in a model: genes come last")
        return np.concatenate([made, placed.toarray()], axis=1)

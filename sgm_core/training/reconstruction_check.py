"""A trained model's reconstruction of hidden genes against simple predictors: table `reconstruction`."""

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from sgm_core.analysis.noise_floor import sampling_noise
from sgm_core.analysis.predictors import HiddenShares, Training, fit
from sgm_core.analysis.reconstruction import FLOOR, MODEL, SIMPLE, Errors, reconstruction_table
from sgm_core.device import autocast
from sgm_core.model.masking import cell_noise, draw_masks
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.config import PretrainConfig
from sgm_core.training.data import Values, to_device

TRAINING_CELLS = 4000
HELD_CELLS = 128
"""Cells of held-out training donors on which the numbers of components and of neighbours are chosen."""
_PURPOSE = 24  # of random numbers, apart from those of `sgm_core.training.pretrain` and `first_masks`
_POSITIONS = 131_072  # of a batch


def hidden_shares(config: PretrainConfig) -> HiddenShares:
    """Return what the check hides: the run's ratios, zeros and non-zeros apart whatever its strategy."""
    return HiddenShares(
        config.mask_ratio, config.zero_ratio if config.mask_basis == "strata" else config.mask_ratio
    )


def hidden_genes(x: Tensor, eligible: Tensor, rows: np.ndarray, config: PretrainConfig) -> Tensor:
    """Draw what the check hides (B, L): uniform among a cell's non-zero genes and among its zeros.

    It depends on the seed, the ratios and the cell alone, so that all arms face the same.
    """
    shares = hidden_shares(config)
    noise = to_device(cell_noise(config.seed, _PURPOSE, 0, rows, x.shape[1]), x.device)
    return draw_masks(torch.zeros_like(x), noise, x, eligible, "strata", shares.nonzero, shares.zero)


@torch.no_grad()
def check_reconstruction(
    model: MaskedModel,
    values: Values,
    train: np.ndarray,
    validation: np.ndarray,
    config: PretrainConfig,
    observer: Observer,
) -> pd.DataFrame:
    """Hide genes of validation cells and compare what the model and simple predictors make of them.

    Parameters
    ----------
    model : trained; it is left as it is
    values : what it reads of the dataset; only genes that the dataset measured count
    train : rows of the training cells, of which up to 4,000 fit the simple predictors
    validation : rows of the cells that are reconstructed
    config : every choice
    observer : is asked between blocks of cells whether to go on

    Returns
    -------
    pandas.DataFrame
        See `sgm_core.analysis.reconstruction.reconstruction_table`; empty where there are too few cells.
    """
    was_training = model.training
    model.eval()
    measured = np.flatnonzero(values.measured)
    drawn = np.sort(np.random.default_rng([config.seed, _PURPOSE]).permutation(train)[:TRAINING_CELLS])
    apart = _held_out(values.dataset.donors().iloc[drawn].to_numpy(), config.seed)
    if not apart.any() or not len(validation):
        return pd.DataFrame()
    size = max(1, min(64, _POSITIONS // values.n_positions))
    shares = hidden_shares(config)
    x = _sparse(values, drawn, measured, size)
    held = np.random.default_rng(config.seed).permutation(drawn[apart])[:HELD_CELLS]
    parts = [_hide(model, values, block, config) for block in _blocks(held, size)]
    chosen_on = (np.concatenate([_numpy(part[i], measured) for part in parts]) for i in (0, 1))
    predictors = fit(Training(x, shares), Training(x[~apart], shares), *chosen_on)

    names = (MODEL, *SIMPLE, FLOOR)
    errors = {name: Errors(len(measured)) for name in names}
    noise_of = {name: Errors(len(measured)) for name in SIMPLE}  # the floor by each one's rates
    n_hidden = np.zeros(len(measured), np.int64)
    for block in _blocks(np.sort(validation), size):
        observer.check()
        x, hidden = _hide(model, values, block, config)
        with autocast(values.device, config.precision):
            predicted = _numpy(model.predict(x, hidden).float(), measured)
        true, masked = _numpy(x, measured), _numpy(hidden, measured)
        nonzero = masked & (true > 0)
        n_hidden += masked.sum(axis=0)
        made = {MODEL: predicted, **{name: each.predict(true, masked) for name, each in predictors.items()}}
        for name, each in made.items():
            squared = np.square(each - true)
            errors[name].add(squared, masked, nonzero)
        totals = np.maximum(values.totals(block), 1)
        for name in SIMPLE:
            noise = [sampling_noise(row, total, shares) for row, total in zip(made[name], totals)]
            noise_of[name].add(
                np.stack([each.hidden for each in noise]),
                masked,
                nonzero,
                np.stack([n.nonzero for n in noise]),
            )
    best = min(SIMPLE, key=lambda name: float(np.sum(errors[name].cell)))
    errors[FLOOR] = noise_of[best]
    model.train(was_training)
    return reconstruction_table(errors, n_hidden, config.seed)


def _held_out(donors: np.ndarray, seed: int) -> np.ndarray:
    """Return which training cells (n,) are held out: those of whole donors, a fifth of the cells or more.

    Where one donor has nearly all cells, a fifth of the cells, whatever their donor.
    """
    rng = np.random.default_rng([seed, _PURPOSE, 1])
    names, codes, counts = np.unique(donors.astype(str), return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), len(donors) / 5)) + 1
    apart = np.isin(codes, order[:enough])
    if apart.mean() <= 0.5:
        return apart
    apart[:] = False
    apart[rng.permutation(len(donors))[: len(donors) // 5]] = True
    return apart


def _blocks(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _hide(
    model: MaskedModel, values: Values, rows: np.ndarray, config: PretrainConfig
) -> tuple[Tensor, Tensor]:
    """Return the values (B, L) of cells and what is hidden of them (B, L)."""
    x = values.batch(rows)
    return x, hidden_genes(x, model.eligible, rows, config)


def _numpy(tensor: Tensor, measured: np.ndarray) -> np.ndarray:
    return tensor.cpu().numpy()[:, measured]  # type: ignore[no-any-return]


def _sparse(values: Values, rows: np.ndarray, measured: np.ndarray, size: int) -> sparse.csr_matrix:
    """Return the values of cells, cells x measured genes."""
    blocks = [sparse.csr_matrix(_numpy(values.batch(block), measured)) for block in _blocks(rows, size)]
    return sparse.vstack(blocks, format="csr")

"""A backbone's genes and a cell's tokens: the same from sums, from blocks and from a whole matrix."""

import numpy as np
import pytest
import torch

from sgm_core.cells import kept_arrays
from sgm_core.cells.dataset import Dataset
from sgm_core.training import tokens
from sgm_core.training.data import Values, informative_genes
from sgm_core.training.tokens import known_genes, moments_of


def whole_donors(dataset: Dataset) -> np.ndarray:
    """Return all cells of all donors but the first two."""
    donors = dataset.donors()
    return np.flatnonzero(~donors.isin(sorted(donors.unique())[:2]))


def dense(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return the normalised values by another way than `Dataset.lognorm`."""
    counts = dataset.counts()[rows].toarray().astype(float)
    return np.log1p(1e4 * counts / counts.sum(1, keepdims=True))


@pytest.mark.parametrize("part", ["donors", "cells"])
def test_moments_are_those_of_the_whole_matrix(
    demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(tokens, "_CHUNK", 37)  # blocks that don't divide the cells
    rows = whole_donors(demo_dataset) if part == "donors" else np.arange(0, demo_dataset.n_cells, 3)
    if part == "donors":  # known from the import: no cell is read
        monkeypatch.setattr(Dataset, "take", lambda *a: pytest.fail("cells were read"))
    found = moments_of(demo_dataset, rows)
    monkeypatch.undo()
    x = dense(demo_dataset, rows)
    assert found.n_cells == len(rows)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.variance, x.var(0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.detection, (x > 0).mean(0))


def test_the_genes_are_those_of_the_definition(demo_dataset: Dataset) -> None:
    for rows in (whole_donors(demo_dataset), np.arange(0, demo_dataset.n_cells, 3)):
        x = dense(demo_dataset, rows)
        seen = (x > 0).mean(0) >= 0.01
        ratio = np.where(seen, x.var(0) / np.maximum(x.mean(0), 1e-9), -1)
        expected = np.sort(np.argsort(-ratio, kind="stable")[:200])
        assert np.array_equal(informative_genes(demo_dataset, rows, 200), expected)


def test_tokens_are_counted_once_and_kept(demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    known = np.zeros(demo_dataset.n_genes, bool)
    known[::3] = True
    monkeypatch.setattr(tokens, "_CHUNK", 41)
    genes, counts = known_genes(demo_dataset, known)
    own = demo_dataset.counts()[:, known]
    assert np.array_equal(genes, np.asarray((own > 0).sum(1)).ravel())
    assert np.array_equal(counts, np.asarray(own.sum(1)).ravel())
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "take", lambda *a: pytest.fail("cells were read again"))
        again = known_genes(demo_dataset, known)
    assert np.array_equal(again[0], genes) and np.array_equal(again[1], counts)
    for file in (demo_dataset.path / "facts").glob("tokens-*/*.npy"):
        file.write_bytes(b"damaged")
    assert np.array_equal(known_genes(demo_dataset, known)[0], genes)


def test_few_choices_of_genes_are_kept(demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_arrays, "_KEPT", 3)
    for number in range(5):
        known_genes(demo_dataset, np.arange(demo_dataset.n_genes) == number)
    assert len(list((demo_dataset.path / "facts").glob("tokens-*/*.npy"))) == 3


def test_a_batch_is_the_normalised_values_to_the_bit(demo_dataset: Dataset) -> None:
    genes = np.arange(1, demo_dataset.n_genes, 2)[::-1].copy()  # any order
    values = Values(demo_dataset, genes, torch.device("cpu"))
    rows = np.array([5, 0, 17, 5])
    assert np.array_equal(values.batch(rows).numpy(), demo_dataset.lognorm(rows, genes).toarray())
    assert np.array_equal(values.lengths[rows], (values.batch(rows).numpy() > 0).sum(1))

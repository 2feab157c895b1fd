"""Values in a vocabulary, read depths, thinned cells, and batches made ahead."""

import numpy as np
import pytest
import torch

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.model.bundle import open_bundle
from sgm_core.training.config import PretrainConfig
from sgm_core.training.data import (
    Values,
    VocabularyValues,
    ahead,
    group_size,
    refuse_long_cells,
    token_batches,
)

CPU = torch.device("cpu")


@pytest.fixture
def values(few_cells: Dataset, bundle: str) -> VocabularyValues:
    return VocabularyValues(few_cells, open_bundle(bundle).genes, CPU, "a0")


def test_values_of_a_vocabulary_are_normalised_over_its_genes(
    few_cells: Dataset, bundle: str, values: VocabularyValues
) -> None:
    genes = open_bundle(bundle).genes
    counts = few_cells.counts().toarray().astype(float)
    known = np.isin(few_cells.genes, genes)
    assert 0 < (~known).sum() < len(known), "some of the dataset's genes are not in the vocabulary"
    expected = np.zeros((few_cells.n_cells, len(genes)))
    place = {gene: i for i, gene in enumerate(genes)}
    columns = [place[gene] for gene in few_cells.genes[known]]
    total = counts[:, known].sum(1, keepdims=True)
    expected[:, columns] = np.log1p(1e4 * counts[:, known] / total)
    rows = np.array([5, 0, 88])
    x = values.batch(rows).numpy()
    assert x.shape == (3, 19266)
    assert np.allclose(x[:, :-2], expected[rows], atol=1e-5)
    assert np.allclose(x[:, -2:], np.log10(total[rows]), atol=1e-5)
    assert set(np.flatnonzero(values.measured)) == set(columns)
    assert (values.lengths == (expected > 0).sum(1) + 2).all()


def test_the_target_depth_is_a_choice(few_cells: Dataset, bundle: str) -> None:
    genes = open_bundle(bundle).genes
    source = VocabularyValues(few_cells, genes, CPU, "a0").batch(np.arange(4))[:, -1]
    for text, expected in (("t4", torch.full((4,), 4.0)), ("a1", source + 1), ("f2", source + np.log10(2))):
        x = VocabularyValues(few_cells, genes, CPU, text).batch(np.arange(4))
        assert torch.allclose(x[:, -2], expected, atol=1e-5) and torch.equal(x[:, -1], source)
    with pytest.raises(InputError, match="target depth 'b3'"):
        PretrainConfig(target_depth="b3")


@pytest.mark.parametrize("kind", ("vocabulary", "chosen genes"))
def test_thinned_cells(few_cells: Dataset, values: VocabularyValues, kind: str) -> None:
    """S is at most T, T is the cell's own depth, no zero becomes a count, and a cell decides alone."""
    if kind == "chosen genes":
        values = Values(few_cells, np.arange(0, few_cells.n_genes, 2), CPU, "a0")
    rows, key = np.arange(40), (0, 3, 1)
    whole, thin = values.batch(rows), values.thinned(rows, 1.0, key)
    assert (thin[:, -1] <= thin[:, -2]).all() and (thin[:, -1] < thin[:, -2]).float().mean() > 0.9
    assert torch.allclose(thin[:, -2], whole[:, -1], atol=1e-6), "T is the depth of the target"
    genes = slice(0, -2)
    assert ((thin[:, genes] > 0) <= (whole[:, genes] > 0)).all()
    assert (thin[:, genes] > 0).sum() < 0.95 * (whole[:, genes] > 0).sum()
    if kind == "vocabulary":
        assert torch.allclose(thin[:, genes].expm1().sum(1), torch.full((40,), 1e4), rtol=1e-3)
    assert torch.equal(values.thinned(rows[::-1][:7].copy(), 1.0, key), thin.flip(0)[:7])
    assert not torch.equal(values.thinned(rows, 1.0, (0, 3, 2)), thin), "another epoch, another draw"
    some = values.thinned(rows, 0.5, key)
    kept = (some == whole).all(1)
    assert 8 < kept.sum() < 32
    assert torch.equal(some[~kept], thin[~kept])
    assert torch.equal(values.thinned(rows, 0.0, key), whole)


def test_rates_of_thinning_are_those_of_beta_2_2(few_cells: Dataset, values: VocabularyValues) -> None:
    rows = np.arange(few_cells.n_cells)
    thin = torch.cat([values.thinned(rows, 1.0, (seed, 3, 0)) for seed in range(4)])
    rates = 10 ** (thin[:, -1] - thin[:, -2]).numpy()
    assert rates.mean() == pytest.approx(0.5, abs=0.05)
    assert rates.var() == pytest.approx(0.05, abs=0.015)


def test_thinning_needs_the_depth_tokens() -> None:
    with pytest.raises(InputError, match="depth_tokens"):
        PretrainConfig(downsample=0.5)
    assert PretrainConfig(downsample=0.5, depth_tokens=True).downsample == 0.5
    with pytest.raises(InputError, match="own depth"):
        PretrainConfig(downsample=0.5, depth_tokens=True, target_depth="t4")
    with pytest.raises(InputError, match=r"downsample is 1.5: it must be at least 0 and at most 1"):
        PretrainConfig(downsample=1.5, depth_tokens=True)


def test_long_cells_are_refused_with_numbers(values: VocabularyValues) -> None:
    lengths = values.lengths
    refuse_long_cells(lengths, int(lengths.max()), "these")
    most = int(np.sort(lengths)[-3])
    with pytest.raises(InputError, match=f"2 of {len(lengths)} cells of these .* longest {lengths.max():,}"):
        refuse_long_cells(lengths, most, "these")


def test_what_is_made_ahead_comes_in_order_and_fails_where_it_is_used() -> None:
    """The thread that a GPU gets; making things needs no GPU."""
    gpu = torch.device("cuda")
    assert list(ahead(lambda i: i * i, range(20), gpu)) == [i * i for i in range(20)]
    assert list(ahead(lambda i: i, [], gpu)) == []
    got = []
    with pytest.raises(ZeroDivisionError):
        for value in ahead(lambda i: 6 // (2 - i), range(5), gpu):
            got.append(value)
    assert got == [3, 6]


def test_batches_by_tokens_hold_every_cell_once_and_keep_the_limit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = rng.integers(1, 500, 120)
        rows = rng.permutation(120)[:70]
        size, tokens = int(rng.integers(1, 20)), int(rng.integers(100, 3000))
        got = list(token_batches(rows, lengths, size, tokens))
        assert sorted(np.concatenate(got)) == sorted(rows)
        assert all(len(one) <= size for one in got)
        assert all(lengths[one].sum() <= tokens or len(one) == 1 for one in got)
    assert list(token_batches(rows[:0], lengths, 4)) == []


def test_the_last_update_of_an_epoch_counts_its_own_batches() -> None:
    assert [group_size(number, 7, 3) for number in range(7)] == [3, 3, 3, 3, 3, 3, 1]
    assert [group_size(number, 2, 5) for number in range(2)] == [2, 2]

"""scGPT's bins against those of its own code, and what is random about them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sgm_core.model.binning import bin_bounds, bin_values, kept_genes

BINS = 51


@pytest.fixture(scope="module")
def steps(shared: Path) -> dict:
    return torch.load(shared / "fixtures/scgpt_tiny/preprocess.pt", weights_only=True)


def bounds(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest bin that each value may get."""
    below, not_above, index, real = bin_bounds(values, BINS)
    tied = not_above - below > 1
    low = torch.where(tied, below + 1, not_above) * real
    made = [torch.zeros(values.shape, dtype=torch.float64) for _ in range(2)]
    return tuple(
        x.scatter_add(1, index, y * real).long() for x, y in zip(made, (low, not_above), strict=True)
    )


@pytest.mark.parametrize(
    ("values", "prefix"), [("log1p", ""), ("raw", "zs_")], ids=("finetuning", "zero-shot")
)
def test_bins_are_those_of_the_official_code(steps: dict, values: str, prefix: str) -> None:
    x, low_high = steps[values], ("low", "high")
    names = [f"{prefix}{name}" if prefix else f"bin_{name}" for name in low_high]
    for ours, name in zip(bounds(x), names, strict=True):
        assert torch.equal(ours, steps[name]), name
    drawn = bin_values(x, BINS, draws=steps[f"{prefix}draws"])
    assert torch.equal(drawn.long(), steps[f"{prefix}binned_seeded"])
    low, high = (steps[name] for name in names)
    assert (low < high).float().mean() > 0.2  # much of it is random, so the draws matter
    for seed in range(3):
        ours = bin_values(x, BINS, seed).long()
        assert ((ours >= low) & (ours <= high)).all()
    assert torch.equal(bin_values(x, BINS, 1), bin_values(x, BINS, 1))
    assert not torch.equal(bin_values(x, BINS, 1), bin_values(x, BINS, 2))


def test_seeded_numbers_of_the_official_generator(steps: dict) -> None:
    """The draws are numpy's, one for each non-zero value, cell by cell."""
    rng = np.random.RandomState(steps["numpy_seed"])
    x = steps["log1p"].numpy()
    draws = np.full(x.shape, -1.0)
    for row, cell in zip(draws, x, strict=True):
        if cell.any():
            row[cell > 0] = rng.rand(int((cell > 0).sum()))
    assert np.allclose(draws, steps["draws"].numpy(), atol=1e-15)


def test_the_draws_are_by_rank_alone(steps: dict) -> None:
    x = steps["log1p"]
    rounded = (x.double() * (1 + 3e-7)).float()
    assert not torch.equal(rounded, x)
    assert torch.equal(bin_values(rounded, BINS), bin_values(x, BINS))
    moved = (bin_values(steps["raw"], BINS) != bin_values(x, BINS)).float().mean()
    assert moved < 0.2  # where the logarithm moves an edge between two values


def test_a_cell_has_the_same_bins_wherever_it_is(steps: dict) -> None:
    x = steps["log1p"]
    whole = bin_values(x, BINS)
    for i in (0, 7, 9):
        assert torch.equal(bin_values(x[i : i + 1], BINS)[0], whole[i])
    assert torch.equal(bin_values(x.flip(0), BINS), whole.flip(0))


def test_tied_values_are_spread_evenly() -> None:
    """One value in all expressed genes: its bin is any of 1 ... 50, each as often, as officially."""
    x = 2.0 * (torch.rand(400, 60, generator=torch.Generator().manual_seed(0)) < 0.8)
    counts = np.bincount(bin_values(x, BINS).long()[x > 0].numpy(), minlength=BINS)
    expected = counts.sum() / 50
    assert counts[0] == 0 and (np.abs(counts[1:] - expected) < 5 * expected**0.5).all()


def test_genes_beyond_the_length_limit_are_drawn() -> None:
    codes = torch.zeros(300, 60)
    codes[:, :40] = torch.randint(1, 51, (300, 40), generator=torch.Generator().manual_seed(0)).float()
    codes[0, 10:] = 0
    kept = kept_genes(codes, 15)
    assert torch.equal(kept[0], codes[0] > 0)
    assert (kept[1:].sum(1) == 15).all() and not (kept & (codes == 0)).any()
    assert torch.equal(kept, kept_genes(codes, 15)) and not torch.equal(kept, kept_genes(codes, 15, seed=1))
    assert torch.equal(kept[5], kept_genes(codes[5:6], 15)[0])
    often = kept[1:, :40].float().mean(0)  # 15 of 40, whatever the gene
    assert (often - 15 / 40).abs().max() < 5 * (0.375 * 0.625 / 299) ** 0.5

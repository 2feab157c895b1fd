"""SMA: the most attended genes are hidden, more of them as training goes on, the rest uniformly."""

import math

import numpy as np
import pytest
import torch
from strategy_models import model_of, seen_of, toy_cells, toy_numbers


def attention_of(model, values, noise, subset) -> np.ndarray:
    seen = seen_of(model, values, noise, subset)
    with torch.no_grad():
        scores = model.latents.log_importance(model.backbone, values, model.eligible, subset)
    assert torch.equal(seen.subset, subset)
    return scores.numpy()


@pytest.mark.parametrize("basis", ["strata", "all"])
def test_at_the_end_the_largest_sums_are_hidden(basis: str) -> None:
    model, values = model_of("sma", mask_basis=basis, zero_ratio=0.2), toy_cells(60)
    noise, subset = toy_numbers(60)
    masked = model.draw(values, noise, subset).masked.numpy()
    attention = attention_of(model, values, noise, subset)
    x = values.numpy() > 0
    for cell in range(60):
        for allowed in (x[cell], ~x[cell]) if basis == "strata" else (np.ones(40, bool),):
            if basis == "all" and (x[cell] & ~masked[cell]).sum() <= 1:
                continue  # the guard kept the last visible non-zero gene
            hidden = attention[cell][masked[cell] & allowed]
            assert not len(hidden) or hidden.min() > attention[cell][~masked[cell] & allowed].max()


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0])
def test_the_guided_share_is_a_cosine_of_the_progress(progress: float) -> None:
    """With many positions, overlap of the mask with the most attended ones is g + (1 - g) * chance."""
    model = model_of("sma", 400, mask_basis="all", mask_ratio=0.25)
    model.strategy.progress = progress
    values, (noise, subset) = toy_cells(40, 400), toy_numbers(40, 400)
    masked = model.draw(values, noise, subset).masked.numpy()
    attention = attention_of(model, values, noise, subset)
    g = (1 - math.cos(math.pi * progress)) / 2
    count = round(100 * g)
    guided = np.argsort(-attention, axis=1)[:, :count]
    assert np.take_along_axis(masked, guided, 1).all()
    rest = np.ones_like(masked)
    np.put_along_axis(rest, guided, False, 1)
    drawn = masked[rest].reshape(40, -1)
    assert (drawn.sum(1) == 100 - count).all()
    frequency, n = drawn.mean(), drawn.shape[1]
    assert frequency == pytest.approx((100 - count) / n)


def test_equal_attention_hides_genes_at_random() -> None:
    """Untrained keys of zero pay every gene the same; the first genes must not be hidden in every cell."""
    model, values = model_of("sma", key_init="zero"), toy_cells(500)
    values[:] = values[:1]
    masked = model.draw(values, *toy_numbers(500)).masked
    nonzero = values[0] > 0
    frequency = masked.float().mean(0)[nonzero]
    expected = float(masked[0][nonzero].sum() / nonzero.sum())
    assert (frequency - expected).abs().max() < 4.5 * (expected * (1 - expected) / 500) ** 0.5


def test_the_effective_share_falls_to_the_hidden_ones() -> None:
    model, values = model_of("sma", mask_basis="all", mask_ratio=0.25), toy_cells(20)
    shares = []
    for progress in (0.0, 0.3, 0.6, 1.0):
        model.strategy.progress = progress
        shares.append(float(model.draw(values, *toy_numbers(20)).effective_share.mean()))
    assert shares[0] == pytest.approx(1) and shares[-1] == pytest.approx(0.25)
    assert shares == sorted(shares, reverse=True)

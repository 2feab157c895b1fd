"""What is summed over masks: the hidden share of a cell's counts among it."""

import numpy as np
import pytest
import torch

from sgm_core.model.reconstruction import Drawn
from sgm_core.training.draws import mask_shares, mask_sums


def test_the_hidden_share_of_counts_is_that_of_the_counts() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (30, 20))
    counts[3] = 0
    masked, eligible = rng.random((30, 20)) < 0.3, np.arange(20) < 17
    masked &= eligible
    totals = counts.sum(1, keepdims=True) + 50  # other genes count in a cell's total
    x = torch.from_numpy(np.log1p(1e4 * counts / totals).astype(np.float32))
    drawn = Drawn(torch.from_numpy(masked), torch.ones(30), torch.from_numpy(eligible))
    sums = mask_sums(x, drawn)
    shares = mask_shares(sums.tolist(), 30, 17)
    own = counts * eligible
    expected = (own * masked).sum(1) / np.maximum(own.sum(1), 1)
    assert shares["hidden_counts"] == pytest.approx(expected.mean(), abs=1e-5)
    assert shares["masked_share"] == pytest.approx(masked.sum() / (30 * 17))

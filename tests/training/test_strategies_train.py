"""Every masking strategy trains: tables are whole, what learns has moved, budgets are equal."""

import numpy as np
import pandas as pd
import pytest
import torch

from sgm_core.analysis.mask_budgets import equal_budgets
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.comparison.config import ARMS
from sgm_core.model.strategies import strategy_class, strategy_names
from sgm_core.training.config import PretrainConfig
from sgm_core.training.pretrain import arm_name, pretrain

SMALL = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "epochs": 2, "device": "cpu"}


def test_every_strategy_trains_with_equal_budgets(few_cells: Dataset) -> None:
    """Ten trainings of 2 s: nothing smaller shows that all of them run, and compares them."""
    fold, tables = donor_folds(few_cells, n_folds=3)[0], []
    for name in strategy_names():
        config = PretrainConfig(data="few", masker=name, **SMALL)
        assert arm_name(config) in ARMS
        result = pretrain(few_cells, config, fold)
        assert result.model.strategy.progress == 1
        torch.manual_seed(config.seed)
        shape = result.model.backbone.config
        fresh = strategy_class(name)(config.to_dict(), shape.n_positions, shape.width)
        for key, parameter in result.model.strategy.named_parameters():
            assert torch.isfinite(parameter).all() and not torch.equal(parameter, fresh.get_parameter(key))
        table = result.mask_cells
        assert np.isfinite(table.drop(columns="arm").to_numpy(float)).all()
        assert table["epoch"].tolist() == [0, 1, 2] and ((table["hidden_counts"] > 0.1).all())
        tables.append(table)
    cells = pd.concat(tables, ignore_index=True)
    assert equal_budgets(cells[cells["arm"] != "random-ratio+summary"]) == "equal"
    assert equal_budgets(cells) in ("on average", "unequal"), "150 cells: the mean may miss by some per cent"
    shares = cells[cells["epoch"] > 0].groupby("arm")["hidden_counts"].mean()
    assert shares["inverse-expression+summary"] < shares["uniform+summary"] < shares["expression+summary"]


@pytest.mark.parametrize("name", ("sma", "expression"))
def test_a_training_tells_its_progress(
    few_cells: Dataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, kind = [], strategy_class(name)
    plain = kind.log_weights

    def watched(self, cells):
        seen.append((self.training, self.progress))
        return plain(self, cells)

    monkeypatch.setattr(kind, "log_weights", watched)
    config = PretrainConfig(data="few", masker=name, batch_size=20, **SMALL)
    pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0])
    training = [progress for in_training, progress in seen if in_training]
    steps = len(training) // 2
    assert training == pytest.approx([i / (2 * steps) for i in range(2 * steps)])
    outside = [progress for in_training, progress in seen if not in_training]
    assert outside[0] == 0 and set(outside) == {0.0, 0.5, 1.0}, "before it, and at the end of each epoch"

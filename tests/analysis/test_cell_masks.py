"""How often a cell's genes were masked."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.cell_masks import masked_share, masking_rates
from sgm_core.errors import NotFoundError

COLUMNS = ["arm", "by", "gene", "masked_nonzero", "opportunities_nonzero"]


def test_rates_are_of_all_models_of_the_arm_where_the_gene_was_expressed():
    masks = pd.DataFrame(
        [
            ("guided", "all", "A", 3, 10),
            ("guided", "all", "A", 5, 10),
            ("guided", "all", "B", 0, 0),
            ("guided", "donor", "A", 100, 100),
            ("uniform", "all", "A", 9, 10),
        ],
        columns=COLUMNS,
    )
    assert masking_rates(masks, "guided").to_dict() == {"A": 0.4}
    with pytest.raises(NotFoundError, match="no masks of the arm 'nobody'"):
        masking_rates(masks, "nobody")


def test_a_cells_share_is_the_mean_over_the_genes_it_expresses(demo_dataset, monkeypatch):
    monkeypatch.setattr("sgm_core.analysis.cell_masks._BLOCK_CELLS", 100)
    rng = np.random.default_rng(0)
    known = rng.permutation(demo_dataset.n_genes)[: demo_dataset.n_genes // 2]
    rates = pd.Series(rng.random(len(known)), index=demo_dataset.genes[known])
    shares = masked_share(demo_dataset, rates)
    dense = demo_dataset.counts().toarray() > 0
    for cell in (0, 99, 100, demo_dataset.n_cells - 1):
        mine = [rates[gene] for gene in demo_dataset.genes[dense[cell]] if gene in rates.index]
        assert shares[cell] == pytest.approx(np.mean(mine), rel=1e-5)


def test_masks_without_guidance_say_the_same_of_every_cell(demo_dataset):
    shares = masked_share(demo_dataset, pd.Series(0.3, index=demo_dataset.genes))
    assert np.ptp(shares) < 1e-6


def test_a_cell_without_any_counted_gene_has_no_value(demo_dataset):
    dense = demo_dataset.counts().toarray() > 0
    gene = int(np.flatnonzero(~dense.all(axis=0))[0])
    shares = masked_share(demo_dataset, pd.Series({demo_dataset.genes[gene]: 0.5}))
    np.testing.assert_array_equal(np.isnan(shares), ~dense[:, gene])

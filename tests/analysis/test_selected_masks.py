"""Masks of a selection are those of its cell types, weighted by its make-up."""

import numpy as np
import pytest
from synthetic_run import make_compare_run

from sgm_core.analysis.masks import gene_statistics
from sgm_core.analysis.selected_masks import selected_masks
from sgm_core.errors import InputError
from sgm_core.runs.store import open_run


@pytest.fixture
def masks(demo_dataset):
    return open_run(make_compare_run("small")).read_table("masks")


def test_a_selection_of_one_type_has_that_types_masks(demo_dataset, masks) -> None:
    labels = demo_dataset.labels()
    found = selected_masks(masks, labels, (labels == "GMP").to_numpy(), "self-guided")
    assert found.weights.to_dict() == {"GMP": 1.0} and found.covered == 1.0
    own = gene_statistics(masks, arm="self-guided", by="cell_type", level="GMP").set_index("gene")
    mine = found.table.set_index("gene").loc[own.index]
    for column in ("frequency", "null_frequency", "mean_expression", "matched_frequency"):
        np.testing.assert_allclose(mine[column], own[column], rtol=1e-3, atol=1e-9)
    every = gene_statistics(masks, arm="self-guided").set_index("gene")
    np.testing.assert_allclose(mine["frequency_all"], every.loc[own.index, "frequency"])


def test_types_weigh_as_they_are_selected(demo_dataset, masks) -> None:
    labels = demo_dataset.labels()
    chosen = labels.isin(["GMP", "HSC"]).to_numpy() & (np.arange(600) % 3 > 0)
    unlabelled = np.flatnonzero(labels.isna())[:5]
    chosen[unlabelled] = True
    found = selected_masks(masks, labels, chosen, "uniform")
    sizes = labels[chosen].value_counts()
    weights = sizes / sizes.sum()
    expected = 0
    for level, weight in weights.items():
        own = gene_statistics(masks, arm="uniform", by="cell_type", level=level).set_index("gene")
        expected = expected + weight * own["frequency"]
    np.testing.assert_allclose(
        found.table.set_index("gene")["frequency"], expected.loc[found.table["gene"]], rtol=5e-3
    )
    assert found.covered == pytest.approx(sizes.sum() / chosen.sum())


def test_cells_of_no_counted_type_are_refused(demo_dataset, masks) -> None:
    labels = demo_dataset.labels().where(lambda names: names != "GMP", "a type of mine")
    with pytest.raises(InputError, match="no selected cell is of a type whose masks the run counted"):
        selected_masks(masks, labels, (labels == "a type of mine").to_numpy(), "self-guided")

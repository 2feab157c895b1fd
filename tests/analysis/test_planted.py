"""What was planted: precision by hand, a masker that finds it, and maskers that must not be said to."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact, hypergeom
from synthetic_masks import count_masks, draw_masks
from synthetic_run import make_compare_run

import sgm_core
from sgm_core.analysis.planted import (
    group_sentence,
    more_than,
    planted_by_group,
    planted_precision,
    planted_sentence,
)
from sgm_core.analysis.rankings import Rankings, rankings
from sgm_core.errors import InputError
from sgm_core.resources.panel import planted_genes, planted_in_types, read_panel
from sgm_core.runs.masks import mask_counts
from sgm_core.runs.store import open_run


def test_precision_by_hand() -> None:
    names = [f"G{i}" for i in range(100)]
    genes = pd.DataFrame(
        {"gene": names, "expression": np.linspace(2, 0, 100), "detection": np.linspace(1, 0, 100)}
    )
    lists = {"frequency": names[:10], "uniform": names[5:15], "expression": names[:10]}
    table = planted_precision(Rankings(lists, genes, "a"), {"here": names[:8] + names[90:]}, 10)
    row = table.set_index("ranking").loc["frequency"]
    assert (row["n_hits"], row["n_listed"], row["precision"], row["chance"]) == (8, 10, 0.8, 0.18)
    assert row["p_chance"] == pytest.approx(hypergeom.sf(7, 100, 18, 10))
    # five genes of each list are its own: all five here, two there
    assert row["p_over_uniform"] == pytest.approx(
        fisher_exact([[5, 0], [0, 5]], alternative="greater").pvalue
    )
    assert np.isnan(row["p_over_start"])
    assert more_than(names[:5], names[:5], names) == 1


def test_the_simulator_says_what_it_planted() -> None:
    panel, planted, types = read_panel(), planted_genes(), planted_in_types()
    effects = panel.effects.set_axis(panel.genes)
    for name, genes in types.items():
        assert (effects.loc[genes, name] > 0).all()
    assert set(planted["malignant cells"]) <= set(planted["a cell type or state"])
    assert {gene for genes in types.values() for gene in genes} == set(planted["cell types"])


def masker(dataset, prefers: dict[str, list[str]] | None, arm: str, seed: int) -> pd.DataFrame:
    """Draw masks that prefer, in the cells of each type, the genes planted there; None: uniform."""
    rows = np.arange(dataset.n_cells)
    values = np.asarray(dataset.lognorm(rows).todense(), dtype=float)
    labels, rng, parts = dataset.labels().to_numpy(), np.random.default_rng(seed), []
    law = np.zeros_like(values)
    for name, genes in (prefers or {}).items():
        law[np.ix_(labels == name, np.isin(dataset.genes, genes))] = np.log(8.0)
    drawn = np.concatenate([draw_masks(law, round(0.2 * values.shape[1]), rng) for _ in range(8)])
    twice, whose = np.tile(values, (8, 1)), np.tile(labels, 8)
    for by, level in [
        ("all", ""),
        *(("cell_type", str(name)) for name in pd.unique(labels[pd.notna(labels)])),
    ]:
        chosen = np.full(len(whose), True) if by == "all" else whose == level
        table = count_masks(drawn[chosen], twice[chosen], dataset.genes)
        parts.append(table.assign(arm=arm, fold=-1, seed=-1, by=by, level=level))
    return pd.concat(parts, ignore_index=True)


def test_a_masker_that_finds_what_was_planted_is_said_to(demo_dataset) -> None:
    planted = planted_in_types()
    masks = pd.concat(
        [masker(demo_dataset, planted, "self-guided", 0), masker(demo_dataset, None, "uniform+summary", 1)]
    )
    found = planted_by_group(masks, planted, "self-guided")
    assert len(found) >= 5
    assert (found["precision"] > found["precision_uniform"]).all()
    assert group_sentence(found).confidence == "proven"
    none = planted_by_group(masks, planted, "uniform+summary")
    assert group_sentence(none).confidence == "chance"
    start = masker(demo_dataset, None, "self-guided", 2)
    table = planted_precision(rankings(masks, "self-guided", 50, start), planted_genes())
    assert planted_sentence(table, "cell types").confidence == "proven"
    without = planted_precision(rankings(masks, "self-guided", 50), planted_genes())
    assert planted_sentence(without, "cell types").confidence == "undecided"


def test_masks_that_do_not_know_it_are_not_said_to_find_it(demo_dataset) -> None:
    """Seen: uniform masks hold more of a type's planted genes than a coarse match by expression expects."""
    run = open_run(make_compare_run(demo_dataset.name))
    masks, start = mask_counts(run, "cell_type"), run.read_table("masks_start", by="all")
    for arm in ("uniform", "uniform+summary", "expression+summary", "self-guided"):
        assert group_sentence(planted_by_group(masks, planted_in_types(), arm)).confidence == "chance"
        table = planted_precision(rankings(masks, arm, 50, start), planted_genes())
        for name in planted_genes():
            assert planted_sentence(table, name).confidence != "proven", (arm, name)
    pd.testing.assert_frame_equal(
        sgm_core.planted(run, "uniform"),
        planted_precision(rankings(masks, "uniform", 50, start), planted_genes()),
    )


def test_of_measured_cells_nothing_is_known(demo_dataset, monkeypatch) -> None:
    run = open_run(make_compare_run(demo_dataset.name))
    monkeypatch.setattr(type(demo_dataset), "simulated", False)
    with pytest.raises(InputError, match="holds measured cells: what is planted is known of simulated ones"):
        sgm_core.planted(run)

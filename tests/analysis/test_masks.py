import numpy as np
import pandas as pd
import pytest
from synthetic_masks import count_masks, draw_masks, masks_and_cells, simulated_values
from synthetic_run import GUIDED_GENES, MASK_SEEDS, guided_genes, make_compare_run

from sgm_core.analysis.lift import lift_over_models
from sgm_core.analysis.mask_models import ModelResiduals
from sgm_core.analysis.masks import (
    default_arm,
    gene_statistics,
    level_frequencies,
    lift_problem,
    mask_levels,
    preferred_genes,
    select_masks,
    top_genes,
)
from sgm_core.analysis.matching import matched_residuals, true_variance
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.store import open_run


@pytest.fixture
def run_masks(demo_dataset):
    return open_run(make_compare_run(demo_dataset.name)).read_table("masks")


def test_statistics_of_a_table_counted_by_hand() -> None:
    values = np.array([[0.0, 2.0], [1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    masks = np.array([[True, False], [True, False], [False, True], [False, True]])
    frame = count_masks(masks, values, np.array(["MT-CO1", "GATA1"]))
    stats = gene_statistics(frame.assign(arm="uniform", fold=-1, by="all", level=""))
    first = stats.set_index("gene").loc["MT-CO1"]
    assert first[["masked", "opportunities", "frequency"]].tolist() == [2, 4, 0.5]
    assert first[["frequency_nonzero", "frequency_zero", "detection"]].tolist() == [0.5, 0.5, 0.5]
    assert first[["mean_expression", "mean_expression_when_masked"]].tolist() == [1.0, 0.5]
    assert first["mitochondrial"]
    assert np.isnan(first["lift"])  # four opportunities are too few
    second = stats.set_index("gene").loc["GATA1"]
    assert second["frequency_zero"] == 0
    assert second["mean_expression_when_masked"] == 3.0
    assert not second["mitochondrial"]


def test_genes_that_could_not_be_masked_are_left_out() -> None:
    frame, _ = masks_and_cells(np.zeros((50, 20)), np.ones((50, 20)))
    frame.loc[3, ["opportunities", "masked"]] = 0
    assert len(gene_statistics(frame)) == 19


def test_truly_preferred_genes_lead_by_lift_not_by_frequency() -> None:
    values = simulated_values()
    rare = np.flatnonzero((values > 0).mean(0) < 0.15)[:25]
    scores = 0.6 * values
    scores[:, rare] += np.log(3)
    frame, _ = masks_and_cells(scores, values, share=0.15, seeds=2)
    stats = gene_statistics(frame)
    truth = {f"G{i:04d}" for i in rare}
    assert len(truth & set(top_genes(stats, "lift", 25))) >= 24
    assert len(truth & set(top_genes(stats, "frequency", 25))) <= 5
    lifted = stats[stats["gene"].isin(truth)]
    assert lifted["lift"].median() == pytest.approx(3, rel=0.25)
    assert (lifted["lift_low"] > 1.3).all()
    assert truth <= set(preferred_genes(stats))


def test_without_guidance_lift_is_one_and_no_gene_is_preferred() -> None:
    values = simulated_values()
    stats = gene_statistics(masks_and_cells(0.3 * values, values, seeds=3)[0])
    assert stats["lift"].between(0.93, 1.07).all()
    assert ((stats["lift_low"] <= 1) & (stats["lift_high"] >= 1)).mean() > 0.97
    assert len(preferred_genes(stats)) <= 4


def test_one_model_ranks_no_gene() -> None:
    """Its draws tell what it prefers exactly, and nothing of what another seed would."""
    values = simulated_values(800, 200)
    scores = np.zeros_like(values)
    scores[:, :10] += np.log(4)
    stats = gene_statistics(masks_and_cells(scores, values)[0])
    assert stats["lift"].iloc[:10].min() > 2, "the point stands"
    assert stats[["lift_low", "lift_high"]].isna().all(axis=None)
    assert "one model can't tell a preference from chance" in lift_problem(stats)
    for refused in (lambda: top_genes(stats, "lift", 5), lambda: preferred_genes(stats)):
        with pytest.raises(InputError, match="pretrain with other seeds"):
            refused()
    assert len(top_genes(stats, "frequency", 5)) == 5


def test_rare_genes_do_not_win_by_noise() -> None:
    rng = np.random.default_rng(5)
    expression, detection = rng.uniform(0.1, 1, 300), rng.uniform(0.1, 0.9, 300)
    n = np.where(np.arange(300) < 50, 110.0, 20_000.0)
    p = np.full(300, 0.05)
    p[299] = 0.08
    tables = [matched_residuals(rng.binomial(n.astype(int), p), n, expression, detection) for _ in range(3)]
    residual, variance = (np.column_stack([t[c] for t in tables]) for c in ("residual", "residual_variance"))
    models = ModelResiduals(np.arange(300).astype(str), np.arange(3), np.zeros(3, int), residual, variance)
    lift = lift_over_models(models).reset_index(drop=True)
    assert lift["lift_low"].idxmax() == 299
    n[0] = 99
    assert np.isnan(matched_residuals(n * p, n, expression, detection).loc[0, "residual"])


def test_true_variance_is_found_and_zero_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 0.05, 20_000)
    effects = rng.normal(0, 0.2, 20_000) + rng.normal(0, np.sqrt(variance))
    assert true_variance(effects, variance) == pytest.approx(0.04, rel=0.05)
    assert true_variance(rng.normal(0, np.sqrt(variance / 2)), variance) == 0


def test_a_run_shows_its_truth(run_masks, demo_dataset) -> None:
    truth = set(guided_genes(demo_dataset))
    stats = gene_statistics(run_masks, demo_dataset, arm="self-guided")
    names = set(demo_dataset.genes[sorted(truth)])
    assert len(names & set(top_genes(stats, "lift", GUIDED_GENES))) >= 0.8 * len(names)
    assert len(set(preferred_genes(stats)) - names) <= 0.02 * len(stats)
    assert (
        stats.set_index("gene")["n_cells"].loc["CD34"]
        == demo_dataset.var.set_index("gene")["n_cells"]["CD34"]
    )
    assert stats.sort_values("lift_rank")["lift_low"].is_monotonic_decreasing


def test_groups_seeds_and_folds_add_up_to_all(run_masks) -> None:
    whole = select_masks(run_masks, "self-guided").set_index("gene")["masked"]
    levels = mask_levels(run_masks)
    assert set(levels) == {"cell_type", "donor", "timepoint", "epoch"}
    parts = [select_masks(run_masks, "self-guided", by="donor", level=d) for d in levels["donor"]]
    parts_of = {
        "donor": parts,
        "fold": [select_masks(run_masks, "self-guided", fold=k) for k in range(3)],
        "seed": [select_masks(run_masks, "self-guided", seed=s) for s in range(MASK_SEEDS)],
    }
    for name, each in parts_of.items():
        summed = pd.concat(each).groupby("gene")["masked"].sum()
        pd.testing.assert_series_equal(summed, whole, check_like=True, obj=name, check_dtype=False)


def test_a_table_from_before_runs_had_several_seeds_opens(run_masks) -> None:
    old = run_masks[run_masks["seed"].isin([-1, 0])].drop(columns="seed")
    stats = gene_statistics(old, arm="self-guided")
    assert stats["lift_low"].isna().all(), "three folds of one seed start from the same random weights"
    pd.testing.assert_frame_equal(
        gene_statistics(old, arm="self-guided", fold=1),
        gene_statistics(run_masks, arm="self-guided", fold=1, seed=0),
    )
    assert level_frequencies(old, "donor").equals(level_frequencies(run_masks, "donor"))


def test_a_group_has_a_lift_but_no_interval(run_masks) -> None:
    donor = mask_levels(run_masks)["donor"][0]
    stats = gene_statistics(run_masks, by="donor", level=donor)
    assert stats["lift"].notna().any()
    assert stats["lift_low"].isna().all()


def test_levels_with_few_draws_are_left_out() -> None:
    values = simulated_values(200, 50)
    drawn = draw_masks(np.zeros_like(values), 15, np.random.default_rng(0))
    genes = np.arange(50).astype(str)
    frames = [
        count_masks(drawn[part], values[part], genes).assign(arm="a", fold=-1, by="donor", level=name)
        for name, part in (("few", slice(0, 60)), ("many", slice(60, 200)))
    ]
    masks = pd.concat(frames)
    assert level_frequencies(masks, "donor").columns.tolist() == ["many"]


def test_what_is_missing_is_said(run_masks) -> None:
    assert default_arm(run_masks) == "self-guided"
    with pytest.raises(
        NotFoundError, match="no masks of arm 'no-pretraining', fold -1: the arms with masks are"
    ):
        select_masks(run_masks, "no-pretraining")
    with pytest.raises(NotFoundError, match="cell_type 'Osteoblast'"):
        gene_statistics(run_masks, by="cell_type", level="Osteoblast")

import numpy as np
import pandas as pd
import pytest
from synthetic_masks import count_cells, count_masks, draw_masks, masks_and_cells, simulated_values, untrained

from sgm_core.analysis.diagnostic import diagnostic, mask_basis, spreads, value_leak
from sgm_core.analysis.verdict import agreement_sentence, clearly_guided, verdict
from sgm_core.training.config import PRESETS, PretrainConfig, pretrain_config


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return simulated_values()


def guided(values: np.ndarray, genes: int = 30, times: float = 5.0, choice: int = 7) -> np.ndarray:
    scores = 0.15 * values
    scores[:, np.random.default_rng(choice).choice(values.shape[1], genes, replace=False)] += np.log(times)
    return scores


def test_uniform_masks_are_called_uniform(values: np.ndarray) -> None:
    d = diagnostic(*masks_and_cells(np.zeros_like(values), values))
    assert d["effective_share"] == pytest.approx(1)
    assert d["spread_relative"] < 0.02
    assert d["nonzero_share"] == pytest.approx(d["base_rate"], abs=0.01)
    assert abs(d["rank_correlation"]) < 0.15
    assert d["value_leak"] < 0.001
    assert verdict(d).sentence.startswith("Masks are indistinguishable from uniform:")


@pytest.mark.parametrize("law", ["log(v + 1)", "0.3 v", "log(v + 0.05)"])
def test_masks_that_follow_expression_are_not_called_guided(values: np.ndarray, law: str) -> None:
    laws = {"log(v + 1)": np.log(values + 1), "0.3 v": 0.3 * values, "log(v + 0.05)": np.log(values + 0.05)}
    d = diagnostic(*masks_and_cells(laws[law], values, share=0.15))
    assert d["rank_correlation_low"] > 0.6
    assert d["residual_sd"] < 0.03
    assert d["spread_free_relative"] > 0.1
    assert verdict(d).sentence.startswith("Masks follow expression alone:")


def test_a_preference_of_every_seed_is_called_guided(values: np.ndarray) -> None:
    d = diagnostic(*masks_and_cells(guided(values), values, seeds=3), start=untrained(values))
    assert d["residual_sd"] > 0.1
    assert d["reproducible_sd"] == pytest.approx(d["residual_sd"], rel=0.15)
    assert d["added_sd"] == pytest.approx(d["residual_sd"], rel=0.1)
    assert d["start"]["residual_sd"] < 0.02
    assert d["shared_top"] > 25 > 10 > d["shared_top_chance"]
    found = verdict(d)
    assert found.confidence == "proven"
    assert found.sentence.startswith("Masks are guided beyond expression: ")
    assert agreement_sentence(d).startswith("Another seed prefers the same genes in part")


def test_a_preference_of_one_seed_is_called_chance(values: np.ndarray) -> None:
    """Each model prefers genes just as strongly, but others."""
    laws = [guided(values, choice=seed) for seed in (7, 8, 9)]
    d = diagnostic(*masks_and_cells(laws, values), start=untrained(values))
    assert d["residual_sd"] > 0.1
    found = verdict(d)
    assert found.confidence == "chance"
    assert "each seed prefers other genes" in found.sentence
    assert agreement_sentence(d).startswith("Another seed prefers other genes: rank agreement")


def test_what_two_seeds_one_seed_or_no_start_can_tell(values: np.ndarray) -> None:
    start = untrained(values)
    two = diagnostic(*masks_and_cells(guided(values), values, seeds=2), start=start)
    assert verdict(two).confidence == "undecided"
    assert "two seeds can agree by luck" in verdict(two).sentence
    one = diagnostic(*masks_and_cells(guided(values), values), start=start)
    assert verdict(one).confidence == "undecided"
    assert "one model can't tell a preference from chance" in verdict(one).sentence
    old = diagnostic(*masks_and_cells(guided(values), values, seeds=3))
    assert old["start"] is None
    assert verdict(old).confidence == "undecided"
    assert "holds no masks from before training" in verdict(old).sentence


def test_a_preference_that_was_there_before_training_is_not_credited_to_it(values: np.ndarray) -> None:
    """A masker whose start already prefers the same genes in every seed."""
    start, _ = masks_and_cells(guided(values), values, seed=50, seeds=3)
    d = diagnostic(*masks_and_cells(guided(values), values, seeds=3), start=start)
    assert d["added_sd"] < 0.02
    found = verdict(d)
    assert found.confidence == "chance"
    assert "training added nothing" in found.sentence


def test_rows_of_step_0_are_not_averaged_with_the_epochs(values: np.ndarray) -> None:
    frame, cells = masks_and_cells(np.zeros_like(values), values)
    both = pd.concat([cells.assign(epoch=0, effective_share=0.2, nonzero_share=0.9), cells])
    d = diagnostic(frame, both)
    assert d["effective_share"] == pytest.approx(1)
    assert d["effective_share_start"] == pytest.approx(0.2)
    assert d["nonzero_share"] == pytest.approx(cells["nonzero_share"].iloc[0])


def test_masks_of_zeros_are_called_that(values: np.ndarray) -> None:
    d = diagnostic(*masks_and_cells(np.where(values > 0, 0.0, np.log(4)), values))
    assert d["nonzero_share"] < d["base_rate"] / 2
    assert verdict(d).sentence.startswith("Masks prefer zeros and pick no gene beyond that:")


def test_masks_uneven_within_cells_alone(values: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(size=values.shape)
    d = diagnostic(*masks_and_cells(noise, values))
    assert d["effective_share"] < 0.7
    assert verdict(d).sentence.startswith("Masks are uneven within a cell")


def test_strata_basis_does_not_judge_the_share_that_it_fixes(values: np.ndarray) -> None:
    """scFoundation's 0.30 of the non-zeros and 0.03 of the zeros, uniform within each."""
    rng = np.random.default_rng(0)
    masks = rng.random(values.shape) < np.where(values > 0, 0.3, 0.03)
    frame = count_masks(masks, values, np.arange(values.shape[1]).astype(str))
    frame = frame.assign(arm="uniform", fold=-1, by="all", level="")
    row = count_cells(masks, values, np.zeros_like(values))
    cells = pd.DataFrame([row | {"arm": "uniform", "fold": 0, "epoch": 1}])
    strata = verdict(diagnostic(frame, cells, basis="strata"))
    assert strata.sentence.startswith(
        "Masks are indistinguishable from uniform within zeros and within non-zeros:"
    )
    assert verdict(diagnostic(frame, cells, basis="all")).sentence.startswith("Masks prefer non-zeros")


def test_the_analytic_null_is_calibrated_by_simulation(values: np.ndarray) -> None:
    """Uniform draws, repeated: the excess over the null has mean 0 and, in its own standard errors, SD 1."""
    rng = np.random.default_rng(1)
    small = values[:150, :120]
    genes = np.arange(120).astype(str)
    z, counts = [], []
    for _ in range(300):
        frame = count_masks(draw_masks(np.zeros_like(small), 36, rng), small, genes)
        frame = frame.assign(arm="uniform", fold=-1, by="all", level="")
        z.append(spreads(frame.assign(seed=0))["spread_z"])
        counts.append(frame["masked"] - frame["expected"])
    assert np.mean(z) == pytest.approx(0, abs=0.2)
    assert np.std(z) == pytest.approx(1, abs=0.2)
    simulated = np.var(counts, axis=0)
    assert np.mean(simulated) == pytest.approx(frame["variance"].mean(), rel=0.05)


def test_the_spread_recovers_a_known_one(values: np.ndarray) -> None:
    """Genes whose frequencies vary by a known little: the estimate is that, noise removed."""
    rng = np.random.default_rng(2)
    effect = rng.normal(0, 0.15, values.shape[1])
    p = 0.3 * np.exp(effect) / np.exp(effect).mean()
    masks = rng.random(values.shape) < p
    frame = count_masks(masks, values, np.arange(len(p)).astype(str)).assign(
        arm="a", fold=-1, by="all", level=""
    )
    cells = pd.DataFrame(columns=["arm", "fold", "epoch", "cells", "effective_share"])
    d = diagnostic(frame, cells)
    assert d["spread"] == pytest.approx(p.std(), rel=0.05)
    assert d["residual_sd"] == pytest.approx(0.15, rel=0.1)
    assert d["residual_share"] > 0.9


def test_value_leak_equals_the_analysis_of_variance(values: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random(values.shape) < np.where(values > 0, 0.5, 0.2)
    frame = count_masks(masks, values, np.arange(values.shape[1]).astype(str))
    within, between = 0.0, 0.0
    for g in range(values.shape[1]):
        v, m = values[:, g], masks[:, g]
        within += ((v - v.mean()) ** 2).sum()
        between += sum(part.sum() * (v[part].mean() - v.mean()) ** 2 for part in (m, ~m))
    assert value_leak(frame) == pytest.approx(between / within, abs=2e-3)
    assert value_leak(frame) > 0.02


def test_effective_share_is_weighted_by_cells_and_the_last_epoch_stands_apart(values: np.ndarray) -> None:
    frame, cells = masks_and_cells(np.zeros_like(values), values)
    cells = pd.concat([cells.assign(epoch=1, effective_share=1.0, cells=300),
                       cells.assign(epoch=2, effective_share=0.6, cells=100)])  # fmt: skip
    d = diagnostic(frame, cells)
    assert d["effective_share"] == pytest.approx(0.9)
    assert d["effective_share_last_epoch"] == pytest.approx(0.6)


def test_the_basis_of_a_run() -> None:
    assert mask_basis({"mask_basis": "all"}) == "all"
    assert mask_basis({"pretrain": {"mask_basis": "all", "epochs": 1}}) == "all"
    for preset in PRESETS:
        expected = pretrain_config(preset).mask_basis
        assert mask_basis({"pretrain": {"preset": preset}}) == mask_basis({"preset": preset}) == expected
    assert mask_basis({"pretrain": {}}) == PretrainConfig().mask_basis


def test_clearly_guided_takes_every_condition(values: np.ndarray) -> None:
    uniform = diagnostic(*masks_and_cells(np.zeros_like(values), values, seeds=3), start=untrained(values))
    assert clearly_guided(uniform).startswith("Not clearly guided: not proven, effective share 1.00")
    laws = [guided(values, choice=seed) for seed in (7, 8, 9)]
    chance = diagnostic(*masks_and_cells(laws, values), start=untrained(values))
    assert clearly_guided(chance).startswith("Not clearly guided: not proven")
    law = guided(values, genes=150, times=20)
    d = diagnostic(*masks_and_cells(law, values, seeds=3), start=untrained(values))
    assert "agreement between donors unknown" in clearly_guided(d)
    assert clearly_guided(d | {"agreement_between_donors": 0.6, "effective_share": 0.7}) == "Clearly guided"

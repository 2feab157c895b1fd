"""Agreement between seeds and lift over seeds, on residuals drawn from a known truth."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from sgm_core.analysis.agreement import agreement
from sgm_core.analysis.lift import lift_over_models, moderated_variance
from sgm_core.analysis.mask_models import ModelResiduals, two_seeds
from sgm_core.analysis.masks import preference
from sgm_core.analysis.verdict import comes_back

GENES = 400


def drawn(
    rng: np.random.Generator,
    seeds: int = 3,
    folds: int = 1,
    shared: float = 0.0,
    own: float = 0.2,
    donors: float = 0.0,
    genes: int = GENES,
    programmes: int | None = None,
) -> tuple[ModelResiduals, np.ndarray]:
    """Draw residuals of models; returns them and what all seeds share.

    Parameters
    ----------
    shared, own, donors
        SD over genes of what all models, all models of one seed, and all of one fold prefer.
    programmes
        Let the own preferences move so many groups of genes together, instead of each gene by itself.
    """
    noise = rng.uniform(0.02, 0.2, genes)
    truth = rng.normal(0, shared, genes)

    def preference(sd: float) -> np.ndarray:
        if programmes is None:
            return rng.normal(0, sd, genes)
        return rng.normal(0, sd, programmes)[np.arange(genes) % programmes]

    of_seed = [preference(own) for _ in range(seeds)]
    of_fold = [rng.normal(0, donors, genes) for _ in range(folds)]
    columns = [truth + s + f + rng.normal(0, noise) for s in of_seed for f in of_fold]
    variance = np.repeat((noise**2)[:, None], len(columns), axis=1)
    names = np.array([f"G{i}" for i in range(genes)])
    which = np.repeat(np.arange(seeds), folds), np.tile(np.arange(folds), seeds)
    return ModelResiduals(names, *which, np.column_stack(columns), variance), truth


def judged(models: ModelResiduals) -> str:
    return comes_back(agreement(models) | {"start": None})


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("programmes", [None, 20])
def test_own_preferences_are_seldom_taken_for_shared_ones(seeds: int, programmes: int | None) -> None:
    """Type I: no gene is preferred by all seeds, though each seed prefers genes strongly."""
    rng = np.random.default_rng(seeds)
    words, above, named = [], [], []
    for _ in range(150):
        models, _ = drawn(rng, seeds, own=0.3, programmes=programmes)
        words.append(judged(models))
        lift = lift_over_models(models)
        above.append((lift["lift_low"] > 1).mean())
        named.append((preference(lift) != "equal").any())
    if seeds > 2 or programmes is None:  # two seeds are never proof: see `verdict`
        assert words.count("proven") <= 0.05 * len(words)
    assert words.count("chance") > 0.5 * len(words)
    assert np.mean(above) < 0.025
    assert np.mean(named) < 0.1, "and hardly ever is one of hundreds of genes named"


def test_a_shared_preference_is_found_with_its_size() -> None:
    rng = np.random.default_rng(0)
    found = [agreement(drawn(rng, shared=0.2, own=0.2)[0]) for _ in range(100)]
    assert np.mean([d["reproducible_sd"] for d in found]) == pytest.approx(0.2, rel=0.05)
    assert np.mean([d["own_sd"] for d in found]) == pytest.approx(0.2, rel=0.1)
    covered = [d["reproducible_sd_low"] <= 0.2 <= d["reproducible_sd_high"] for d in found]
    assert np.mean(covered) > 0.9
    assert sum(comes_back(d | {"start": None}) == "proven" for d in found) > 90


def test_rank_agreement_is_the_mean_over_pairs_of_seeds_and_never_within_a_seed() -> None:
    models, _ = drawn(np.random.default_rng(1), seeds=3, folds=2, shared=0.1, own=0.5)
    r = np.array(spearmanr(models.residual).statistic)
    pairs = [(a, b) for a in range(6) for b in range(a) if models.seeds[a] != models.seeds[b]]
    same = [r[p] for p in pairs if models.folds[p[0]] == models.folds[p[1]]]
    other = [r[p] for p in pairs if models.folds[p[0]] != models.folds[p[1]]]
    d = agreement(models)
    assert (len(same), len(other)) == (6, 6)
    assert d["agreement_between_seeds"] == pytest.approx(np.mean(same))
    assert d["agreement_between_donors"] == pytest.approx(np.mean(other))
    within = [r[2 * s, 2 * s + 1] for s in range(3)]
    assert min(within) > 0.8, "one seed's folds agree through its random weights"
    assert d["agreement_between_donors"] < 0.2


def test_what_donors_alone_bring_is_no_agreement_between_donors() -> None:
    models, _ = drawn(np.random.default_rng(2), seeds=3, folds=3, own=0.1, donors=0.3)
    d = agreement(models)
    assert d["agreement_between_seeds"] > 0.6
    assert d["agreement_between_donors"] < 0.1
    assert d["donors_shared"] == 0.5
    assert (lift_over_models(models)["lift_low"] > 1).mean() < 0.05


def test_the_top_genes_of_two_seeds_against_chance() -> None:
    rng = np.random.default_rng(3)
    chance = [agreement(drawn(rng, seeds=2, genes=1000)[0]) for _ in range(60)]
    assert chance[0]["shared_top_chance"] == 2.5
    assert np.mean([d["shared_top"] for d in chance]) == pytest.approx(2.5, abs=0.8)
    assert agreement(drawn(rng, seeds=2, shared=1.0, own=0.05, genes=1000)[0])["shared_top"] > 40


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_lift_intervals_cover_what_all_seeds_share(seeds: int) -> None:
    """Also where each seed adds a preference of its own, which one model's draws would miss."""
    rng = np.random.default_rng(seeds)
    covered, ratio = [], []
    for _ in range(40):
        models, truth = drawn(rng, seeds, shared=0.25, own=0.25)
        table = lift_over_models(models)
        covered.append(((table["lift_low"] <= np.exp(truth)) & (np.exp(truth) <= table["lift_high"])).mean())
        ratio.append(np.corrcoef(np.log(table["lift"]), truth)[0, 1])
    assert 0.93 < np.mean(covered) < 0.985
    assert np.mean(ratio) > 0.7


def test_variances_of_three_values_are_moderated_towards_all_genes() -> None:
    rng = np.random.default_rng(4)
    noise = rng.uniform(0.001, 0.01, 5000)
    alike = rng.normal(0, np.sqrt(noise + 0.04), (3, 5000)).var(axis=0, ddof=1)
    posterior, freedom = moderated_variance(alike, 2, noise)
    assert freedom > 30
    assert np.median(posterior / (noise + 0.04)) == pytest.approx(1, rel=0.1)
    spread = 0.04 * 4 / rng.chisquare(4, 5000)  # a prior of four degrees of freedom
    unlike = rng.normal(0, np.sqrt(spread), (3, 5000)).var(axis=0, ddof=1)
    posterior, freedom = moderated_variance(unlike, 2, np.full(5000, 1e-6))
    assert freedom - 2 == pytest.approx(4, rel=0.3)
    error = np.log(posterior / spread)
    assert error.std() < np.log(unlike / spread).std() / 1.5


def test_one_seed_has_nothing_to_agree_with() -> None:
    models, _ = drawn(np.random.default_rng(5), seeds=1, folds=3)
    d = agreement(models)
    assert (d["seeds"], d["folds"]) == (1, 3)
    assert np.isnan([d["agreement_between_seeds"], d["agreement_between_donors"], d["reproducible_sd"]]).all()
    assert lift_over_models(models)[["lift_low", "lift_high"]].isna().all(axis=None)
    assert two_seeds(models) is None


def test_a_gene_that_some_models_lack_is_left_out_of_what_needs_all() -> None:
    models, _ = drawn(np.random.default_rng(6), shared=0.3)
    models.residual[0, 1] = np.nan
    assert np.isfinite(agreement(models)["agreement_between_seeds"])
    table = lift_over_models(models)
    assert np.isnan(table["lift"].iloc[0])
    assert table["lift_low"].iloc[1:].notna().all()
    assert len(two_seeds(models)) == GENES - 1 == len(models.known().genes)


def test_the_pair_of_other_donors_has_another_seed_and_another_fold() -> None:
    models, _ = drawn(np.random.default_rng(7), seeds=2, folds=2, shared=0.3)
    same, other = two_seeds(models), two_seeds(models, same_donors=False)
    assert (same.attrs["seeds"], len(set(same.attrs["folds"]))) == ((0, 1), 1)
    assert (other.attrs["seeds"], len(set(other.attrs["folds"]))) == ((0, 1), 2)
    assert two_seeds(drawn(np.random.default_rng(8), seeds=2)[0], same_donors=False) is None

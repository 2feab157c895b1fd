import numpy as np
from scipy.special import softmax
from sklearn.metrics import log_loss

from sgm_core.analysis.chance import chance
from sgm_core.annotation.calibration import cross_fitted, fit_temperature, probabilities
from sgm_core.annotation.unknown import Judged, rarity_of, threshold


def drawn(n: int = 2500, hot: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `hot` times too sure of themselves, and classes drawn by the honest ones."""
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(n, 4)) * 1.5
    codes = (softmax(honest, 1).cumsum(1) > rng.random((n, 1))).argmax(1)
    return honest * hot, codes


def test_the_temperature_is_that_of_a_search_over_a_grid() -> None:
    logits, codes = drawn()
    grid = np.linspace(2, 4, 101)
    best = grid[np.argmin([log_loss(codes, softmax(logits / t, 1)) for t in grid])]
    found = fit_temperature(logits, codes)
    assert abs(found - best) < 0.02
    assert abs(found - 3) < 0.4  # what it was drawn with


def test_a_fold_is_scored_at_the_temperature_of_the_others() -> None:
    logits, codes = drawn(900)
    folds = np.arange(900) % 3
    fair = cross_fitted(logits, codes, folds)
    others = folds != 1
    t = fit_temperature(logits[others], codes[others])
    assert np.allclose(fair[folds == 1], probabilities(logits[folds == 1], t))
    changed = np.where(folds == 1, (codes + 1) % 4, codes)  # its own classes change nothing of its own
    assert np.allclose(cross_fitted(logits, changed, folds)[folds == 1], fair[folds == 1])


def test_the_threshold_lets_the_stated_share_be_unknown() -> None:
    rng = np.random.default_rng(1)
    known = Judged(rng.lognormal(size=5000), rng.random(5000), rng.integers(3, size=5000))
    fresh = Judged(rng.lognormal(size=5000), rng.random(5000), rng.integers(3, size=5000))
    for weight in (0.0, 0.5, 1.0):
        rarity = rarity_of(known, 3, weight)
        least = threshold(rarity.score(known)[0], 0.05)
        assert (rarity.score(known)[0] < least).mean() <= 0.05
        assert abs((rarity.score(fresh)[0] < least).mean() - 0.05) < 0.015


def test_shares_are_conformal_p_values() -> None:
    rng = np.random.default_rng(2)
    known = Judged(rng.lognormal(size=200), rng.random(200), np.zeros(200, int))
    rarity = rarity_of(known, 1)
    far, unlikely = rarity.shares(Judged(np.array([1.3]), np.array([0.4]), np.array([0])))
    assert np.isclose(far[0], (1 + (known.distance >= 1.3).sum()) / 201)
    assert np.isclose(unlikely[0], (1 + (known.confidence <= 0.4).sum()) / 201)
    score, by_distance = rarity.score(Judged(np.array([1.3]), np.array([0.4]), np.array([0])))
    assert np.isclose(score[0], 2 * min(far[0], unlikely[0])) and by_distance[0] == (far[0] <= unlikely[0])


def test_distance_is_judged_by_the_class_named() -> None:
    rng = np.random.default_rng(4)
    best = np.repeat([0, 1], 500)
    known = Judged(rng.lognormal(0, 0.2, 1000) * np.where(best, 10, 1), np.full(1000, 0.5), best)
    rarity = rarity_of(known, 2, 1.0)
    unknown = rarity.score(known)[0] < threshold(rarity.score(known)[0], 0.05)
    assert abs(unknown[best == 1].mean() - 0.05) < 0.03 and abs(unknown[best == 0].mean() - 0.05) < 0.03
    score, _ = rarity.score(Judged(np.array([10.0, 10.0]), np.array([0.5, 0.5]), np.array([0, 1])))
    assert score[0] < 0.01 < 0.2 < score[1]


def test_chance_knows_a_donor_is_no_cell() -> None:
    rng = np.random.default_rng(5)
    donors = np.repeat(np.arange(10), 60)
    true = np.where(rng.random(600) < 0.8, donors % 2, 1 - donors % 2)
    assert not chance(true, donors % 2, donors).useful  # right for 80 % of the cells, and knows no cell
    assert chance(true, np.where(rng.random(600) < 0.9, true, 1 - true), donors).useful
    assert not chance(true, rng.integers(2, size=600), donors).useful

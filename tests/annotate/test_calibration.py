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
    known, fresh = (Judged(rng.lognormal(size=5000), rng.normal(size=5000)) for _ in range(2))
    for weight in (0.0, 0.5, 1.0):
        rarity = rarity_of(known, weight)
        least = threshold(rarity.score(known)[0], 0.05)
        assert (rarity.score(known)[0] < least).mean() <= 0.05
        assert abs((rarity.score(fresh)[0] < least).mean() - 0.05) < 0.015


def test_shares_are_conformal_p_values() -> None:
    rng = np.random.default_rng(2)
    known, one = (
        Judged(rng.lognormal(size=200), rng.normal(size=200)),
        Judged(np.array([1.3]), np.array([0.4])),
    )
    far, unlikely = rarity_of(known).shares(one)
    assert np.isclose(far[0], (1 + (known.distance >= 1.3).sum()) / 201)
    assert np.isclose(unlikely[0], (1 + (known.evidence <= 0.4).sum()) / 201)
    for weight, wanted in ((0.5, np.sqrt(far * unlikely)), (0.25, far**0.25 * unlikely**0.75), (1, far)):
        score, by_distance = rarity_of(known, weight).score(one)
        assert np.isclose(score, wanted)
        assert by_distance[0] == (far[0] ** weight < unlikely[0] ** (1 - weight))


def test_odd_in_both_is_less_known_than_in_one() -> None:
    """Known cells are odd in one of them by chance; the least of both shares told the two no better."""
    rng = np.random.default_rng(4)
    rarity = rarity_of(Judged(rng.normal(size=2000), rng.normal(size=2000)))
    both, one, extreme = rarity.score(Judged(np.array([1.5, 1.7, 9.0]), np.array([-1.5, 0.5, 0.5])))[0]
    assert extreme < both < one


def test_chance_knows_a_donor_is_no_cell() -> None:
    rng = np.random.default_rng(5)
    donors = np.repeat(np.arange(10), 60)
    true = np.where(rng.random(600) < 0.8, donors % 2, 1 - donors % 2)
    assert not chance(true, donors % 2, donors).useful  # right for 80 % of the cells, and knows no cell
    assert chance(true, np.where(rng.random(600) < 0.9, true, 1 - true), donors).useful
    assert not chance(true, rng.integers(2, size=600), donors).useful

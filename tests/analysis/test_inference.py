"""The test over folds: its power is what it says, and Holm's correction is Holm's."""

import numpy as np
import pytest
from scipy import stats

from sgm_core.analysis.inference import detectable_difference, holm, p_value, standard_error, t_edge


def correlated(rng: np.random.Generator, sd: float, ratio: float, k: int, n: int) -> np.ndarray:
    """Draw n times k fold differences of true mean 0, correlated as Nadeau and Bengio assume."""
    rho = ratio / (1 + ratio)
    return sd * (np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, k)))


@pytest.mark.parametrize(("k", "level"), [(5, 0.05), (5, 0.05 / 12), (3, 0.05), (10, 0.05)])
def test_the_detectable_difference_is_found_four_times_in_five(k: int, level: float) -> None:
    ratio, sd, n = 0.25, 0.03, 2000
    draws = correlated(np.random.default_rng(0), sd, ratio, k, n)
    # the expected sample SD of such folds, from which the true standard error follows
    error = standard_error(sd * np.sqrt(1 / (1 + ratio)), k, ratio)
    planted = detectable_difference(error, k, level)

    def found(shift: float) -> float:
        means, sds = (draws + shift).mean(1), draws.std(1, ddof=1)
        return float(
            np.mean([p_value(m, standard_error(s, k, ratio), k) < level for m, s in zip(means, sds)])
        )

    assert found(planted) == pytest.approx(0.8, abs=0.03)
    # the half-width of the interval, which used to be told as what could be seen, is found far less often
    assert found(t_edge(k, level) * error) < 0.65
    assert found(0) <= level + 3 * np.sqrt(level / n)


def test_p_and_interval_agree() -> None:
    error = standard_error(0.03, 5, 0.25)
    assert p_value(t_edge(5) * error, error, 5) == pytest.approx(0.05)
    assert p_value(-0.02, error, 5) == pytest.approx(2 * stats.t.cdf(-0.02 / error, 4))


def test_what_has_no_spread_or_one_fold() -> None:
    assert p_value(0.1, 0.0, 5) == 0
    assert p_value(0.0, 0.0, 5) == 1
    assert np.isnan([p_value(0.1, 0.1, 1), t_edge(1), detectable_difference(0.1, 1)]).all()


def test_holm_equals_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        p = rng.uniform(size=n) ** 3
        np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1])
    assert holm(np.array([])).size == 0


def test_holm_of_a_worked_example() -> None:
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.04, 0.005])), [0.06, 0.03, 0.06, 0.02])

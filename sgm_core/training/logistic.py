"""Logistic regression on standardised vectors: baselines, the linear probe, the start of a linear head."""

import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sgm_core.model.head import CLIP
from sgm_core.training.validation import validation_score

STRENGTHS = (0.0003, 0.001, 0.003, 0.01)
"""Inverse strengths of the penalty on vectors of thousands of numbers that validation donors choose from."""
FEW_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""The same on a few labelled cells: the penalty is weighed against the sum of their losses."""
FEW = 2000
"""Labelled cells below which `FEW_STRENGTHS` hold."""
_BLOCK = 4096


class Scale(NamedTuple):
    """Mean and spread of each number of a vector (P,), float32."""

    mean: np.ndarray
    spread: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Scale the vectors (n, P) in place, and clip them."""
        x -= self.mean
        x /= self.spread
        return np.clip(x, -CLIP, CLIP, out=x)


def scale_of(x: np.ndarray) -> Scale:
    """Return the scale of the vectors (n, P)."""
    mean = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros(x.shape[1])
    for start in range(0, len(x), _BLOCK):
        squares += np.square(x[start : start + _BLOCK] - mean).sum(axis=0)
    spread = np.sqrt(squares / len(x))
    spread[spread == 0] = 1
    return Scale(mean.astype(np.float32), spread.astype(np.float32))


class Linear(NamedTuple):
    """A fitted linear classifier: `weight` (C, P), `bias` (C,), and the penalty's inverse strength."""

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def classify(self, x: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, C) of the vectors (n, P)."""
        logits = x @ self.weight.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return odds / odds.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def logistic_path(
    x: np.ndarray, codes: np.ndarray, strengths: Iterable[float], seed: int
) -> Iterator[Linear]:
    """Fit class-balanced multinomial logistic regressions, from the strongest penalty on.

    Parameters
    ----------
    x : (n, P) standardised
    codes : (n,) class numbers 0..C-1, each of which occurs
    strengths : inverse strengths of the penalty
    seed : for a uniform call; the solver is deterministic
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # each starts from the one before: the same optimum in a fraction of the steps
    model = LogisticRegression(max_iter=200, class_weight="balanced", random_state=seed, warm_start=True)
    for strength in sorted(strengths):
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # 200 steps are part of the definition
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, codes)
        weight, bias = model.coef_.copy(), model.intercept_.copy()
        if len(bias) == 1:  # two classes have one logit, of the second
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        yield Linear(weight, bias, strength)


def choose_logistic(
    train: np.ndarray, codes: np.ndarray, validation: np.ndarray, validation_codes: np.ndarray, seed: int
) -> Linear:
    """Fit logistic regressions of several penalties; the validation cells choose.

    Parameters
    ----------
    train, codes : (n, P) standardised vectors and class numbers 0..C-1, each of which occurs
    validation, validation_codes : the same of the validation cells; without any, it is the middle strength
    seed : for a uniform call
    """
    strengths = FEW_STRENGTHS if len(train) < FEW else STRENGTHS
    if not len(validation):
        return next(logistic_path(train, codes, strengths[len(strengths) // 2 :][:1], seed))
    path = logistic_path(train, codes, strengths, seed)
    # of equal ones the first: the stronger penalty
    return max(path, key=lambda fitted: validation_score(validation_codes, fitted.classify(validation)))

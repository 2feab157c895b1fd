"""The score by which validation donors choose."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from sgm_core.training.validation import validation_score


def test_the_score_is_macro_f1_over_the_classes_that_the_cells_have() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 60)  # of class 3 there is no cell
    probabilities = rng.dirichlet(np.ones(4), 60).astype(np.float32)
    f1, minus_loss = validation_score(codes, probabilities)
    predicted = probabilities.argmax(1)
    assert f1 == pytest.approx(f1_score(codes, predicted, labels=[0, 1, 2], average="macro"))
    assert -minus_loss == pytest.approx(log_loss(codes, probabilities, labels=range(4)), rel=1e-5)


def test_a_tie_goes_to_the_smaller_loss_and_what_is_not_finite_loses() -> None:
    codes = np.array([0, 1])
    sure, unsure = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    assert validation_score(codes, sure)[0] == validation_score(codes, unsure)[0] == 1
    assert validation_score(codes, sure) > validation_score(codes, unsure)
    wrong = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.isfinite(validation_score(codes, wrong)).all(), "a probability of zero is dear, not infinite"
    assert validation_score(codes, np.full((2, 2), np.nan)) < validation_score(codes, wrong)

"""Sentences, tables and figures call an arm by one name."""

import pytest

from sgm_core.analysis.arm_names import ARM_NAMES, arm_in_sentence, arm_name
from sgm_core.comparison.baselines import BASELINES
from sgm_core.comparison.config import ARMS
from sgm_core.figures import palette


def test_every_arm_and_baseline_has_a_name_and_a_colour():
    known = {*ARMS, *BASELINES}
    assert set(ARM_NAMES) <= known and set(palette.ARMS) == known
    for arm in known:  # a strategy without a name of its own has one made of words
        assert arm_name(arm)[0].isupper()


@pytest.mark.parametrize(
    ("arm", "name", "in_sentence"),
    [
        ("hvg-logistic", "Variable genes + logistic regression", "variable genes + logistic regression"),
        ("pca-knn", "PCA + kNN", "PCA + kNN"),
        ("my-arm", "my-arm", "my-arm"),
    ],
)
def test_a_name_begins_small_inside_a_sentence(arm: str, name: str, in_sentence: str):
    assert (arm_name(arm), arm_in_sentence(arm)) == (name, in_sentence)

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from sgm_core.analysis.metrics import (
    confusion,
    donor_bootstrap,
    expected_calibration_error,
    per_class,
    per_donor,
    score_predictions,
)

CLASSES = np.array(["B", "HSC", "NK", "T", "pDC"])


@pytest.fixture
def cells() -> pd.DataFrame:
    """Two folds of one arm and a worse second arm; pDC isn't scored, NK isn't in fold 1."""
    rng = np.random.default_rng(0)
    n = 300
    true = rng.choice(CLASSES, n, p=[0.3, 0.25, 0.15, 0.2, 0.1])
    fold = np.arange(n) % 2
    true[(fold == 1) & (true == "NK")] = "B"
    frames = []
    for arm, accuracy in (("self-guided", 0.8), ("uniform", 0.5)):
        predicted = np.where(rng.random(n) < accuracy, true, rng.choice(CLASSES, n))
        frames.append(
            pd.DataFrame(
                {"cell": np.arange(n), "fold": fold, "arm": arm, "scheme": "partial", "seed": 0}
            ).assign(true=true, predicted=predicted, confidence=rng.uniform(0.3, 1, n), scored=true != "pDC")
        )
    return pd.concat(frames, ignore_index=True)


def test_scores_equal_sklearn_over_the_scored_classes_present(cells: pd.DataFrame) -> None:
    one = cells[(cells["arm"] == "self-guided") & (cells["fold"] == 1)]
    scores = score_predictions(one["true"], one["predicted"], one["confidence"], ["B", "HSC", "NK", "T"])
    kept = one[one["true"] != "pDC"]
    present = ["B", "HSC", "T"]
    assert scores["classes_scored"] == 3
    for average in ("macro", "weighted"):
        expected = f1_score(kept["true"], kept["predicted"], labels=present, average=average)
        assert scores[f"{average}_f1"] == pytest.approx(expected, abs=1e-12)
    assert scores["micro_f1"] == pytest.approx(f1_score(kept["true"], kept["predicted"], average="micro"))


def test_a_prediction_outside_the_scored_classes_is_an_error() -> None:
    scores = score_predictions(["B", "B", "T", "T"], ["B", "pDC", "T", "T"], [1.0] * 4, ["B", "T"])
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["micro_f1"] == 0.75


def test_a_fold_without_scored_cells_has_no_score() -> None:
    scores = score_predictions(["pDC", None], ["B", "B"], [0.5, 0.5], ["B"])
    assert scores["classes_scored"] == 0
    assert np.isnan(scores["macro_f1"])


def test_calibration_error_closed_forms() -> None:
    right = np.array([True, True, True, False])
    assert expected_calibration_error(right, np.full(4, 0.75)) == pytest.approx(0)
    assert expected_calibration_error(right, np.ones(4)) == pytest.approx(0.25)
    # two bins: confidence 0.9 with accuracy 1, confidence 0.3 with accuracy 1/2
    assert expected_calibration_error(right, np.array([0.9, 0.9, 0.3, 0.3])) == pytest.approx((0.2 + 0.4) / 4)


def test_per_class_equals_sklearn_pooled_and_per_fold(cells: pd.DataFrame) -> None:
    table = per_class(cells)
    for fold, part in [(-1, cells), (0, cells[cells["fold"] == 0]), (1, cells[cells["fold"] == 1])]:
        kept = part[(part["arm"] == "uniform") & part["scored"]]
        rows = table[(table["arm"] == "uniform") & (table["fold"] == fold) & table["scored"]]
        expected = precision_recall_fscore_support(
            kept["true"], kept["predicted"], labels=rows["cell_type"].tolist(), zero_division=0
        )
        for column, values in zip(("precision", "recall", "f1", "support"), expected):
            np.testing.assert_allclose(rows[column], values, atol=1e-12)
    pooled = table[(table["fold"] == -1) & (table["arm"] == "uniform")]
    assert pooled.loc[~pooled["scored"], "cell_type"].tolist() == ["pDC"]


def test_seeds_are_averaged_not_added(cells: pd.DataFrame) -> None:
    twice = pd.concat([cells, cells.assign(seed=1)])
    pd.testing.assert_frame_equal(per_class(twice), per_class(cells))
    donors = np.array([f"D{i % 7}" for i in range(300)])
    pd.testing.assert_frame_equal(per_donor(twice, donors), per_donor(cells, donors))


def test_per_donor(cells: pd.DataFrame) -> None:
    donors = np.array([f"D{i % 7}" for i in range(300)])
    table = per_donor(cells, donors)
    kept = cells[cells["scored"] & (cells["arm"] == "uniform")]
    kept = kept[donors[kept["cell"]] == "D3"]
    row = table[(table["arm"] == "uniform") & (table["donor"] == "D3")].iloc[0]
    labels = sorted(kept["true"].unique())
    assert row["n_cells"] == len(kept)
    assert row["accuracy"] == pytest.approx((kept["true"] == kept["predicted"]).mean())
    expected = f1_score(kept["true"], kept["predicted"], labels=labels, average="macro")
    assert row["macro_f1"] == pytest.approx(expected)


def test_confusion_equals_sklearn(cells: pd.DataFrame) -> None:
    table = confusion(cells, "uniform", "partial", fold=0)
    kept = cells[(cells["arm"] == "uniform") & (cells["fold"] == 0)]
    expected = confusion_matrix(kept["true"], kept["predicted"], labels=CLASSES)
    np.testing.assert_array_equal(table.reindex(index=CLASSES, columns=CLASSES, fill_value=0), expected)


def test_bootstrap_over_donors(cells: pd.DataFrame) -> None:
    donors = np.array([f"D{i % 7}" for i in range(300)])
    result = donor_bootstrap(cells, donors, ("self-guided", "partial"), n=500)
    kept = cells[cells["scored"] & (cells["arm"] == "self-guided")]
    labels = sorted(kept["true"].unique())
    expected = f1_score(kept["true"], kept["predicted"], labels=labels, average="macro")
    assert result["value"] == pytest.approx(expected)
    assert result["low"] < result["value"] < result["high"]
    assert result["n_donors"] == 7

    # one resample by hand: cells of donor d repeated as often as d was drawn
    weights = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), size=1)[0]
    repeats = weights[[int(d[1:]) for d in donors[kept["cell"]]]]
    again = kept.loc[kept.index.repeat(repeats)]
    labels = sorted(again["true"].unique())
    expected = f1_score(again["true"], again["predicted"], labels=labels, average="macro")
    single = donor_bootstrap(cells, donors, ("self-guided", "partial"), n=1)
    assert single["low"] == pytest.approx(expected)


def test_bootstrap_of_a_difference_uses_the_same_draws(cells: pd.DataFrame) -> None:
    donors = np.array([f"D{i % 7}" for i in range(300)])
    a, b = ("self-guided", "partial"), ("uniform", "partial")
    same = donor_bootstrap(cells, donors, a, a, n=100)
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert donor_bootstrap(cells, donors, a, b, n=500)["low"] > 0

"""Heads that read the genes beside the model: logistic regression, and finetuning that starts from it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.progress import Observer
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import finetune_config, pretrain_config
from sgm_core.training.label_draws import label_draws
from sgm_core.training.labelled import LabelledFold, labelled_fold, name_cells
from sgm_core.training.logistic import FEW_STRENGTHS, choose_logistic, logistic_path, scale_of
from sgm_core.training.pooling import Pooled, pooled_of
from sgm_core.training.pretrain import pretrain_cells
from sgm_core.training.start import Start, initial_state
from sgm_core.training.validation import validation_score


@pytest.fixture(params=["dense", "tiny"])
def made(request: pytest.FixtureRequest, demo_dataset: Dataset) -> tuple[Start, LabelledFold, Pooled]:
    """An untrained model of a backbone, the cells of a fold, and their vectors."""
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    small = pretrain_config(
        data=demo_dataset.name, backbone=request.param, n_genes=80, variable_genes=0, device="cpu"
    )
    start = initial_state(demo_dataset, small, pretrain_cells(demo_dataset, fold)[0], torch.device("cpu"))
    part = labelled_fold(demo_dataset, fold, None, 400, 0)
    return start, part, pooled_of(start.model, start.values, part.encoded)


def test_the_vector_ends_with_the_genes(made: tuple[Start, LabelledFold, Pooled]) -> None:
    start, part, pooled = made
    x = start.values.batch(part.test).numpy()
    assert np.array_equal(pooled.of(part.test)[:, -x.shape[1] :], x)
    assert pooled.vectors.shape[1] == start.model.backbone.config.pooled_width


def test_the_probe_is_logistic_regression(made: tuple[Start, LabelledFold, Pooled]) -> None:
    """Standardised by the training cells, balanced, its penalty chosen by the validation cells alone."""
    start, part, pooled = made
    config = finetune_config(scheme="linear-probe", device="cpu")
    got, chosen = name_cells(start.model, start.values, part, config, pooled, Observer())
    rows, codes = part.once
    x = pooled.of(rows)
    mean, spread = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    train, validation, test = (
        ((pooled.of(cells) - mean) / spread).clip(-10, 10) for cells in (rows, part.validation, part.test)
    )
    best = (-1.0, -np.inf)
    for strength in FEW_STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(train, codes)
        score = validation_score(part.validation_codes, model.predict_proba(validation))
        if score > best:
            best, said, expected = score, f"C {strength:g}", model.predict_proba(test)
    # the solver ends after 200 steps, whose last change little
    assert chosen == said and (got.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_two_classes_have_two_logits() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 2
    x = (rng.normal(size=(60, 5)) + codes[:, None]).astype(np.float32)
    fitted = next(logistic_path(x, codes, [0.1], 0))
    model = LogisticRegression(C=0.1, class_weight="balanced").fit(x, codes)
    assert fitted.classify(x) == pytest.approx(model.predict_proba(x), abs=1e-5)
    assert choose_logistic(x, codes, x[:0], codes[:0], 0).strength == FEW_STRENGTHS[2]


def test_finetuning_starts_from_the_probe(made: tuple[Start, LabelledFold, Pooled]) -> None:
    """At a rate of nearly nothing it says what the probe says, given its vectors or not."""
    start, part, pooled = made
    config = finetune_config(scheme="partial", lr=1e-12, epochs=1, device="cpu")
    probe = replace(config, scheme="linear-probe")
    expected, _ = name_cells(start.model, start.values, part, probe, pooled, Observer())
    model = copy.deepcopy(start.model)
    got, chosen = name_cells(model, start.values, part, config, pooled, Observer())
    assert np.abs(got - expected).max() < 1e-4 and "epoch" in chosen
    head = (part.cells, part.codes, part.validation, part.validation_codes, part.test, len(part.classes))
    alone, _ = train_classifier(copy.deepcopy(start.model), start.values, *head, config)
    assert (alone.argmax(1) == got.argmax(1)).mean() > 0.9, "the same but for the cells of its first epoch"


def test_finetuning_is_no_worse_than_the_probe_on_the_cells_that_choose(
    made: tuple[Start, LabelledFold, Pooled],
) -> None:
    start, part, pooled = made
    chosen_by = replace(part, test=part.validation)
    config = finetune_config(scheme="partial", lr=0.3, epochs=1, device="cpu")  # a rate that ruins it
    scores = []
    for one in (replace(config, scheme="linear-probe"), config):
        model = copy.deepcopy(start.model)
        made_of, chosen = name_cells(model, start.values, chosen_by, one, pooled, Observer())
        scores.append(validation_score(part.validation_codes, made_of)[0])
    assert scores[1] >= scores[0] and chosen == "no epoch: the linear probe it started from"


def test_few_labels_are_scaled_by_all_training_cells(demo_dataset: Dataset) -> None:
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    whole = labelled_fold(demo_dataset, fold, None, None, 0)
    for drawn in label_draws(whole, fold, [2, 5], 2, 0):
        assert np.array_equal(drawn.part.scaled_by, whole.cells.rows)
        assert not set(drawn.part.scaled_by) & set(drawn.part.test)


def test_a_scale_leaves_constant_columns_alone() -> None:
    scale = scale_of(np.array([[1.0, 2.0], [1.0, 4.0]], np.float32))
    assert scale.apply(np.array([[1.0, 100.0]], np.float32)).tolist() == [[0.0, 10.0]]

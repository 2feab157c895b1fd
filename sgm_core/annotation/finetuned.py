"""Classifiers that train a part of their backbone, started from a probe of it."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch

from sgm_core.annotation.encoder import Encoder
from sgm_core.annotation.member import Member, drawn_cells, train_member, with_space
from sgm_core.annotation.task import Task
from sgm_core.cells.split import Fold
from sgm_core.model.head import LinearHead
from sgm_core.training.classifier import Finetuning
from sgm_core.training.data import model_values, refuse_long_cells
from sgm_core.training.logistic import Linear, Scale
from sgm_core.training.loop import Loop
from sgm_core.training.schemes import Classifier
from sgm_core.training.train_cells import FINETUNING, train_cells
from sgm_core.training.validation import validation_score


def trained(task: Task, fold: Fold | None, rows: np.ndarray, codes: np.ndarray, strength: float) -> Member:
    """Return a classifier of training cells with all that was chosen before: the penalty, and the epochs.

    Parameters
    ----------
    task : what is fitted; its `epochs` are those of finetuning
    fold : whose backbone reads the cells, None = that of all donors
    rows, codes : the training cells (n,), ascending, and their class numbers 0..C-1
    strength : the penalty's inverse strength
    """
    member = train_member(
        task.dataset, rows, codes, task.arm, task.steps, strength=strength, asked=task.train_cells,
        seed=task.seed, reader=task.reader(fold),
    )  # fmt: skip
    return finetuned(task, member, rows, codes)[0] if task.epochs else member


def finetuned(
    task: Task,
    member: Member,
    rows: np.ndarray,
    codes: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Member, int]:
    """Train a part of a probe's backbone beside its head, as the comparison's scheme does.

    Parameters
    ----------
    task : what is fitted
    member : a probe, which the training starts from; its own backbone stays as it is
    rows, codes : the training cells (n,), ascending, and their class numbers 0..C-1
    validation : rows and class numbers of the cells that choose the epoch; without any, it trains for
        ``task.epochs`` of the same schedule

    Returns
    -------
    tuple
        The classifier, and the epochs that it trained for: 0 is the probe.
    """
    assert task.backbones is not None, "a baseline has no backbone"
    before = member.reader
    assert isinstance(before, Encoder), "a probe reads a backbone"
    config = replace(task.backbones.recipe(), seed=task.seed)
    model, dataset = deepcopy(before.model), task.dataset
    values = model_values(dataset, model, before.names, before.device)
    refuse_long_cells(values.lengths[rows], config.max_tokens, f"dataset {dataset.name!r}")
    chosen_by = validation or (rows[:0], codes[:0])
    cells = train_cells(dataset, rows, codes, task.train_cells, task.seed, FINETUNING)  # type: ignore[arg-type]
    classifier = Classifier(model, values, len(member.linear.bias), config)
    training = Finetuning(classifier, cells, codes, *chosen_by, None, task.steps, {})
    loop = Loop(training, config, task.steps, keep_best=validation is not None)
    training.start_from_probe(member.scale, member.linear)
    if loop.best is not None and len(chosen_by[0]):
        loop.best.ends(validation_score(chosen_by[1], training.classify(chosen_by[0])), 0)
    until = task.epochs if validation is None else None
    if until != 0:
        loop.run(until)
    epochs = loop.epoch if loop.best is None or loop.best.score is None else loop.best.epoch
    classifier.train(False)
    head = classifier.head
    assert isinstance(head, LinearHead), "checked when the backbones were asked for"
    with torch.no_grad():
        mean, spread, weight, bias = (
            part.detach().cpu().numpy()
            for part in (head.mean, head.spread, head.output.weight, head.output.bias)
        )
    reader = Encoder(model, before.names, dataset.genes, config, task.backbones.free_store())
    scale, linear = Scale(mean, spread), Linear(weight, bias, member.linear.strength)
    drawn, own = drawn_cells(dataset, rows, codes, task.train_cells)
    train = scale.apply(reader.of_cells(dataset, drawn, task.steps))
    return with_space(dataset, reader, scale, linear, train, drawn, own), epochs

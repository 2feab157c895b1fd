"""A sweep: what it may look at, that it goes on where it was stopped, that it claims nothing of nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from quick_sweep import QUICK, relabelled, sweep

from sgm_core.cells.split import fold_cells
from sgm_core.errors import InputError, Paused, TrainingError
from sgm_core.progress import Observer
from sgm_core.runs.resume import resume_run
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, pause_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.sweeps import study as studies
from sgm_core.sweeps import trial as trials
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import sweep_folds
from sgm_core.sweeps.search import sweep_run
from sgm_core.sweeps.verdict import verdict
from sgm_core.training import labelled

real = trials.score_fold


def numbers(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuple(run.read_table(name).drop(columns="seconds") for name in ("trials", "fold_scores"))


def same(one: Run, other: Run) -> None:
    for mine, theirs in zip(numbers(one), numbers(other), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


def test_held_back_donors_are_in_no_fold(demo_dataset) -> None:
    for changes in ({}, {"fold": 2}, {"folds": 1}, {"split": "holdout"}):
        config = SweepConfig.from_dict({**QUICK, **changes})
        found = sweep_folds(demo_dataset, config)
        everyone = set(demo_dataset.donors())
        assert len(found.folds) == config.n_scored and found.held_back
        for fold in found.folds:
            assert fold.test == fold.validation and not set(fold.train) & set(fold.validation)
            assert {*fold.train, *fold.validation} == everyone - set(found.held_back)
            rows = np.unique(np.concatenate(fold_cells(demo_dataset, fold)))
            assert not set(demo_dataset.donors().iloc[rows]) & set(found.held_back)
        validating = [donor for fold in found.folds for donor in fold.validation]
        assert len(validating) == len(set(validating)), "a donor validates once"


def test_labels_of_held_back_donors_change_nothing(demo_dataset) -> None:
    """Two pretrainings and four heads a sweep, three sweeps: nothing less trains, chooses and scores."""
    plain = sweep()
    held_back = sweep_folds(demo_dataset, SweepConfig.from_dict(QUICK)).held_back
    relabelled(demo_dataset, "testdonors", held_back)
    same(plain, sweep(data="testdonors"))
    others = tuple(sorted(set(demo_dataset.donors()) - set(held_back)))
    relabelled(demo_dataset, "trainers", others)  # or the test could not fail
    changed = sweep(data="trainers", trials=2, folds=1)
    scores = [
        run.read_table("fold_scores").query("fold == 1 and number < 2")["macro_f1"]
        for run in (plain, changed)
    ]
    assert len(scores[0]) == len(scores[1]) == 2 and not np.allclose(*scores)


def test_a_stopped_sweep_ends_as_one_that_was_left_alone(demo_dataset, monkeypatch) -> None:
    """The sampler learns from the second trial on, and a trial is given up: both follow from what is kept."""
    monkeypatch.setattr(studies, "STARTUP", 2)
    monkeypatch.setattr(studies, "COMPARED", 2)
    fields = {"trials": 7}
    whole = sweep(**fields)
    states = whole.read_table("trials")["state"]
    assert (states == "pruned").any() and (states == "done").sum() > 2
    config = SweepConfig.from_dict({**QUICK, **fields})
    run = create_run("sweep", "small", config.to_dict())

    class Killed(Exception):
        pass

    def dies(*_: object, **__: object) -> None:
        raise Killed

    def checks(n: int):
        left = n

        def check(self: Run) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        return check

    # before a trial is written down, before the study hears of its end, and in the middle of trainings
    for target, name, value in (
        (Run, "check", checks(3)),
        (studies.SweepStudy, "tell", dies),
        ("sgm_core.sweeps.search", "begin_trial", dies),
        (Run, "check", checks(20)),
        (studies.SweepStudy, "report", dies),
    ):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            if isinstance(target, str):
                patch.setattr(f"{target}.{name}", value)
            else:
                patch.setattr(target, name, value)
            sweep_run(config, run.path, run)
    sweep_run(config, run.path, run)
    same(whole, run)


def test_a_sweep_is_paused_and_resumed_as_any_training(demo_dataset, monkeypatch) -> None:
    config = SweepConfig.from_dict({**QUICK, "arm": "no-pretraining", "trials": 2, "folds": 1})
    run = create_run("sweep", "small", config.to_dict())
    assert run.title == "Sweep dense no-pretraining on small"
    with monkeypatch.context() as patch:
        patch.setattr(trials, "score_fold", lambda *given: pause_run(run.id) and real(*given))
        with pytest.raises(Paused):
            run_in_foreground(run, Observer())
    assert run.state == "paused" and "finished trials are kept" in run.status["error"]
    assert run_in_foreground(run, Observer()).state == "done"
    assert (run.read_table("trials")["state"] == "done").all() and not (run.path / "state").exists()
    with pytest.raises(InputError, match="keeps its finished parts"):
        resume_run(create_run("sweep", "small", config.to_dict()).id, anew=True)


def test_a_setting_that_breaks_down_ends_its_trial_alone(demo_dataset, monkeypatch) -> None:
    fails = {1, 2}
    seen: list[dict] = []

    def breaks(config, setting, *rest):
        if setting not in seen:
            seen.append(setting)
        if seen.index(setting) in fails:
            raise TrainingError("the loss of step 3 is nan")
        return real(config, setting, *rest)

    monkeypatch.setattr(trials, "score_fold", breaks)
    run = sweep(arm="no-pretraining", folds=1)
    table = run.read_table("trials")
    assert table["state"].tolist() == ["done", "failed", "failed", "done"]
    assert (table["error"][1:3] == "the loss of step 3 is nan").all() and table["score"][1:3].isna().all()
    fails.add(0)
    seen.clear()
    with pytest.raises(TrainingError):
        sweep(arm="no-pretraining", folds=1)


def test_a_field_that_does_nothing_is_no_improvement(demo_dataset) -> None:
    # of training a part of the model, which a linear probe does not
    run = sweep(arm="no-pretraining", space=["finetune.epochs=2,3"], trials=4, folds=1)
    table = run.read_table("trials")
    assert table["score"].nunique() == 1 and (table["same_as"] >= 0).any()
    found = verdict(table, run.read_table("fold_scores"))
    assert found.best == 0 and not found.better and found.others == 2
    assert found.sentence.startswith("No setting beats the default")
    assert run.read_table("importance")["importance"].isna().all()


def test_shuffled_labels_give_no_improvement(demo_dataset, monkeypatch) -> None:
    true = labelled.labelled_fold

    def shuffled(*given: object):
        part = true(*given)
        return replace(part, codes=np.random.default_rng(0).permutation(part.codes))

    monkeypatch.setattr(labelled, "labelled_fold", shuffled)
    run = sweep(arm="no-pretraining", trials=6, pruner="none")
    table = run.read_table("trials")
    found = verdict(table, run.read_table("fold_scores"))
    assert found.best and found.score > found.default, "chance favours one of them"
    assert not found.better and "undecided" in found.sentence

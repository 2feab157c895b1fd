"""A sweep from start to end, in one process: a trial after the other, and the tables that a page reads."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.cells.dataset import open_dataset
from sgm_core.home import read_json
from sgm_core.progress import Observer
from sgm_core.saved import FOLDER as STATE
from sgm_core.saved.code import deciding_code
from sgm_core.saved.keeper import codes_in
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import sweep_folds
from sgm_core.sweeps.importance import importance
from sgm_core.sweeps.study import FILE, SweepStudy
from sgm_core.sweeps.tables import fold_table, trial_table
from sgm_core.sweeps.trial import FOLDER, OVER, begin_trial, end_trial, read_trial, run_trial, trial_folder
from sgm_core.sweeps.words import setting_text
from sgm_core.training.backbones import is_bundle, say_of_weights
from sgm_core.units import count


def sweep_run(config: SweepConfig, folder: Path, observer: Observer) -> None:
    """Run (or continue) a sweep in the run's `folder`; its tables are published after every trial.

    Raises
    ------
    InputError
        If the space is empty, the dataset can't be split, or the default setting can't be trained.
    Cancelled
        If the user asked for it.
    """
    config.require_space()
    dataset = open_dataset(config.data)
    donors = sweep_folds(dataset, config)
    code = deciding_code()
    if _drop_what_other_code_made(folder, code):
        observer.message("another version of the program made what was done: all trials start again")
    observer.message(
        f"{count(config.n_trials, 'trial')} of {count(len(donors.folds), 'fold')} each; held back: "
        f"{', '.join(donors.held_back)}, which no trial looks at"
    )
    if is_bundle(config.backbone):
        say_of_weights(dataset, config.backbone, observer)
    study = SweepStudy(config, folder)
    try:
        _trials(config, folder, code, study, observer)
        observer.message("how much each field moves the score")
        observer.table("importance", importance(config, _known(config, folder)))
    finally:
        study.close()


def _trials(config: SweepConfig, folder: Path, code: str, study: SweepStudy, observer: Observer) -> None:
    told = study.told()
    kept = sum(one["state"] in OVER for one in _known(config, folder))
    if kept:
        observer.message(f"{kept} of {config.n_trials} trials are done already")
    for number in range(config.n_trials):
        known = read_trial(folder, number)
        if known is not None and known["state"] in OVER and (number in told or known["state"] == "failed"):
            continue
        observer.check()
        setting = known["setting"] if known else (config.default_setting() if number == 0 else None)
        setting = study.ask(number, setting)
        if known is None:
            begin_trial(folder, number, setting, code)
            observer.message(f"trial {number}: {setting_text(setting)}" + (" (the default)" * (number == 0)))
        _carry_out(config, folder, number, setting, study, observer)
        _publish(config, folder, observer)
    _publish(config, folder, observer)


def _carry_out(
    config: SweepConfig,
    folder: Path,
    number: int,
    setting: dict[str, Any],
    study: SweepStudy,
    observer: Observer,
) -> None:
    """Carry out a trial, unless it has ended or its setting was scored before; tell the study."""
    first = read_trial(folder, 0)
    reference = [one["macro_f1"] for one in first["scores"]] if first and number else None

    def stop(folds: int, mean: float) -> bool:
        # less the default setting's mean over the same folds, or an easy first fold would count for all
        level = float(np.mean(reference[:folds])) if reference else mean
        return study.report(folds, mean - level) and number > 0

    before = _same_setting(config, folder, number, setting)
    trial = read_trial(folder, number)
    assert trial is not None
    state = trial["state"]
    if state in OVER:  # killed before the study was told: what it was asked then is asked again
        means = np.cumsum([one["macro_f1"] for one in trial["scores"]]) / np.arange(
            1, 1 + len(trial["scores"])
        )
        for folds, mean in enumerate(means, 1):
            if folds < len(means) or state == "pruned":
                stop(folds, float(mean))
    elif before is not None:
        _copy(folder, before, number)
        state = before["state"]
        observer.message(f"trial {number}: the setting of trial {before['number']}, whose score it has")
    else:
        state = run_trial(folder, number, _Share(observer, number, config.n_trials), stop)
        trial = read_trial(folder, number)
        assert trial is not None
        scores = [one["macro_f1"] for one in trial["scores"]]
        said = trial["error"] if state == "failed" else f"macro F1 {np.mean(scores):.4f}"
        given_up = f", given up after {count(len(scores), 'fold')}" if state == "pruned" else ""
        observer.message(f"trial {number}: {said}{given_up}")
    trial = read_trial(folder, number)
    assert trial is not None
    study.tell(
        float(np.mean([one["macro_f1"] for one in trial["scores"]])) if trial["scores"] else None, state
    )


def _same_setting(
    config: SweepConfig, folder: Path, number: int, setting: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the earlier trial of the same setting, if there is one: its training would be the same."""
    for one in _known(config, folder)[:number]:
        if one["setting"] == setting and one["state"] in OVER:
            return one
    return None


def _copy(folder: Path, before: dict[str, Any], number: int) -> None:
    source, target = (trial_folder(folder, one) for one in (before["number"], number))
    for path in source.glob("fold*.json"):
        shutil.copyfile(path, target / path.name)
    same = before["same_as"] if before["same_as"] is not None else before["number"]
    end_trial(folder, number, before["state"], error=before["error"], same_as=same)


def _known(config: SweepConfig, folder: Path) -> list[dict[str, Any]]:
    found = (read_trial(folder, number) for number in range(config.n_trials))
    return [one for one in found if one is not None]


def _publish(config: SweepConfig, folder: Path, observer: Observer) -> None:
    known = _known(config, folder)
    observer.table("trials", trial_table(known))
    observer.table("fold_scores", fold_table(known))


def _drop_what_other_code_made(folder: Path, code: str) -> bool:
    """Delete a run's trials if another version of the deciding code made one; returns whether it did."""
    described = [read_json(path)["code"] for path in (folder / FOLDER).glob("*/trial.json")]
    if all(made == code for made in [*described, *codes_in(folder / STATE)]):
        return False
    for name in (FOLDER, STATE):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)
    return True


class _Share(Observer):
    """Passes on a trial's progress as a part of the sweep's, and whether to stop."""

    def __init__(self, observer: Observer, number: int, count: int) -> None:
        self.observer, self.number, self.count = observer, number, count

    def progress(self, done: float, total: float, what: str = "") -> None:
        self.observer.progress(
            self.number + done / max(total, 1e-9), self.count, f"trial {self.number + 1} of {self.count}"
        )

    def check(self) -> None:
        self.observer.check()

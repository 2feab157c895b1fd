"""A sweep from start to end, in one process: a trial after the other, and the tables that a page reads."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.cells.dataset import open_dataset
from sgm_core.home import read_json
from sgm_core.progress import Observer, Part
from sgm_core.saved import FOLDER as STATE
from sgm_core.saved.code import deciding_code
from sgm_core.saved.keeper import codes_in
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import sweep_folds
from sgm_core.sweeps.importance import importance
from sgm_core.sweeps.study import FILE, SweepStudy
from sgm_core.sweeps.tables import TABLES, fold_table, trial_table
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
        search = _Search(config, folder, code, study, observer)
        search.run()
        observer.message("how much each field moves the score")
        observer.table("importance", importance(config, search.known))
    finally:
        study.close()


class _Search:
    """The trials of a sweep, one after the other."""

    def __init__(
        self, config: SweepConfig, folder: Path, code: str, study: SweepStudy, observer: Observer
    ) -> None:
        self.config, self.folder, self.code, self.study, self.observer = config, folder, code, study, observer
        found = (read_trial(folder, number) for number in range(config.n_trials))
        self.known = [one for one in found if one is not None]  # they begin one after the other

    def run(self) -> None:
        """Carry out what is not done yet."""
        told, n_trials = self.study.told(), self.config.n_trials
        if kept := sum(one["state"] in OVER for one in self.known):
            self.observer.message(f"{kept} of {n_trials} trials are done already")
        for number in range(n_trials):
            begun = self.known[number] if number < len(self.known) else None
            if begun is not None and (begun["state"] == "failed" or number in told):
                continue
            self.observer.check()
            setting = begun["setting"] if begun else (None if number else self.config.default_setting())
            setting = self.study.ask(number, setting)
            if begun is None:
                begin_trial(self.folder, number, setting, self.code)
                default = "" if number else " (the default)"
                self.observer.message(f"trial {number}: {setting_text(setting)}{default}")
                self._read(number)
            self._carry_out(number)
            self._publish()
        self._publish()

    def _read(self, number: int) -> dict[str, Any]:
        trial = read_trial(self.folder, number)
        assert trial is not None
        self.known[number:] = [trial, *self.known[number + 1 :]]
        return trial

    def _carry_out(self, number: int) -> None:
        """Carry out a trial, unless it has ended or its setting was scored before; tell the study."""
        trial = self.known[number]
        before = next((one for one in self.known[:number] if one["setting"] == trial["setting"]), None)
        if trial["state"] in OVER:  # killed before the study was told: what it was asked then is asked again
            scores = _scores(trial)
            for folds in range(1, len(scores) + (trial["state"] == "pruned")):
                self._stop(number, folds, float(np.mean(scores[:folds])))
        elif before is not None:
            _copy(self.folder, before, number)
            self.observer.message(f"trial {number}: the setting of trial {before['number']}, and its score")
        else:
            part = Part(self.observer, number, self.config.n_trials, f"trial {number}")
            run_trial(self.folder, number, part, partial(self._stop, number))
            self.observer.message(f"trial {number}: {_ended(self._read(number))}")
        trial = self._read(number)
        scores = _scores(trial)
        self.study.tell(float(np.mean(scores)) if scores else None, trial["state"])

    def _stop(self, number: int, folds: int, mean: float) -> bool:
        """Tell the study how a trial stands; returns whether to give it up, which the default never is."""
        # less the default setting's mean over the same folds, or an easy first fold would count for all
        level = mean if number == 0 else float(np.mean(_scores(self.known[0])[:folds]))
        return self.study.report(folds, mean - level) and number > 0

    def _publish(self) -> None:
        self.observer.table("trials", trial_table(self.known))
        self.observer.table("fold_scores", fold_table(self.known))


def _scores(trial: dict[str, Any]) -> list[float]:
    return [one["macro_f1"] for one in trial["scores"]]


def _ended(trial: dict[str, Any]) -> str:
    """Say how a trial ended."""
    if trial["state"] == "failed":
        return str(trial["error"])
    given_up = f", given up after {count(len(trial['scores']), 'fold')}" if trial["state"] == "pruned" else ""
    return f"macro F1 {np.mean(_scores(trial)):.4f}{given_up}"


def _copy(folder: Path, before: dict[str, Any], number: int) -> None:
    """Give a trial the scores of an earlier one of the same setting: its training would be the same."""
    source, target = (trial_folder(folder, one) for one in (before["number"], number))
    for path in source.glob("fold*.json"):
        shutil.copyfile(path, target / path.name)
    end_trial(folder, number, before["state"], error=before["error"], same_as=before["number"])


def _drop_what_other_code_made(folder: Path, code: str) -> bool:
    """Delete a run's trials if another version of the deciding code made one; returns whether it did."""
    described = [read_json(path)["code"] for path in (folder / FOLDER).glob("*/trial.json")]
    if all(made == code for made in [*described, *codes_in(folder / STATE)]):
        return False
    for name in (FOLDER, STATE):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (FILE, *(f"{table}.parquet" for table in TABLES)):
        (folder / name).unlink(missing_ok=True)
    return True

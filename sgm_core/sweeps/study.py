"""The study of a sweep: Optuna chooses settings and gives up poor ones; its SQLite lies in the run's folder.

The sampler is made anew for every trial, from the sweep's seed and the trial's number, so that a sweep that
was stopped goes on with the settings that it would have tried. The folders of the trials are the truth; the
study follows them.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.space import Axis, grid

FILE = "study.sqlite3"
_NAME = "sweep"
STARTUP = 10
"""Trials that the sampler `tpe` draws at random before it learns from them."""
COMPARED = 4
"""Finished trials before one is given up: the median of fewer says little."""
_NUMBER = "number"  # of the trial in the run, which Optuna counts otherwise: one done again has a new number


class SweepStudy:
    """What the sampler and the pruner of a sweep know.

    Parameters
    ----------
    config : the sweep
    folder : the run's, where the study is kept
    """

    def __init__(self, config: SweepConfig, folder: Path) -> None:
        self.config = config
        self.distributions = distributions_of(config)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{folder / FILE}")
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(config),
            sampler=optuna.samplers.RandomSampler(seed=config.seed),
        )
        self._trial: optuna.Trial | None = None
        self._grid: list[dict[str, Any]] = []
        if config.sampler == "grid":
            order = np.random.default_rng([config.seed, 0]).permutation(len(every := grid(config.axes)))
            self._grid = [every[i] for i in order]
        self._forget_what_was_killed()

    def ask(self, number: int, setting: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the values of a trial by path, and begin it in the study.

        Parameters
        ----------
        number : of the trial
        setting : its values where they are known: of a trial that is done again, or of the default setting;
            one that lies outside of the space is no part of the study
        """
        if setting is None and self._grid:
            setting = self._grid[number - 1]
        self._trial = None
        if setting is not None:
            if not all(setting[axis.path] in axis for axis in self.config.axes):
                return setting
            self._study.enqueue_trial(setting, user_attrs={_NUMBER: number})
        self._study.sampler = _sampler(self.config, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._trial = self._study.ask(self.distributions)
        self._trial.set_user_attr(_NUMBER, number)
        return {path: self._trial.params[path] for path in self.distributions}

    def report(self, folds: int, mean: float) -> bool:
        """Tell the mean over the folds so far of the trial asked for last; returns whether to give it up."""
        if self._trial is None:
            return False
        self._trial.report(mean, folds)
        return bool(self._trial.should_prune())

    def tell(self, score: float | None, state: str) -> None:
        """Tell how the trial asked for last ended: ``done`` with its score, ``pruned`` or ``failed``."""
        states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        if self._trial is not None:
            self._study.tell(self._trial, score if state == "done" else None, states[state])
        self._trial = None

    def told(self) -> set[int]:
        """Return the numbers of the trials that the study knows the end of."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return {trial.user_attrs[_NUMBER] for trial in self._study.get_trials(False, ended)}

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _forget_what_was_killed(self) -> None:
        """Mark what another process had under way as failed; it is done again."""
        for trial in self._study.get_trials(False, (TrialState.RUNNING, TrialState.WAITING)):
            self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def distributions_of(config: SweepConfig) -> dict[str, BaseDistribution]:
    """Return the space as Optuna has it, by path."""
    return {axis.path: _distribution(axis) for axis in config.axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.values:
        return CategoricalDistribution(axis.values)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _sampler(config: SweepConfig, number: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    if config.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(config: SweepConfig) -> optuna.pruners.BasePruner:
    if config.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=COMPARED, n_min_trials=COMPARED)

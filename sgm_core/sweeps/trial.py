"""One trial of a sweep: a setting, scored on validation donors fold by fold; each score is whole or absent.

`run_trial` needs the run's folder and the trial's number alone, so that any process may carry one out.
Several could share a sweep: the one that leads asks the study for settings (`sgm_core.sweeps.study`), writes
each down with `begin_trial`, hands the numbers out, and tells the study the scores as they appear in the
folders. Only that process writes the study, which then suits a shared file system too. Which settings are
tried depends on which trials end first, so such a sweep is not reproducible from its seed.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.analysis.metrics import score_predictions
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold
from sgm_core.comparison.config import ARMS
from sgm_core.documents import document
from sgm_core.errors import TrainingError
from sgm_core.home import read_json, whole_folder, write_json
from sgm_core.progress import Observer, Part
from sgm_core.saved import FOLDER as STATE
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import SweepFolds, sweep_folds
from sgm_core.training.config import PretrainConfig

FOLDER = "trials"
OVER = ("done", "pruned", "failed")
"""States of a trial that has ended for good."""
Stop = Callable[[int, float], bool]
"""Says, from the number of folds done and their mean score, whether a trial is given up."""


def trial_folder(folder: Path, number: int) -> Path:
    """Return where a trial of the run in `folder` is kept."""
    return folder / FOLDER / f"{number:04d}"


def begin_trial(folder: Path, number: int, setting: dict[str, Any], code: str) -> None:
    """Write down a trial that is to be carried out: its values by path; `code` is noted with it."""
    path = trial_folder(folder, number)
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "trial.json", {"number": number, "setting": setting, "state": "running", "code": code})


def read_trial(folder: Path, number: int) -> dict[str, Any] | None:
    """Return a trial's number, setting, state, error, same_as and scores; None before it began."""
    path = trial_folder(folder, number)
    if not (path / "trial.json").exists():
        return None
    scores = [document(one) for one in sorted(path.glob("fold*.json"))]
    return {"error": "", "same_as": None, **document(path / "trial.json"), "scores": scores}


def end_trial(folder: Path, number: int, state: str, **more: Any) -> None:
    """Write down how a trial ended."""
    path = trial_folder(folder, number) / "trial.json"
    write_json(path, {**read_json(path), "state": state, **more})
    shutil.rmtree(folder / STATE / f"trial{number:04d}", ignore_errors=True)


def run_trial(folder: Path, number: int, observer: Observer, stop: Stop = lambda folds, mean: False) -> str:
    """Carry out a trial that `begin_trial` wrote down; returns the state it ended in.

    What was scored before is kept, and a training under way goes on from its checkpoint.

    Parameters
    ----------
    folder : the sweep's run
    number : of the trial
    observer : is told the progress and asked whether to stop
    stop : is asked after every fold but the last

    Raises
    ------
    TrainingError
        If the default setting itself breaks down; that of another setting ends its trial alone.
    Cancelled
        If the user asked for it.
    """
    config = SweepConfig.from_dict(read_json(folder / "config.json")["parameters"])
    dataset = open_dataset(config.data)
    donors = sweep_folds(dataset, config)
    path = trial_folder(folder, number)
    setting = read_json(path / "trial.json")["setting"]
    scores: list[float] = []
    for done, fold in enumerate(donors.folds):
        observer.check()
        file = path / f"fold{done:03d}.json"
        if not file.exists():
            part = Part(observer, done, len(donors.folds))
            place = folder / STATE / f"trial{number:04d}" / f"fold{fold.index}"
            try:
                write_json(file, score_fold(config, setting, dataset, donors, fold, place, folder, part))
            except TrainingError as error:
                if number == 0:
                    raise
                end_trial(folder, number, "failed", error=str(error))
                return "failed"
        scores.append(read_json(file)["macro_f1"])
        if done + 1 < len(donors.folds) and stop(done + 1, float(np.mean(scores))):
            end_trial(folder, number, "pruned")
            return "pruned"
    end_trial(folder, number, "done")
    return "done"


def score_fold(
    config: SweepConfig,
    setting: dict[str, Any],
    dataset: Dataset,
    donors: SweepFolds,
    fold: Fold,
    place: Path,
    folder: Path,
    observer: Observer,
) -> dict[str, Any]:
    """Train under a setting on a fold's training donors; return the score on its validation donors.

    Parameters
    ----------
    config, setting : the sweep, and the values of its fields by path
    dataset, donors, fold : the cells; the donors that are held back are in no fold
    place : of the checkpoints of this training
    folder : the sweep's run, which keeps the pretraining where all trials share it
    observer : is told the progress and asked whether to stop
    """
    from sgm_core.device import pick_device
    from sgm_core.training.data import model_values
    from sgm_core.training.finetune import prediction_table
    from sgm_core.training.kept import keeper_of
    from sgm_core.training.labelled import labelled_fold, name_cells
    from sgm_core.training.pooling import pooled_of
    from sgm_core.training.pretrain import pretrain_cells
    from sgm_core.training.start import initial_state, set_pool

    started = time.perf_counter()
    pretraining, finetuning = config.recipes(setting, fold.index)
    device = pick_device(config.device)
    if ARMS[config.arm]:
        shared = folder / STATE / "pretrained" / f"fold{fold.index}" if config.pretrains_once else None
        model, names = _pretrained(dataset, pretraining, fold, place / "pretrain", shared, observer)
        model.to(device)
        values = model_values(dataset, model, names, device)
    else:
        seen = pretrain_cells(dataset, fold)[0]
        start = initial_state(dataset, pretraining, seen, device, random=config.arm == "no-pretraining")
        model, values = start.model, start.values
    set_pool(model.backbone, finetuning.pool)
    part = labelled_fold(dataset, fold, config.label, finetuning.train_cells, config.seed)
    within = Part(observer, 1, 2)
    pooled = None
    if config.scheme == "linear-probe":
        how = finetuning.keep_summary, finetuning.precision
        pooled = pooled_of(model, values, part.encoded, *how, within)
    keeper = keeper_of(finetuning, place / config.scheme, dataset, fold, within, arm=config.arm)
    where = {"arm": config.arm, "fold": fold.index, "seed": config.seed}
    named, chosen = name_cells(model, values, part, finetuning, pooled, within, keeper, **where)
    table = prediction_table(
        dataset, part.test, part.classes, named, config.label, scheme=config.scheme, **where
    )
    true, predicted, sure = (table[name].to_numpy() for name in ("true", "predicted", "confidence"))
    score = score_predictions(true, predicted, sure, donors.scored)
    labels = dataset.labels(config.label).notna().to_numpy()
    labelled = set(dataset.donors()[labels])
    return {
        "fold": fold.index,
        "macro_f1": float(score["macro_f1"]),
        "classes_scored": score["classes_scored"],
        "n_validation": len(table),
        "donors_train": len(labelled.intersection(fold.train)),
        "donors_validation": len(labelled.intersection(fold.validation)),
        "chosen": chosen,
        "seconds": time.perf_counter() - started,
    }


def _pretrained(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold,
    place: Path,
    shared: Path | None,
    observer: Observer,
) -> tuple[Any, np.ndarray]:
    """Return a pretrained model and its genes; where all trials share it, it is trained once and kept.

    It is `sgm_core.training.pretrain.pretrain` without the tables of its masks, which nobody reads here.
    """
    from sgm_core.model.checkpoint import load_model, save_model
    from sgm_core.training.pretrain import pretrained, weights_of

    if shared is None or not shared.exists():
        task = pretrained(dataset, config, fold, Part(observer, 0, 2), state=place)
        if shared is None:
            return task.model, task.start.names
        with whole_folder(shared) as target:
            save_model(target, task.model, task.start.names, task.arm, weights_of(config))
    return load_model(shared)[:2]

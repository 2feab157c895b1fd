"""From a pretrained backbone to cell types, by linear probe or by training a part of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis import metrics
from sgm_core.analysis.pooled import score_tables
from sgm_core.analysis.tally import tally
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.seen import check_same_dataset, kept_fold
from sgm_core.cells.split import Fold, scored_classes
from sgm_core.device import pick_device
from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import check_name, read_json
from sgm_core.model.checkpoint import load_model
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.saved import FOLDER as STATE
from sgm_core.training.backbones import check_backbone, corpus_sentence, is_bundle
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import model_values, refuse_long_cells
from sgm_core.training.folds import draws_of, run_folds, wanted
from sgm_core.training.kept import keeper_of
from sgm_core.training.labelled import labelled_fold, name_cells
from sgm_core.training.pooling import Pooled, pooled_of
from sgm_core.training.start import original, set_pool
from sgm_core.training.train_cells import TrainCells


def prediction_table(
    dataset: Dataset,
    rows: np.ndarray,
    classes: np.ndarray,
    probabilities: np.ndarray,
    label: str | None,
    **where: object,
) -> pd.DataFrame:
    """Return the run table `predictions` of test cells; `where` gives arm, scheme, fold and seed."""
    scored, _ = scored_classes(dataset, label)
    true = dataset.labels(label).iloc[rows].astype(str).to_numpy()
    best = probabilities.argmax(1)
    return pd.DataFrame(
        {
            "cell": rows,
            **where,
            "true": true,
            "predicted": classes[best].astype(str),
            "confidence": probabilities[np.arange(len(rows)), best],
            "scored": np.isin(true, scored),
        }
    )


def fold_row(
    dataset: Dataset,
    fold: Fold,
    predictions: pd.DataFrame,
    label: str | None,
    cells: TrainCells,
    seconds: float,
    chosen: str = "",
) -> dict[str, object]:
    """Return one row of the run table `folds` from the predictions of one arm, scheme and fold.

    Parameters
    ----------
    dataset, fold, label : what was split, and by which label
    predictions : see `prediction_table`
    cells : the cells that trained
    seconds : that it took
    chosen : what the validation donors chose, in words; they are not among ``donors_train``
    """
    scored, _ = scored_classes(dataset, label)
    labelled = set(dataset.donors()[dataset.labels(label).notna().to_numpy()])
    first = predictions.iloc[0]
    return {
        **{name: first[name] for name in ("arm", "scheme", "fold", "seed")},
        **metrics.score_predictions(
            predictions["true"].to_numpy(),
            predictions["predicted"].to_numpy(),
            predictions["confidence"].to_numpy(),
            scored,
        ),
        "n_train": cells.size,
        "n_train_all": len(cells.rows),
        "n_test": len(predictions),
        "donors_train": len(labelled.intersection(fold.train)),
        "donors_test": len(labelled.intersection(fold.test)),
        "test_donors": ", ".join(fold.test),
        "chosen": chosen,
        "seconds": seconds,
    }


@dataclass(frozen=True)
class Source:
    """What is finetuned.

    Parameters
    ----------
    dataset, label : the cells and their label column
    folds : the folds to train and test on
    split : the configuration that they come from (see `run_folds`)
    fresh : gives the model, the symbols of its genes, and its arm
    shared : the folds share the model
    max_tokens : the longest cell that is taken
    """

    dataset: Dataset
    label: str | None
    folds: list[Fold]
    split: Any
    fresh: Callable[[], tuple[MaskedModel, np.ndarray, str]]
    shared: bool
    max_tokens: int

    def encoded_rows(self, config: FinetuneConfig) -> np.ndarray:
        """Return the row numbers of the cells whose vectors the linear probe of any fold needs, ascending."""
        parts = (labelled_fold(self.dataset, fold, self.label, config.train_cells, 0) for fold in self.folds)
        return np.unique(np.concatenate([part.encoded for part in parts]))


def finetune_run(config: FinetuneConfig, folder: Path, observer: Observer) -> None:
    """Finetune a pretraining run, or imported weights as they are, as a run of its own.

    Where the folds share one model (shared pretraining, imported weights), the linear probe encodes each
    cell once for all of them.

    Parameters
    ----------
    config : every choice
    folder : lies beside the pretraining run's folder
    observer : keeps the tables
    """
    if config.run:
        source = _pretrained(config, folder, observer)
    elif config.backbone:
        source = _imported(config, observer)
    else:
        raise InputError("nothing to finetune: give a pretraining run, or imported weights and a dataset")
    dataset, label, device = source.dataset, source.label, pick_device(config.device)
    predictions, scores = [], []
    model: MaskedModel | None = None
    pooled: Pooled | None = None
    for number, fold in enumerate(source.folds):
        started = time.perf_counter()
        part = labelled_fold(dataset, fold, label, config.train_cells, config.seed)
        if not len(part.validation):
            observer.message(
                f"fold {fold.index}: its validation donors have no labelled cells of the training donors' "
                "classes, so nothing is chosen: the last epoch is kept"
            )
        if model is None or config.scheme != "linear-probe":
            model, names, arm = source.fresh()
            set_pool(model.backbone, config.pool)
            model.to(device)
            values = model_values(dataset, model, names, device)
            refuse_long_cells(values.lengths, source.max_tokens, f"dataset {dataset.name!r}")
        if config.scheme == "linear-probe" and pooled is None:
            rows = source.encoded_rows(config)
            pooled = pooled_of(model, values, rows, config.keep_summary, config.precision, observer)
        where = {"arm": arm, "fold": fold.index}
        place = folder / STATE / f"finetune.fold{fold.index}"
        keeper = keeper_of(config, place, dataset, fold, observer, arm=arm)
        result, chosen = name_cells(model, values, part, config, pooled, observer, keeper, **where)
        test = part.test
        table = prediction_table(
            dataset, test, part.classes, result, label, scheme=config.scheme, seed=config.seed, **where
        )
        predictions.append(table)
        seconds = time.perf_counter() - started
        for draw, drawn in draws_of(dataset, source.split, table):
            scores.append(fold_row(dataset, fold, drawn, label, part.cells, seconds, chosen) | draw)
        observer.metric(phase="finetune", scheme=config.scheme, macro_f1=scores[-1]["macro_f1"], **where)
        observer.progress(number + 1, len(source.folds), f"{number + 1} of {len(source.folds)} folds")
    publish(pd.concat(predictions, ignore_index=True), pd.DataFrame(scores), dataset, observer)


def _pretrained(config: FinetuneConfig, folder: Path, observer: Observer) -> Source:
    """Return a pretraining run as what is finetuned."""
    source = folder.parent / check_name(config.run, "run")
    if not (source / "config.json").exists():
        raise NotFoundError(f"no run {config.run!r}: `sgm runs list` shows the runs that exist")
    description = read_json(source / "config.json")
    if description["kind"] != "pretrain":
        raise InputError(
            f"run {config.run!r} is a {description['kind']} run: finetuning needs a pretrain run"
        )
    parameters = description["parameters"]
    if config.data not in ("", parameters["data"]):
        raise InputError(
            f"run {config.run!r} was pretrained on {parameters['data']!r}, not on {config.data!r}: "
            "leave data out, or pretrain on that dataset"
        )
    own_fold = parameters.get("fold")
    if own_fold is not None and config.fold not in (None, own_fold):
        raise InputError(
            f"run {config.run!r} was pretrained for fold {own_fold}: its model has seen the test donors of "
            f"fold {config.fold}; finetune it on fold {own_fold}, or pretrain with --fold {config.fold}"
        )
    dataset = open_dataset(parameters["data"])
    check_same_dataset(config.run, description, dataset)
    folds = run_folds(dataset, parameters)
    if own_fold is not None:
        folds[own_fold] = kept_fold(source, dataset) or folds[own_fold]
    if own_fold is None:
        observer.message(
            "shared pretraining: the backbone has seen the test donors; the scores are optimistic"
        )
    return Source(
        dataset,
        config.label or parameters.get("label"),
        wanted(folds, own_fold if own_fold is not None else config.fold),
        parameters,
        lambda: load_model(source / "checkpoint"),
        own_fold is None,
        max(config.max_tokens, parameters.get("max_tokens", 0)),
    )


def _imported(config: FinetuneConfig, observer: Observer) -> Source:
    """Return imported weights as what is finetuned."""
    if not is_bundle(config.backbone):
        check_backbone(config.backbone)
        raise InputError(
            f"backbone {config.backbone!r} is trained from scratch, there is nothing to finetune yet: "
            "pretrain it and give its run, or choose imported weights"
        )
    if not config.data:
        raise InputError(f"finetuning {config.backbone!r} needs a dataset: give --data NAME")
    dataset = open_dataset(config.data)
    observer.message(corpus_sentence(dataset, config.backbone))
    folds = run_folds(dataset, config)

    def fresh() -> tuple[MaskedModel, np.ndarray, str]:
        model = original(config.backbone, config.weights_key)
        return model, np.array(model.backbone.genes), "original"

    return Source(dataset, config.label, wanted(folds, config.fold), config, fresh, True, config.max_tokens)


def publish(predictions: pd.DataFrame, folds: pd.DataFrame, dataset: Dataset, observer: Observer) -> None:
    """Keep the tables that follow from predictions and fold scores."""
    observer.table("predictions", predictions)
    observer.table("folds", folds)
    for name, table in score_tables(tally(predictions, dataset.donors())).items():
        observer.table(name, table)

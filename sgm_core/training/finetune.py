"""From a pretrained backbone to cell types, by linear probe or by training a part of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from sgm_core.analysis import metrics
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.seen import check_same_dataset, kept_fold
from sgm_core.cells.split import Fold, donor_folds, fold_cells, scored_classes
from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import check_name, read_json
from sgm_core.model.checkpoint import load_model
from sgm_core.model.head import Head
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.backbones import check_backbone, corpus_sentence, is_bundle
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import model_values, refuse_long_cells
from sgm_core.training.device import pick_device, schedule
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.schemes import class_weights, train_classifier
from sgm_core.training.start import original
from sgm_core.training.stopping import EarlyStopping


def probe(
    train: np.ndarray,
    codes: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    config: FinetuneConfig,
    held: np.ndarray | None = None,
) -> np.ndarray:
    """Train the head alone on cached vectors.

    Parameters
    ----------
    train, test : vectors (n, P) and (m, P); `codes` (n,) are the class numbers of `train`
    held : (n,) bool, the vectors of `train` that early stopping watches instead (see `held_out`)

    Returns
    -------
    Class probabilities (m, C) of `test`.
    """
    torch.manual_seed(config.seed)
    watched = np.zeros(len(train), bool) if held is None else held
    x, y = torch.from_numpy(train[~watched]), torch.from_numpy(codes[~watched])
    held_x, held_y = torch.from_numpy(train[watched]), torch.from_numpy(codes[watched])
    head = Head(x.shape[1], n_classes, config.head_hidden, config.dropout)
    optimiser = torch.optim.Adam(
        head.parameters(), config.lr, weight_decay=config.weight_decay, amsgrad=config.amsgrad
    )
    weights = class_weights(y.numpy(), n_classes) if config.class_weights else None
    stopping = EarlyStopping(config.patience or 1, [head]) if watched.any() else None
    rng = np.random.default_rng(config.seed)
    size = max(2, min(256, len(x)))
    per_epoch = max(1, len(x) // size)
    for step in range(config.probe_epochs * per_epoch):
        if step % per_epoch == 0:
            order = rng.permutation(len(x))
        rows = order[(step % per_epoch) * size :][:size]
        for group in optimiser.param_groups:
            group["lr"] = config.lr * schedule(config.schedule, step, config.probe_epochs * per_epoch)
        loss = F.cross_entropy(head(x[rows]), y[rows], weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if stopping is not None and (step + 1) % per_epoch == 0:
            head.eval()
            with torch.no_grad():
                ends = stopping.ends(float(F.cross_entropy(head(held_x), held_y, weights)))
            head.train()
            if ends:
                break
    if stopping is not None:
        stopping.restore()
    head.eval()
    with torch.no_grad():
        return head(torch.from_numpy(test)).softmax(1).numpy()


def labelled_rows(
    dataset: Dataset, fold: Fold, label: str | None
) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Return labelled rows of the training (with validation) and of the test donors, and all labels."""
    labels = dataset.labels(label)
    has_label = labels.notna().to_numpy()
    train, validation, test = fold_cells(dataset, fold)
    fit = np.sort(np.concatenate([train, validation]))
    return fit[has_label[fit]], test[has_label[test]], labels


def held_out(dataset: Dataset, fold: Fold, train: np.ndarray, config: FinetuneConfig) -> np.ndarray | None:
    """Return which of the rows `train` early stopping watches: validation donors; None without patience."""
    if config.patience is None:
        return None
    held = np.isin(train, fold_cells(dataset, fold)[1])
    if held.all() or not held.any():
        raise InputError(
            f"fold {fold.index} has no labelled cells of {'training' if held.all() else 'validation'} donors "
            "apart, which patience needs: set patience=none"
        )
    return held


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
    dataset: Dataset, fold: Fold, predictions: pd.DataFrame, label: str | None, n_train: int, seconds: float
) -> dict[str, object]:
    """Return one row of the run table `folds` from the predictions of one arm, scheme and fold."""
    scored, _ = scored_classes(dataset, label)
    first = predictions.iloc[0]
    return {
        **{name: first[name] for name in ("arm", "scheme", "fold", "seed")},
        **metrics.score_predictions(
            predictions["true"].to_numpy(),
            predictions["predicted"].to_numpy(),
            predictions["confidence"].to_numpy(),
            scored,
        ),
        "n_train": n_train,
        "n_test": len(predictions),
        "donors_train": len(fold.train) + len(fold.validation),
        "donors_test": len(fold.test),
        "test_donors": ", ".join(fold.test),
        "seconds": seconds,
    }


@dataclass(frozen=True)
class Source:
    """What is finetuned.

    Parameters
    ----------
    dataset, label : the cells and their label column
    folds : the folds to train and test on
    fresh : gives the model, the symbols of its genes, and its arm
    shared : the folds share the model
    max_tokens : the longest cell that is taken
    """

    dataset: Dataset
    label: str | None
    folds: list[Fold]
    fresh: Callable[[], tuple[MaskedModel, np.ndarray, str]]
    shared: bool
    max_tokens: int


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
    pooled: np.ndarray | None = None  # (n_cells, P)
    for number, fold in enumerate(source.folds):
        started = time.perf_counter()
        train, test, labels = labelled_rows(dataset, fold, label)
        classes, codes = np.unique(labels.iloc[train].astype(str).to_numpy(), return_inverse=True)
        if pooled is None:
            model, names, arm = source.fresh()
            model.to(device)
            values = model_values(dataset, model, names, device)
            refuse_long_cells(values.lengths, source.max_tokens, f"dataset {dataset.name!r}")
        where = {"arm": arm, "fold": fold.index}
        held = held_out(dataset, fold, train, config)
        if config.scheme == "linear-probe":
            if pooled is None:
                rows = np.flatnonzero(labels.notna()) if source.shared else np.concatenate([train, test])
                vectors = pooled_vectors(model, values, rows, config.keep_summary, config.precision, observer)
                pooled = np.zeros((dataset.n_cells, vectors.shape[1]), np.float32)
                pooled[rows] = vectors
            result = probe(pooled[train], codes, pooled[test], len(classes), config, held)
        else:
            result = train_classifier(
                model, values, train, codes, test, len(classes), config, observer, held, **where
            )
        table = prediction_table(
            dataset, test, classes, result, label, scheme=config.scheme, seed=config.seed, **where
        )
        predictions.append(table)
        scores.append(fold_row(dataset, fold, table, label, len(train), time.perf_counter() - started))
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
    folds = donor_folds(dataset, "cv", parameters.get("n_folds", 5), 0, parameters.get("label"))
    if own_fold is not None:
        folds[own_fold] = kept_fold(source, dataset) or folds[own_fold]
    if own_fold is None:
        observer.message(
            "shared pretraining: the backbone has seen the test donors; the scores are optimistic"
        )
    return Source(
        dataset,
        config.label or parameters.get("label"),
        _wanted(folds, own_fold if own_fold is not None else config.fold),
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
    folds = donor_folds(dataset, "cv", config.n_folds, 0, config.label)

    def fresh() -> tuple[MaskedModel, np.ndarray, str]:
        model = original(config.backbone, config.weights_key)
        return model, np.array(model.backbone.genes), "original"

    return Source(dataset, config.label, _wanted(folds, config.fold), fresh, True, config.max_tokens)


def _wanted(folds: list[Fold], index: int | None) -> list[Fold]:
    if index is None:
        return folds
    if not 0 <= index < len(folds):
        raise InputError(f"fold is {index}: with {len(folds)} folds it is 0 to {len(folds) - 1}")
    return [folds[index]]


def publish(predictions: pd.DataFrame, folds: pd.DataFrame, dataset: Dataset, observer: Observer) -> None:
    """Keep the tables that follow from predictions and fold scores."""
    observer.table("predictions", predictions)
    observer.table("folds", folds)
    observer.table("per_class", metrics.per_class(predictions))
    observer.table("per_donor", metrics.per_donor(predictions, dataset.donors()))

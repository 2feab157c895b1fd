"""From a pretrained backbone to cell types: linear probe and partial finetuning."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from sgm_core.analysis import metrics
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, fold_cells, scored_classes
from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import read_json
from sgm_core.model.checkpoint import load_model
from sgm_core.model.head import Head
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import Values, batches
from sgm_core.training.device import autocast, pick_device, schedule
from sgm_core.training.pooling import pooled_vectors


def class_weights(codes: np.ndarray, n_classes: int) -> Tensor:
    """Return loss weights (C,): square root of the inverse class frequency, of mean one over the cells."""
    counts = np.bincount(codes, minlength=n_classes).clip(min=1)
    weights = 1 / np.sqrt(counts)
    return torch.tensor(weights / (weights[codes].mean()), dtype=torch.float32)


def probe(
    train: np.ndarray, codes: np.ndarray, test: np.ndarray, n_classes: int, config: FinetuneConfig
) -> np.ndarray:
    """Train the head alone on cached vectors (n, P); return class probabilities (m, C) of `test`."""
    torch.manual_seed(config.seed)
    x, y = torch.from_numpy(train), torch.from_numpy(codes)
    head = Head(x.shape[1], n_classes, config.head_hidden, config.dropout)
    optimiser = torch.optim.Adam(head.parameters(), config.lr, weight_decay=config.weight_decay)
    weights = class_weights(codes, n_classes) if config.class_weights else None
    rng = np.random.default_rng(config.seed)
    size = max(2, min(256, len(x)))
    per_epoch = max(1, len(x) // size)
    for step in range(config.probe_epochs * per_epoch):
        if step % per_epoch == 0:
            order = rng.permutation(len(x))
        rows = order[(step % per_epoch) * size :][:size]
        for group in optimiser.param_groups:
            group["lr"] = config.lr * schedule("cosine", step, config.probe_epochs * per_epoch)
        loss = F.cross_entropy(head(x[rows]), y[rows], weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    head.eval()
    with torch.no_grad():
        return head(torch.from_numpy(test)).softmax(1).numpy()


def partial(
    model: MaskedModel,
    values: Values,
    train: np.ndarray,
    codes: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    config: FinetuneConfig,
    observer: Observer | None = None,
    **where: object,
) -> np.ndarray:
    """Train token embeddings, position rows, the last encoder block and the head, nothing else.

    Parameters
    ----------
    model : changed in place
    values : the dataset's normalised values
    train, test : row numbers; `codes` (len(train),) are the class numbers of `train`
    where : arm and fold, for the metrics

    Returns
    -------
    Class probabilities (len(test), C).
    """
    observer = observer or Observer()
    torch.manual_seed(config.seed)
    device = values.device
    head = Head(model.backbone.config.pooled_width, n_classes, config.head_hidden, config.dropout).to(device)
    backbone = model.backbone
    model.requires_grad_(False)
    trained = [
        *backbone.values.parameters(),
        *backbone.positions.parameters(),
        *backbone.blocks[-1].parameters(),
    ]
    for parameter in trained:
        parameter.requires_grad_(True)
    parameters = [*trained, *head.parameters()]
    optimiser = torch.optim.Adam(parameters, config.lr, weight_decay=config.weight_decay)
    weights = class_weights(codes, n_classes).to(device) if config.class_weights else None
    code_of = np.zeros(len(values.lengths), np.int64)
    code_of[train] = codes
    rng = np.random.default_rng([config.seed, 1])
    steps, step = config.epochs * -(-len(train) // config.batch_size), 0
    for epoch in range(config.epochs):
        model.train()
        head.train()
        started, total = time.perf_counter(), 0.0
        for rows in batches(train, values.lengths, config.batch_size, rng):
            observer.check()
            if len(rows) < 2:
                continue  # batch normalisation needs two cells
            for group in optimiser.param_groups:
                group["lr"] = config.lr * schedule("cosine", step, steps)
            with autocast(device, config.precision):
                _, pooled = model.encode(values.batch(rows), config.keep_summary)
                loss = F.cross_entropy(
                    head(pooled).float(), torch.from_numpy(code_of[rows]).to(device), weights
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if config.clip:
                torch.nn.utils.clip_grad_norm_(parameters, config.clip)
            optimiser.step()
            step += 1
            total += float(loss.detach()) * len(rows)
        observer.progress(epoch + 1, config.epochs, f"finetuning, epoch {epoch + 1}")
        observer.metric(
            phase="finetune",
            scheme="partial",
            epoch=epoch + 1,
            train_loss=total / len(train),
            cells_per_s=len(train) / (time.perf_counter() - started),
            **where,
        )
    head.eval()
    with torch.no_grad():
        vectors = pooled_vectors(model, values, test, config.keep_summary, config.precision)
        return head(torch.from_numpy(vectors).to(device)).softmax(1).cpu().numpy()


def labelled_rows(
    dataset: Dataset, fold: Fold, label: str | None
) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Return labelled rows of the training (with validation) and of the test donors, and all labels."""
    labels = dataset.labels(label)
    has_label = labels.notna().to_numpy()
    train, validation, test = fold_cells(dataset, fold)
    fit = np.sort(np.concatenate([train, validation]))
    return fit[has_label[fit]], test[has_label[test]], labels


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


def finetune_run(config: FinetuneConfig, folder: Path, observer: Observer) -> None:
    """Finetune a pretraining run as a run of its own; `folder` lies beside the pretraining run's folder."""
    source = folder.parent / config.run
    if not (source / "config.json").exists():
        raise NotFoundError(f"no run {config.run!r}: `sgm runs list` shows the runs that exist")
    description = read_json(source / "config.json")
    if description["kind"] != "pretrain":
        raise InputError(
            f"run {config.run!r} is a {description['kind']} run: finetuning needs a pretrain run"
        )
    parameters = description["parameters"]
    own_fold = parameters.get("fold")
    if own_fold is not None and config.fold not in (None, own_fold):
        raise InputError(
            f"run {config.run!r} was pretrained for fold {own_fold}: its model has seen the test donors of "
            f"fold {config.fold}; finetune it on fold {own_fold}, or pretrain with --fold {config.fold}"
        )
    dataset = open_dataset(parameters["data"])
    label = config.label or parameters.get("label")
    folds = donor_folds(dataset, "cv", parameters.get("n_folds", 5), 0, parameters.get("label"))
    wanted = own_fold if own_fold is not None else config.fold
    if wanted is not None and not 0 <= wanted < len(folds):
        raise InputError(f"fold is {wanted}: with {len(folds)} folds it is 0 to {len(folds) - 1}")
    if own_fold is None:
        observer.message(
            "shared pretraining: the backbone has seen the test donors; the scores are optimistic"
        )
    device = pick_device(config.device)
    predictions, scores = [], []
    for fold in folds if wanted is None else [folds[wanted]]:
        started = time.perf_counter()
        model, genes, arm = load_model(source / "checkpoint")
        model.to(device)
        values = Values(dataset, dataset.gene_columns(genes), device)
        train, test, labels = labelled_rows(dataset, fold, label)
        classes, codes = np.unique(labels.iloc[train].astype(str).to_numpy(), return_inverse=True)
        where = {"arm": arm, "fold": fold.index}
        if config.scheme == "linear-probe":
            rows = np.concatenate([train, test])
            vectors = pooled_vectors(model, values, rows, config.keep_summary, config.precision)
            result = probe(vectors[: len(train)], codes, vectors[len(train) :], len(classes), config)
        else:
            result = partial(model, values, train, codes, test, len(classes), config, observer, **where)
        table = prediction_table(
            dataset, test, classes, result, label, scheme=config.scheme, seed=config.seed, **where
        )
        predictions.append(table)
        scores.append(fold_row(dataset, fold, table, label, len(train), time.perf_counter() - started))
        observer.metric(phase="finetune", scheme=config.scheme, macro_f1=scores[-1]["macro_f1"], **where)
    publish(pd.concat(predictions, ignore_index=True), pd.DataFrame(scores), dataset, observer)


def publish(predictions: pd.DataFrame, folds: pd.DataFrame, dataset: Dataset, observer: Observer) -> None:
    """Keep the tables that follow from predictions and fold scores."""
    observer.table("predictions", predictions)
    observer.table("folds", folds)
    observer.table("per_class", metrics.per_class(predictions))
    observer.table("per_donor", metrics.per_donor(predictions, dataset.donors()))

"""One piece of a comparison: an arm, or the baselines, on one fold; a folder, whole or absent."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold
from sgm_core.comparison.arms import settings
from sgm_core.comparison.baselines import BASELINES, run_baseline
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.home import whole_file, whole_folder, write_json, write_table
from sgm_core.progress import Observer
from sgm_core.training.config import SCHEMES, FinetuneConfig
from sgm_core.training.folds import draws_of, run_folds

if TYPE_CHECKING:
    from torch import Tensor

    from sgm_core.model.reconstruction import MaskedModel
    from sgm_core.training.data import Values

BASELINE, MAP = "baselines", "dataset-map"
MAPPED = ("self-guided", "uniform+summary")  # arms whose pooled vectors of fold 0 get a UMAP
_progress: Any = None  # a shared array in the worker processes: the share done of every piece


@dataclass(frozen=True)
class Piece:
    """One arm (or the baselines) on one fold."""

    arm: str
    fold: int

    @property
    def name(self) -> str:
        """The piece's folder."""
        return f"{self.arm}.fold{self.fold}"


class PieceObserver(Observer):
    """Passes a piece's metrics on; its progress goes into the shared array."""

    def __init__(self, observer: Observer, slot: int, share: tuple[float, float] = (0.0, 1.0)) -> None:
        self.observer, self.slot, self.share = observer, slot, share

    def message(self, text: str) -> None:
        """Pass it on."""
        self.observer.message(text)

    def metric(self, **values: Any) -> None:
        """Pass it on."""
        self.observer.metric(**values)

    def check(self) -> None:
        """Ask whom it stands for."""
        self.observer.check()

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Note the piece's share that is done."""
        if _progress is not None:
            start, end = self.share
            _progress[self.slot] = start + (end - start) * done / max(total, 1e-9)


def start_worker(progress: Any, workers: int) -> None:
    """Prepare a process for pieces: where it notes their progress, and how many processes there are."""
    global _progress
    from sgm_core.device import set_threads
    from sgm_core.training.memory import keep_freed_memory

    _progress = progress
    set_threads(workers)
    keep_freed_memory()


def run_piece(config: CompareConfig, piece: Piece, folder: Path, observer: PieceObserver) -> None:
    """Work out one piece and keep it as ``pieces/ARM.foldK``."""
    dataset = open_dataset(config.data)
    fold = run_folds(dataset, config)[piece.fold]
    target = folder / "pieces" / piece.name
    if target.exists():
        return  # a twin finished it
    started = time.perf_counter()
    with whole_folder(target) as temporary:
        if piece.arm == BASELINE:
            _baselines(dataset, config, fold, temporary, observer)
        elif piece.arm == MAP:
            _map(dataset, config.seed)
        else:
            _arm(dataset, config, piece, fold, folder, temporary, observer)
        seconds = time.perf_counter() - started
        write_json(temporary / "piece.json", {"arm": piece.arm, "fold": piece.fold, "seconds": seconds})
    observer.progress(1, 1)


def _baselines(
    dataset: Dataset, config: CompareConfig, fold: Fold, target: Path, observer: PieceObserver
) -> None:
    from sgm_core.training.finetune import fold_row, labelled_rows, prediction_table

    train, test, labels = labelled_rows(dataset, fold, config.label)
    known = labels.iloc[train].astype(str).to_numpy()
    x_train, x_test = dataset.lognorm(train), dataset.lognorm(test)
    tables, rows = [], []
    for number, name in enumerate(BASELINES):
        observer.check()
        started = time.perf_counter()
        classes, probabilities = run_baseline(name, x_train, known, x_test, config.seed)
        where = {"fold": fold.index, "arm": name, "scheme": "baseline", "seed": config.seed}
        table = prediction_table(dataset, test, classes, probabilities, config.label, **where)
        tables.append(table)
        seconds = time.perf_counter() - started
        for draw, part in draws_of(dataset, config, table):
            rows.append(fold_row(dataset, fold, part, config.label, len(train), seconds) | draw)
        observer.metric(
            phase="baseline", arm=name, scheme="baseline", fold=fold.index, macro_f1=rows[-1]["macro_f1"]
        )
        observer.progress(number + 1, len(BASELINES))
    write_table(target / "predictions.parquet", pd.concat(tables, ignore_index=True))
    write_table(target / "folds.parquet", pd.DataFrame(rows))


def _arm(
    dataset: Dataset,
    config: CompareConfig,
    piece: Piece,
    fold: Fold,
    folder: Path,
    target: Path,
    observer: PieceObserver,
) -> None:
    from sgm_core.device import pick_device
    from sgm_core.model.checkpoint import save_model
    from sgm_core.training.data import model_values
    from sgm_core.training.finetune import fold_row, held_out, labelled_rows, prediction_table, probe
    from sgm_core.training.pretrain import pretrain, pretrain_cells, weights_of
    from sgm_core.training.schemes import train_classifier
    from sgm_core.training.start import begin, set_pool

    pretraining, finetuning = settings(config, piece.arm, piece.fold)
    device = pick_device(config.device)
    started = time.perf_counter()
    trained = bool(ARMS[piece.arm])
    if trained:
        result = pretrain(dataset, pretraining, fold, PieceObserver(observer, observer.slot, (0.0, 0.6)))
        model = result.model
        write_table(target / "masks.parquet", result.masks)
        write_table(target / "mask_cells.parquet", result.mask_cells)
        save_model(target / "checkpoint", model, result.names, piece.arm, weights_of(pretraining))
        values = model_values(dataset, model, result.names, device)
    else:
        seen = pretrain_cells(dataset, fold)[0]
        start = begin(dataset, pretraining, seen, device, random=piece.arm == "no-pretraining")
        model, values = start.model, start.values
    pretrain_seconds = time.perf_counter() - started
    set_pool(model.backbone, finetuning.pool)
    train, test, labels = labelled_rows(dataset, fold, config.label)
    classes, codes = np.unique(labels.iloc[train].astype(str).to_numpy(), return_inverse=True)
    held = held_out(dataset, fold, train, finetuning)
    tables, rows = [], []
    # the probe first, whatever the order asked for: the other schemes change the model in place
    schemes = [scheme for scheme in SCHEMES if scheme in config.schemes]
    before = _kept(model, len(schemes) - ("linear-probe" in schemes))
    first = 0.7 if trained else 0.1
    for number, scheme in enumerate(schemes):
        observer.check()
        started = time.perf_counter()
        share = (
            first + (1 - first) * number / len(schemes),
            first + (1 - first) * (number + 1) / len(schemes),
        )
        within = PieceObserver(observer, observer.slot, share)
        if scheme == "linear-probe":
            needed = np.concatenate([train, test])
            pooled = _pooled(model, values, needed, config, piece, finetuning, folder, within)
            result_probabilities = probe(pooled[train], codes, pooled[test], len(classes), finetuning, held)
        else:
            where = {"arm": piece.arm, "fold": piece.fold}
            compat = finetuning.compat if scheme == "official" else "corrected"
            own = replace(finetuning, scheme=scheme, compat=compat)
            if before is not None:
                model.load_state_dict(before)
            result_probabilities = train_classifier(
                model, values, train, codes, test, len(classes), own, within, held, **where
            )
        keys = {"fold": piece.fold, "arm": piece.arm, "scheme": scheme, "seed": config.seed}
        table = prediction_table(dataset, test, classes, result_probabilities, config.label, **keys)
        seconds = pretrain_seconds + time.perf_counter() - started
        tables.append(table)
        for draw, part in draws_of(dataset, config, table):
            rows.append(fold_row(dataset, fold, part, config.label, len(train), seconds) | draw)
        observer.metric(
            phase="finetune", arm=piece.arm, scheme=scheme, fold=piece.fold, macro_f1=rows[-1]["macro_f1"]
        )
    write_table(target / "predictions.parquet", pd.concat(tables, ignore_index=True))
    write_table(target / "folds.parquet", pd.DataFrame(rows))


def _kept(model: "MaskedModel", changes: int) -> dict[str, "Tensor"] | None:
    """Return a copy of the weights where more than one scheme changes them, so that each starts from them."""
    if changes < 2:
        return None
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _pooled(
    model: "MaskedModel",
    values: "Values",
    needed: np.ndarray,
    config: CompareConfig,
    piece: Piece,
    finetuning: FinetuneConfig,
    folder: Path,
    observer: PieceObserver,
) -> np.ndarray:
    """Return the pooled vectors (n_cells, P) of the cells `needed`, and of all where they are kept.

    Those of the original weights are the same for every fold.
    """
    from sgm_core.training.pooling import pooled_vectors

    shared = piece.arm == "original"
    path = folder / "pooled" / (f"{piece.arm}.npy" if shared else f"{piece.name}.npy")
    if shared and path.exists():
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    kept = shared or (config.umap and piece.fold == 0 and piece.arm in MAPPED)
    rows = np.arange(len(values.lengths)) if kept else needed
    vectors = pooled_vectors(model, values, rows, finetuning.keep_summary, finetuning.precision, observer)
    pooled = np.zeros((len(values.lengths), vectors.shape[1]), np.float32)
    pooled[rows] = vectors
    if kept:
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, pooled)
    return pooled


def _map(dataset: Dataset, seed: int) -> None:
    from sgm_core.analysis.embedding import dataset_umap

    stored = dataset.path / "embeddings" / "pca_umap.parquet"
    if not stored.exists():
        write_table(stored, dataset_umap(dataset, seed))

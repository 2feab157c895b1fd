"""The paper's Table 1 for one dataset: every arm and scheme over donor folds, beside plain baselines.

The work is cut into pieces, one per arm and fold (and one per fold for the baselines). A finished piece
is a folder under ``RUN/pieces``, whole or absent, so asking again continues where the last attempt
ended. Pieces run in as many processes as there are cores: on a CPU, two processes of one thread do more
than one process of two threads.
"""

import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sgm_core.analysis import statistics
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, scored_classes
from sgm_core.errors import InputError
from sgm_core.home import whole_file, whole_folder, write_json, write_table
from sgm_core.progress import Observer
from sgm_core.training.arms import settings
from sgm_core.training.backbones import corpus_sentence, is_bundle
from sgm_core.training.baselines import BASELINES, run_baseline
from sgm_core.training.config import ARMS, SCHEMES, CompareConfig, FinetuneConfig
from sgm_core.training.cores import usable_cores
from sgm_core.training.counts import sum_folds

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


class _PieceObserver(Observer):
    """Passes a piece's metrics on; its progress goes into the shared array."""

    def __init__(self, observer: Observer, slot: int, share: tuple[float, float] = (0.0, 1.0)) -> None:
        self.observer, self.slot, self.share = observer, slot, share

    def message(self, text: str) -> None:
        self.observer.message(text)

    def metric(self, **values: Any) -> None:
        self.observer.metric(**values)

    def check(self) -> None:
        self.observer.check()

    def progress(self, done: float, total: float, what: str = "") -> None:
        if _progress is not None:
            start, end = self.share
            _progress[self.slot] = start + (end - start) * done / max(total, 1e-9)


def pieces_of(config: CompareConfig) -> list[Piece]:
    """Return all pieces, baselines first (they give the first figures), then fold by fold."""
    first = [Piece(BASELINE, fold) for fold in range(config.folds)]
    if config.umap:
        first.insert(1, Piece(MAP, 0))
    # expensive arms first, so that no core idles at the end
    # (the original weights train nothing, and their scores are wanted early)
    arms = sorted(
        config.arms, key=lambda arm: (arm != "original", arm == "no-pretraining", -list(ARMS).index(arm))
    )
    return first + [Piece(arm, fold) for fold in range(config.folds) for arm in arms]


def compare_run(config: CompareConfig, folder: Path, observer: Observer) -> None:
    """Run (or continue) a comparison in the run's `folder`; tables are published as pieces finish.

    Raises
    ------
    InputError
        If the dataset can't be split or has fewer than two classes to score.
    Cancelled
        If the user asked for it.
    """
    dataset = open_dataset(config.data)
    folds = donor_folds(dataset, "cv", config.folds, 0, config.label)
    scored, _ = scored_classes(dataset, config.label)
    if len(scored) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(scored)} classes with at least 20 cells and 5 donors "
            f"under {config.label or dataset.cell_type_column!r}: a comparison needs two; choose another "
            "label column"
        )
    for arm in config.arms:
        settings(config, arm)  # a wrong field is refused before anything runs
    _refuse_misfits(dataset, config)
    home = folder / "pieces"
    home.mkdir(exist_ok=True)
    everything = pieces_of(config)
    todo = [piece for piece in everything if not (home / piece.name / "piece.json").exists()]
    if len(todo) < len(everything):
        observer.message(f"{len(everything) - len(todo)} of {len(everything)} pieces are done already")
    bundle = is_bundle(config.backbone)
    if bundle:
        observer.message(corpus_sentence(dataset, config.backbone))
    # two full-size models don't fit beside each other, so one process has all cores
    workers = 1 if bundle or _on_gpu(config.device) else max(1, min(usable_cores(), len(todo)))
    observer.message(f"{len(todo)} pieces in {workers} processes; folds never share a donor")
    context = multiprocessing.get_context("spawn")
    progress = context.Array("d", max(1, len(todo)))
    finished = len(everything) - len(todo)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(progress, workers)
    ) as pool:
        waiting = {
            pool.submit(run_piece, config, piece, folder, _PieceObserver(observer, slot)): piece
            for slot, piece in enumerate(todo)
        }
        try:
            while waiting:
                done, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                observer.check()
                for future in done:
                    piece = waiting.pop(future)
                    future.result()
                    observer.message(f"{piece.name} done")
                if done:
                    finished += len(done)
                    publish_tables(dataset, config, folder, observer)
                under_way = sum(share for share in progress[:] if share < 1)
                observer.progress(
                    finished + under_way,
                    len(everything) + bool(config.umap),
                    f"{finished} of {len(everything)} pieces",
                )
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    publish_tables(dataset, config, folder, observer)
    _report_folds(folds, observer)
    if config.umap:
        from sgm_core.analysis.embedding import embed_pooled

        if any((folder / "pooled").glob("*.npy")):
            observer.message("computing UMAPs of the pooled vectors")
            embed_pooled(folder, config.seed, observer)


def _map(dataset: Dataset, seed: int) -> None:
    from sgm_core.analysis.embedding import dataset_umap

    stored = dataset.path / "embeddings" / "pca_umap.parquet"
    if not stored.exists():
        write_table(stored, dataset_umap(dataset, seed))


def _report_folds(folds: list[Fold], observer: Observer) -> None:
    for fold in folds:
        observer.message(f"fold {fold.index} tested {', '.join(fold.test)}")


def _on_gpu(device: str) -> bool:
    from sgm_core.training.device import pick_device

    return pick_device(device).type == "cuda"


def _start_worker(progress: Any, workers: int) -> None:
    global _progress
    from sgm_core.training.device import set_threads
    from sgm_core.training.memory import keep_freed_memory

    _progress = progress
    set_threads(workers)
    keep_freed_memory()


def run_piece(config: CompareConfig, piece: Piece, folder: Path, observer: _PieceObserver) -> None:
    """Work out one piece and keep it as ``pieces/ARM.foldK``."""
    dataset = open_dataset(config.data)
    fold = donor_folds(dataset, "cv", config.folds, 0, config.label)[piece.fold]
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
    dataset: Dataset, config: CompareConfig, fold: Fold, target: Path, observer: _PieceObserver
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
        rows.append(fold_row(dataset, fold, table, config.label, len(train), time.perf_counter() - started))
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
    observer: _PieceObserver,
) -> None:
    from sgm_core.model.checkpoint import save_model
    from sgm_core.training.data import model_values
    from sgm_core.training.device import pick_device
    from sgm_core.training.finetune import fold_row, labelled_rows, prediction_table, probe
    from sgm_core.training.pretrain import pretrain, pretrain_cells, weights_of
    from sgm_core.training.schemes import train_classifier
    from sgm_core.training.start import begin

    pretraining, finetuning = settings(config, piece.arm, piece.fold)
    device = pick_device(config.device)
    started = time.perf_counter()
    trained = bool(ARMS[piece.arm])
    if trained:
        result = pretrain(dataset, pretraining, fold, _PieceObserver(observer, observer.slot, (0.0, 0.6)))
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
    train, test, labels = labelled_rows(dataset, fold, config.label)
    classes, codes = np.unique(labels.iloc[train].astype(str).to_numpy(), return_inverse=True)
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
        within = _PieceObserver(observer, observer.slot, share)
        if scheme == "linear-probe":
            needed = np.concatenate([train, test])
            pooled = _pooled(model, values, needed, config, piece, finetuning, folder, within)
            result_probabilities = probe(pooled[train], codes, pooled[test], len(classes), finetuning)
        else:
            where = {"arm": piece.arm, "fold": piece.fold}
            compat = finetuning.compat if scheme == "official" else "corrected"
            own = replace(finetuning, scheme=scheme, compat=compat)
            if before is not None:
                model.load_state_dict(before)
            result_probabilities = train_classifier(
                model, values, train, codes, test, len(classes), own, within, **where
            )
        keys = {"fold": piece.fold, "arm": piece.arm, "scheme": scheme, "seed": config.seed}
        table = prediction_table(dataset, test, classes, result_probabilities, config.label, **keys)
        seconds = pretrain_seconds + time.perf_counter() - started
        tables.append(table)
        rows.append(fold_row(dataset, fold, table, config.label, len(train), seconds))
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
    observer: _PieceObserver,
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


def _refuse_misfits(dataset: Dataset, config: CompareConfig) -> None:
    """Check what needs the backbone's shape, before anything runs."""
    if "official" in config.schemes:
        depth = _depth(config.backbone)
        if depth < 2:
            raise InputError(
                f"the scheme 'official' trains the second-to-last block, and {config.backbone!r} has one: "
                "choose last-block or partial"
            )
        if config.finetune.get("compat") == "official" and not is_bundle(config.backbone):
            raise InputError("finetune.compat=official needs imported weights: a size has no padding")
    if is_bundle(config.backbone):
        from sgm_core.model.bundle import open_bundle
        from sgm_core.training.data import refuse_long_cells
        from sgm_core.training.tokens import vocabulary_tokens

        settings_of = settings(config, config.arms[0] if config.arms else "uniform")[0]
        bundle = open_bundle(config.backbone)
        if settings_of.weights_key not in bundle.keys:
            raise InputError(
                f"weights {config.backbone!r} have no weight set {settings_of.weights_key!r}: "
                f"choose {', '.join(bundle.keys)}"
            )
        source = f"dataset {dataset.name!r}"
        tokens = vocabulary_tokens(dataset, bundle.genes)  # refuses genes that are not in the vocabulary
        refuse_long_cells(tokens.counts, settings_of.max_tokens, source)


def _depth(backbone: str) -> int:
    from sgm_core.model.bundle import open_bundle
    from sgm_core.model.sizes import backbone_config

    if is_bundle(backbone):
        return int(open_bundle(backbone).config["depth"])
    return backbone_config(backbone, 2).depth


def publish_tables(dataset: Dataset, config: CompareConfig, folder: Path, observer: Observer) -> None:
    """Put the finished pieces' tables together and derive what follows from them."""
    from sgm_core.training.finetune import publish

    def gather(name: str, arm: str | None = None) -> pd.DataFrame | None:
        pieces = [piece for piece in pieces_of(config) if arm in (None, piece.arm)]
        paths = [folder / "pieces" / piece.name / f"{name}.parquet" for piece in pieces]
        frames = [pd.read_parquet(path) for path in paths if path.exists()]
        return pd.concat(frames, ignore_index=True) if frames else None

    folds, predictions = gather("folds"), gather("predictions")
    if folds is None or predictions is None:
        return
    publish(predictions, folds, dataset, observer)
    observer.table("summary", statistics.summary_table(folds))
    observer.table("paired", statistics.paired_table(folds))
    mask_cells = gather("mask_cells")
    if mask_cells is None:
        return
    observer.table("mask_cells", mask_cells)
    # one arm at a time: a full vocabulary has a million rows a fold
    per_fold, summed = [], []
    for arm in config.arms:
        masks = gather("masks", arm)
        if masks is not None:
            per_fold.append(masks[masks["by"] == "all"])
            summed.append(sum_folds(masks))
    observer.table("masks", pd.concat([*per_fold, *summed], ignore_index=True))

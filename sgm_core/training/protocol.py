"""The paper's Table 1 for one dataset: every arm and scheme over donor folds, beside plain baselines.

The work is cut into pieces, one per arm and fold (and one per fold for the baselines). A finished piece
is a folder under ``RUN/pieces``, whole or absent, so asking again continues where the last attempt
ended. Pieces run in as many processes as there are cores: on a CPU, two processes of one thread do more
than one process of two threads.
"""

import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd

from sgm_core.analysis import statistics
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, scored_classes
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.arms import settings
from sgm_core.training.backbones import corpus_sentence, is_bundle
from sgm_core.training.config import ARMS, CompareConfig
from sgm_core.training.cores import usable_cores
from sgm_core.training.counts import sum_folds
from sgm_core.training.killed import run_noted, start_noting, why_broken
from sgm_core.training.pieces import BASELINE, MAP, Piece, PieceObserver


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
    progress, pids = context.Array("d", max(1, len(todo))), context.Array("q", max(1, len(todo)))
    finished = len(everything) - len(todo)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=start_noting, initargs=(pids, progress, workers)
    ) as pool:
        waiting = {
            pool.submit(run_noted, config, piece, folder, PieceObserver(observer, slot)): piece
            for slot, piece in enumerate(todo)
        }
        processes = list(pool._processes.values())
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
        except BrokenProcessPool as error:
            raise why_broken(processes, pids[:], todo) from error
        except BaseException:
            for process in processes:
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


def _report_folds(folds: list[Fold], observer: Observer) -> None:
    for fold in folds:
        observer.message(f"fold {fold.index} tested {', '.join(fold.test)}")


def _on_gpu(device: str) -> bool:
    from sgm_core.training.device import pick_device

    return pick_device(device).type == "cuda"


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

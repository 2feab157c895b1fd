"""The paper's Table 1 for one dataset: every arm and scheme over donor folds, beside plain baselines.

The work is cut into tasks, one per arm, seed and fold (and one per fold for the baselines). A finished task
is a folder under ``RUN/tasks``, whole or absent, so asking again continues where the last attempt ended; what
other code made is made again. Tasks run in as many processes as there are cores, or graphics cards: on a CPU,
two processes of one thread do more than one process of two threads. Under Slurm each is a job of its own
(`unfinished`, then `gather_run`).
"""

import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, scored_classes
from sgm_core.comparison.arms import cards_for, process_count, seeds_of, settings
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.comparison.killed import run_noted, start_noting, why_broken
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import (
    BASELINE,
    MAP,
    STEP_S,
    Task,
    TaskObserver,
    drop_what_other_code_made,
    is_done,
)
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.saved.code import deciding_code
from sgm_core.training.backbones import is_bundle, say_of_weights
from sgm_core.training.config import fold_count
from sgm_core.training.folds import run_folds


def tasks_of(config: CompareConfig) -> list[Task]:
    """Return all tasks, baselines first (they give the first figures), then fold by fold."""
    n_folds = fold_count(config.split, config.folds)
    first = [Task(BASELINE, fold) for fold in range(n_folds)]
    if config.umap:
        first.insert(1, Task(MAP, 0))
    # expensive arms first, so that no core idles at the end
    # (the original weights train nothing, and their scores are wanted early)
    arms = sorted(
        config.arms, key=lambda arm: (arm != "original", arm == "no-pretraining", -list(ARMS).index(arm))
    )
    return first + [
        Task(arm, fold, seed)
        for number in range(config.seeds)
        for fold in range(n_folds)
        for arm in arms
        for seed in seeds_of(config, arm)[number : number + 1]
    ]


def unfinished(config: CompareConfig, folder: Path, observer: Observer) -> list[Task]:
    """Return the tasks that have no result yet, after what other code made is deleted.

    Raises
    ------
    InputError
        If the dataset can't be split or has fewer than two classes to score, or the backbone does not fit.
    """
    dataset = open_dataset(config.data)
    run_folds(dataset, config)
    scored, _ = scored_classes(dataset, config.label)
    if len(scored) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(scored)} classes with at least 20 cells and 5 donors "
            f"under {config.label or dataset.cell_type_column!r}: a comparison needs two; choose another "
            "label column"
        )
    _refuse_misfits(dataset, config)
    if drop_what_other_code_made(folder, deciding_code()):
        observer.message("another version of the program made what was done: all tasks start again")
    everything = tasks_of(config)
    todo = [task for task in everything if not is_done(folder, task)]
    if len(todo) < len(everything):
        observer.message(f"{len(everything) - len(todo)} of {len(everything)} tasks are done already")
    if is_bundle(config.backbone):
        say_of_weights(dataset, config.backbone, observer)
    return todo


def compare_run(
    config: CompareConfig, folder: Path, observer: Observer, processes: int | None = None
) -> None:
    """Run (or continue) a comparison in the run's `folder`; tables are published as tasks finish.

    Parameters
    ----------
    config : the comparison
    folder : the run's
    observer : is told what happens, and says when to stop
    processes : how many work on tasks at once, by default as many as pay (`process_count`)

    Raises
    ------
    InputError
        As in `unfinished`.
    Cancelled
        If the user asked for it.
    """
    todo, everything, code = unfinished(config, folder, observer), tasks_of(config), deciding_code()
    workers = min(processes or process_count(config, len(todo)), max(1, len(todo)))
    observer.message(f"{len(todo)} tasks in {workers} processes; folds never share a donor")
    context = multiprocessing.get_context("spawn")
    progress, pids = context.Array("d", max(1, len(todo))), context.Array("q", max(1, len(todo)))
    finished = len(everything) - len(todo)
    publisher = Publisher(open_dataset(config.data), config.schemes, everything, folder, observer)
    cards = cards_for(config)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=start_noting, initargs=(pids, progress, workers, cards)
    ) as pool:
        waiting = {
            pool.submit(run_noted, config, task, folder, code, TaskObserver(observer, slot)): task
            for slot, task in enumerate(todo)
        }
        workers_of = list(pool._processes.values())
        try:
            while waiting:
                done, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                observer.check()
                for future in done:
                    task = waiting.pop(future)
                    future.result()
                    observer.message(f"{task.name} done")
                if done:
                    finished += len(done)
                    publisher.when_due()
                share_under_way = sum(share for share in progress[:] if share < 1)
                observer.progress(
                    finished + share_under_way,
                    len(everything) + bool(config.umap),
                    f"{finished} of {len(everything)} tasks",
                )
        except BrokenProcessPool as error:
            raise why_broken(workers_of, pids[:], todo) from error
        except BaseException:
            under_way = [future for future in waiting if future.running()]
            pool.shutdown(wait=False, cancel_futures=True)
            try:
                for process in workers_of:
                    process.terminate()  # after its step, with its checkpoint kept
                wait(under_way, timeout=STEP_S)
            finally:
                for process in workers_of:
                    process.kill()
            publisher.wait()
            raise
    _finish(config, folder, observer, publisher)


def gather_run(config: CompareConfig, folder: Path, observer: Observer) -> None:
    """Publish the tables of a comparison whose tasks were worked out elsewhere.

    Raises
    ------
    InputError
        If a task has no result.
    """
    missing = unfinished(config, folder, observer)
    everything = tasks_of(config)
    if missing:
        named = ", ".join(task.name for task in missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise InputError(
            f"{len(missing)} of {len(everything)} tasks have no result ({named}): the log says why; resuming "
            "works out these alone"
        )
    publisher = Publisher(open_dataset(config.data), config.schemes, everything, folder, observer)
    _finish(config, folder, observer, publisher)


def _finish(config: CompareConfig, folder: Path, observer: Observer, publisher: Publisher) -> None:
    publisher.publish()
    _report_folds(run_folds(open_dataset(config.data), config), observer)
    if config.umap:
        from sgm_core.analysis.embedding import embed_pooled

        if any((folder / "pooled").glob("*.npy")):
            observer.message("computing UMAPs of the pooled vectors")
            embed_pooled(folder, config.seed, observer)


def _report_folds(folds: list[Fold], observer: Observer) -> None:
    for fold in folds:
        observer.message(f"fold {fold.index} tested {', '.join(fold.test)}")


def _refuse_misfits(dataset: Dataset, config: CompareConfig) -> None:
    """Check what needs the backbone's shape, before anything runs."""
    depth = _depth(config.backbone)
    block = settings(config, config.arms[0])[1].trained_block
    if block == "second-to-last" and {"partial", "last-block"} & set(config.schemes) and depth < 2:
        raise InputError(
            f"finetune.trained_block is 'second-to-last', and {config.backbone!r} has one block: choose a "
            "backbone of two blocks or more, or trained_block=last"
        )
    if "official" in config.schemes:
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
        bundle.key(settings_of.weights_key)
        source = f"dataset {dataset.name!r}"
        # refuses genes that are not in the vocabulary
        tokens = vocabulary_tokens(dataset, bundle.genes, bundle.config)
        refuse_long_cells(tokens.counts, settings_of.max_tokens, source, bundle.config)


def _depth(backbone: str) -> int:
    from sgm_core.model.bundle import open_bundle
    from sgm_core.model.sizes import backbone_config

    if is_bundle(backbone):
        return int(open_bundle(backbone).config["depth"])
    return backbone_config(backbone, 2).depth

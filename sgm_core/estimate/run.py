"""What a run will take before it starts: tokens per cell, memory, time; needs neither torch nor a GPU.

Where steps were measured on the device (`sgm_core.estimate.measure`), their seconds per cell and peak memory
hold; before that, `sgm_core.estimate.formula`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sgm_core import device as machine
from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import fold_cells
from sgm_core.comparison.arms import process_count, seeds_of, settings
from sgm_core.comparison.config import ARMS, KEPT_BYTES, N_VARIABLE, CompareConfig
from sgm_core.errors import InputError, NotFoundError
from sgm_core.estimate import formula
from sgm_core.model.sizes import CELL_TOKEN, parameters
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.config import FinetuneConfig, PretrainConfig, Settings, fold_count
from sgm_core.training.corpus import corpus_datasets
from sgm_core.training.few_recipe import few_recipe
from sgm_core.training.folds import run_fold
from sgm_core.training.tokens import Tokens
from sgm_core.training.train_cells import cells_an_epoch

_VALIDATION = 512
_VALIDATION_PASS = 0.4  # of a training step, which has three passes
# The check of hidden genes that ends a pretraining, by gene: of a cell that the simple predictors are fitted
# to (4,000 at most), and of one that they reconstruct. With 4,000 and 512 cells they took 2.4 s at 2,000
# genes, 10 s at 8,000 and 21 s at 18,500 (vangalen, one thread); beside other programs 4, 15 and 27 to 36 s.
_FITTED, _FIT_S, _RECONSTRUCT_S = 4000, 2.5e-7, 1.5e-6
_SETUP_S = 5.0
_HEADS = 4  # that a linear probe trains to choose its weight decay
_HEAD_S = 1.7e-5  # of one cell in a step of a head
_BASELINE_S = 0.0016  # of one cell that the baselines of a fold train on
_NAMED_S = 0.0006  # of one cell that they name
# of the baselines on few labelled cells, beside what grows with the cells: a draw of 184, 503 and 1,421 cells
# took 1.4, 2.6 and 5.0 s beside other programs, with 2,522 test cells (vangalen, one thread)
_FEW_BASELINES_S = 1.5
_KEPT_S = 0.0001  # of one cell that they name again, where it is kept
_FEATURE_BYTES = 4 * N_VARIABLE  # of one cell that they name
_BASELINE_BYTES = 1.3 * _FEATURE_BYTES  # of one that they train on: its features, and what a step adds
_GATHERS = 1e9  # bytes of the process that gathers the tables of a comparison's others

Measured = Mapping[str, Mapping[str, Any]]
"""What was measured, by part: ``pretrain`` and ``encode``, see `sgm_core.estimate.measure.measure_steps`."""


@dataclass(frozen=True)
class TokensPerCell:
    """Tokens per cell: their mean, the most that 95 % have, the longest, how many are over the limit."""

    mean: float
    p95: float
    longest: int
    max_tokens: int
    over: int


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Parameters
    ----------
    tokens : per cell
    memory : bytes of one process by part, by the formula
    memory_bytes : bytes in all, of every process at once: what is shown, and what is refused
    machine : the memory that there is
    measured : whether steps were
    basis : what the estimate rests on, in words
    cells, cells_per_s : of a pass: in pretraining those that train, in finetuning those that are encoded
    epochs, seconds_per_epoch, seconds : of one training, and of the run
    folds : that are trained for
    pretrainings : models that a comparison trains, None for other runs
    processes : that work at once
    encode_seconds : of a pass of finetuning over its cells
    disk_bytes : that are needed while it runs
    """

    tokens: TokensPerCell
    memory: dict[str, float]
    memory_bytes: int
    machine: machine.Memory
    measured: bool
    basis: str
    cells: int
    cells_per_s: float
    epochs: int
    seconds_per_epoch: float
    seconds: float
    folds: int = 1
    pretrainings: int | None = None
    processes: int = 1
    encode_seconds: float = 0.0
    disk_bytes: int = 0


def estimate_run(
    config: Settings, dataset: Dataset, measured: Measured | None = None, processes: int | None = None
) -> Estimate:
    """Estimate a run of any kind.

    Parameters
    ----------
    config, dataset : what would run
    measured : what was measured of it, if anything
    processes : that work at once on this machine, on tasks of a comparison or on one model; None is what a
        comparison takes by itself, and one for others
    """
    threads = threads_of(config)
    if isinstance(config, CompareConfig):
        at_once = min(processes, _tasks(config)) if processes else processes_of(config)
        return _comparison(config, dataset, measured or {}, threads, at_once)
    if isinstance(config, SweepConfig):
        return _sweep(config, dataset, measured or {}, threads)
    if isinstance(config, FinetuneConfig):
        found = _finetuning(config, dataset, measured or {}, threads, source_of(config))
        return _shared(found, processes or 1, config.device)
    assert isinstance(config, PretrainConfig)
    estimate = _shared(_pretraining(config, dataset, measured or {}, threads), processes or 1, config.device)
    tokens = formula.tokens_of(dataset, config)
    shape = formula.shape_of(config, tokens.n_genes)
    encode_s = _encode_seconds(config, shape, tokens, measured or {}, threads)
    return replace(estimate, seconds=estimate.seconds + dataset.n_cells * encode_s)


def processes_of(config: Settings) -> int:
    """Return how many processes of a run work at once."""
    if not isinstance(config, CompareConfig):
        return 1
    return process_count(config, _tasks(config))


def _tasks(config: CompareConfig) -> int:
    models = sum(len(seeds_of(config, arm)) for arm in config.arms)
    return fold_count(config.split, config.folds) * (models + 1) + config.umap


def threads_of(config: Settings) -> int:
    """Return how many threads each of them has, on a CPU."""
    return machine.thread_count(processes_of(config))


def source_of(config: FinetuneConfig) -> PretrainConfig:
    """Return the pretraining that a finetuning starts from, on the finetuning's device.

    Raises
    ------
    NotFoundError
        If its run does not exist.
    InputError
        If its run is no pretraining.
    """
    machine_fields = {name: getattr(config, name) for name in ("device", "precision", "max_tokens")}
    if config.backbone:
        names = ("data", "backbone", "weights_key", "split", "n_folds")
        own = {name: getattr(config, name) for name in names}
        return PretrainConfig.from_dict({**own, **machine_fields, "masker": "uniform", "summary": "none"})
    path = home.folder("runs") / home.check_name(config.run, "run") / "config.json"
    if not path.is_file():
        raise NotFoundError(f"no run {config.run!r}: `sgm runs list` shows the runs that exist")
    described = home.read_json(path)
    if described["kind"] != "pretrain":
        raise InputError(f"run {config.run!r} is a {described['kind']} run: finetuning needs a pretrain run")
    fields = described["parameters"]
    machine_fields["max_tokens"] = max(config.max_tokens, fields.get("max_tokens", 0))
    return PretrainConfig.from_dict({**fields, **machine_fields})


def costliest(config: CompareConfig) -> PretrainConfig:
    """Return the pretraining of the arm that costs most: one with latents where there is any."""
    arms = [arm for arm in config.arms if ARMS[arm]] or list(config.arms)
    return settings(config, max(arms, key=lambda arm: formula.has_latents(settings(config, arm)[0])))[0]


def _pretraining(config: PretrainConfig, dataset: Dataset, measured: Measured, threads: int) -> Estimate:
    """Estimate a pretraining without the pass over all cells that ends a run of its own."""
    tokens = formula.tokens_of(dataset, config)
    shape = formula.shape_of(config, tokens.n_genes)
    batch = formula.longest(tokens, config.batch_size)
    visible, decoded = formula.seen(config, shape), formula.predicted(config, shape, tokens)
    in_step = formula.activations(config, shape, visible * batch, len(batch) * decoded)
    cell_bytes = formula.cell_bytes(dataset)
    memory = formula.memory(config, shape, tokens, sum(parameters(shape)), in_step, cell_bytes)
    step, encode = measured.get("pretrain", {}), measured.get("encode", {})
    cell_s = step.get("cell_s") or formula.train_seconds(config, shape, tokens, threads)
    train, validation = _cells(config, dataset)
    validated = min(validation, _VALIDATION)
    validation_s = _VALIDATION_PASS * validated * cell_s
    epoch = train * cell_s + validation_s
    fitted = min(_FITTED, _own_cells(config, dataset)[0])
    check_s = validation_s + tokens.n_genes * (fitted * _FIT_S + validated * _RECONSTRUCT_S)
    if shape.get("kind") in CELL_TOKEN:  # which is not held against simple predictors
        check_s = 0.0
    return Estimate(
        tokens=_per_cell(tokens, config.max_tokens, shape),
        memory=memory,
        memory_bytes=_peak(memory, [part for part in (step, encode) if step and part]),
        machine=machine.memory(config.device),
        measured=bool(step),
        basis=_basis(step),
        cells=train,
        cells_per_s=1 / cell_s,
        epochs=config.epochs,
        seconds_per_epoch=epoch,
        seconds=config.epochs * epoch + check_s + step.get("setup_s", _SETUP_S),
    )


def _finetuning(
    config: FinetuneConfig, dataset: Dataset, measured: Measured, threads: int, source: PretrainConfig
) -> Estimate:
    tokens = formula.tokens_of(dataset, source)
    shape = formula.shape_of(source, tokens.n_genes)
    encode = measured.get("encode", {})
    encode_s = _encode_seconds(config, shape, tokens, measured, threads)
    folds = fold_count(source.split, source.n_folds)
    test, validation, train = _parts(dataset, config.label, folds)
    if config.fold is not None or source.fold is not None:
        folds = 1
    drawn = cells_an_epoch(config.train_cells, dataset, train)
    cells = min(folds * (drawn + validation + test), test + validation + train)
    # the released code trains the second-to-last block, so the last one is passed through too
    blocks = 2 if config.scheme == "official" or config.trained_block == "second-to-last" else 1
    blocks = min(blocks, shape["depth"])
    per_block, disk = parameters(shape).encoder // shape["depth"], 0.0
    batch = formula.longest(tokens, config.batch_size)
    epochs, passes = config.epochs, folds
    step_s = 3 * encode_s
    if config.scheme == "linear-probe":
        # folds that share one model share its pooled vectors
        epochs, passes, trained, in_step = config.probe_epochs, 1, 0, 0.0
        once, per_epoch = cells * encode_s, drawn * _HEAD_S * (_HEADS if config.choose_decay else 1)
    elif config.scheme == "partial":
        once, per_epoch = test * encode_s, drawn * step_s + validation * encode_s
        trained = blocks * per_block + tokens.n_genes * shape["width"]
        in_step = formula.activations(config, shape, batch)
    else:
        share = blocks / shape["depth"]
        kept = min(epochs * drawn, train) + validation + test
        once, per_epoch = kept * encode_s, (drawn * step_s + validation * encode_s) * share
        trained, disk = blocks * per_block, 2.0 * shape["width"] * tokens.mean * kept
        in_step = formula.activations(config, shape, batch, blocks=blocks)
    cell_bytes = formula.cell_bytes(dataset)
    if config.scheme == "linear-probe":
        cell_bytes += 8.0 * formula.pooled_width(shape) * cells  # the vectors, and those of a part
    memory = formula.memory(config, shape, tokens, trained, in_step, cell_bytes)
    # what was measured encodes; a step that trains needs more
    same = bool(encode) and config.scheme == "linear-probe"
    return Estimate(
        tokens=_per_cell(tokens, source.max_tokens, shape),
        memory=memory,
        memory_bytes=_peak(memory, [encode] if same else []),
        machine=machine.memory(config.device),
        measured=bool(encode),
        basis=_basis(encode, "" if same else "; memory by a formula, a factor of two either way"),
        cells=cells,
        cells_per_s=1 / encode_s,
        epochs=epochs,
        seconds_per_epoch=per_epoch,
        seconds=passes * once + folds * epochs * per_epoch + _SETUP_S,
        folds=folds,
        encode_seconds=cells * encode_s,
        disk_bytes=int(disk),
    )


def _encode_seconds(
    config: formula.Recipe, shape: formula.Shape, tokens: Tokens, measured: Measured, threads: int
) -> float:
    """Return the seconds of one cell's pass: those measured, else by the formula."""
    known = measured.get("encode", {}).get("cell_s")
    return known or formula.pass_seconds(config, shape, tokens, threads)


def _shared(estimate: Estimate, processes: int, device: str) -> Estimate:
    """Return an estimate as one of several processes that train one model, each on its part of a batch.

    Each has the weights, their gradients and what else does not grow with the batch. Each has a graphics card
    of its own where there are any, and needs no more of it than one process does.
    """
    if processes == 1 or machine.on_gpu(device):
        return replace(estimate, processes=processes)
    each = sum(estimate.memory.values()) - estimate.memory["activations"]
    more = int((processes - 1) * each)
    return replace(estimate, memory_bytes=estimate.memory_bytes + more, processes=processes)


def _comparison(
    config: CompareConfig, dataset: Dataset, measured: Measured, threads: int, processes: int
) -> Estimate:
    """Estimate a comparison: its pretrainings, finetunings and baselines over folds and seeds."""
    n_folds = fold_count(config.split, config.folds)
    largest = first = _pretraining(costliest(config), dataset, measured, threads)
    test, validation, train = _parts(dataset, config.label, n_folds)
    drawn = cells_an_epoch(settings(config, config.arms[0])[1].train_cells, dataset, train)
    seconds = n_folds * (drawn * _BASELINE_S + (validation + test) * _NAMED_S)
    kept = [min(KEPT_BYTES, _FEATURE_BYTES * cells) for cells in (test, validation)]
    baselines = formula.PROCESS + formula.cell_bytes(dataset) + _BASELINE_BYTES * drawn + sum(kept)
    disk, pretrainings = 0, 0
    few = [few_cells(dataset, config.label, n, drawn) for n in config.few_labels]
    draws = n_folds * config.label_draws
    again = test * (_KEPT_S if _FEATURE_BYTES * test <= KEPT_BYTES else _NAMED_S)
    seconds += draws * sum(_FEW_BASELINES_S + cells * _BASELINE_S + again for cells in few)
    for arm in config.arms:
        pretraining, finetuning = settings(config, arm)
        models = n_folds * len(seeds_of(config, arm))
        if ARMS[arm]:
            pretrainings += models
            seconds += models * _pretraining(pretraining, dataset, measured, threads).seconds
        for scheme in config.schemes:
            compat = finetuning.compat if scheme == "official" else "corrected"
            one = replace(finetuning, scheme=scheme, compat=compat)
            estimate = _finetuning(one, dataset, measured, threads, pretraining)
            seconds += models * estimate.seconds
            seconds += models * config.label_draws * sum(_few_seconds(one, estimate, test, n) for n in few)
            disk = max(disk, estimate.disk_bytes)
            largest = max(largest, estimate, key=lambda each: each.memory_bytes)
    on_gpu = machine.on_gpu(config.device)
    gathers, share_memory = (0, 1) if on_gpu else (_GATHERS, processes)  # of several cards each has a process
    return replace(
        first,
        seconds=seconds / processes,
        memory=largest.memory,
        memory_bytes=int(share_memory * max(largest.memory_bytes, baselines) + gathers),
        processes=processes,
        pretrainings=pretrainings,
        folds=n_folds,
        disk_bytes=processes * disk,
    )


def _sweep(config: SweepConfig, dataset: Dataset, measured: Measured, threads: int) -> Estimate:
    """Estimate a sweep by the default setting: a trial that is given up takes less, a larger model more."""
    pretraining, finetuning = config.recipes()
    folds = config.n_scored
    trained = _pretraining(pretraining, dataset, measured, threads)
    named = _finetuning(finetuning, dataset, measured, threads, pretraining)
    pretrainings = 0
    if ARMS[config.arm]:
        pretrainings = folds * (1 if config.pretrains_once else config.n_trials)
    largest = max(trained, named, key=lambda each: each.memory_bytes)
    return replace(
        trained,
        seconds=pretrainings * trained.seconds + config.n_trials * folds * named.seconds,
        memory=largest.memory,
        memory_bytes=largest.memory_bytes,
        pretrainings=pretrainings,
        folds=folds,
        disk_bytes=named.disk_bytes,
    )


def few_cells(dataset: Dataset, label: str | None, n: int, most: int) -> int:
    """Return about how many training cells `n` labels a class are; `most` is all of them."""
    return min(most, n * dataset.labels(label).nunique())


def _few_seconds(config: FinetuneConfig, whole: Estimate, test: int, n_cells: int) -> float:
    """Return the seconds of one training on `n_cells` labelled cells, beside the `whole` with all labels."""
    recipe, heads = few_recipe(config, n_cells), _HEADS if config.choose_decay else 1
    if config.scheme == "linear-probe":  # its vectors are there
        return recipe.probe_epochs * n_cells * _HEAD_S * heads
    # three passes to train, one to validate by as many cells, and one that names the test cells
    return (4 * recipe.epochs * n_cells + test) / whole.cells_per_s


def _peak(memory: dict[str, float], parts: list[Mapping[str, Any]]) -> int:
    """Return the bytes of one process: those measured, and what a smaller batch than the run's left out."""
    missing = [memory["activations"] * (1 - part["batch_size"] / part["asked"]) for part in parts]
    peaks = [part["peak_bytes"] + more for part, more in zip(parts, missing, strict=True)]
    return int(max(peaks, default=sum(memory.values())))


def _basis(part: Mapping[str, Any], note: str = "") -> str:
    if not part:
        return "by a formula, before anything was measured here; a factor of two either way"
    steps = f"{part['steps']} steps of {part['batch_size']} cells"
    return f"{steps} measured on {part['device']}{part.get('note', '')}{note}"


def _per_cell(tokens: Tokens, limit: int, shape: formula.Shape) -> TokensPerCell:
    # of these the model itself limits the tokens, or their number costs little
    over = 0 if shape.get("kind") in CELL_TOKEN else tokens.over(limit)
    return TokensPerCell(tokens.mean, tokens.p95, tokens.longest, limit, over)


def _parts(dataset: Dataset, label: str | None, folds: int) -> tuple[int, int, int]:
    """Return about how many labelled cells test, validate and train in one of so many folds."""
    labelled = _labelled(dataset, dataset.content_hash, label)
    test = labelled // folds if folds > 1 else labelled // 10
    validation = int(0.15 * (labelled - test))
    return test, validation, labelled - test - validation


@lru_cache(maxsize=64)
def _labelled(dataset: Dataset, content_hash: str, label: str | None) -> int:
    return int(dataset.labels(label).notna().sum())


@lru_cache(maxsize=64)
def _fold_sizes(dataset: Dataset, content_hash: str, config: PretrainConfig) -> tuple[int, int]:
    fold = run_fold(dataset, config)
    if fold is not None:
        train, validation, _ = fold_cells(dataset, fold)
        return len(train), len(validation)
    held_out = max(1, dataset.n_cells // 20)
    return dataset.n_cells - held_out, held_out


def _own_cells(config: PretrainConfig, dataset: Dataset) -> tuple[int, int]:
    """Return how many cells of `dataset` are there to train on and to validate on."""
    where = {name: getattr(config, name) for name in ("data", "fold", "split", "n_folds", "label")}
    return _fold_sizes(dataset, dataset.content_hash, PretrainConfig(**where))


def _cells(config: PretrainConfig, dataset: Dataset) -> tuple[int, int]:
    """Return how many cells train an epoch and how many validate."""
    train, validation = _own_cells(config, dataset)
    others = corpus_datasets(dataset, config.corpus)
    train += sum(other.n_cells for other in others)  # no more: copies and held-out donors are left out
    return cells_an_epoch(config.train_cells, dataset, train, others), validation

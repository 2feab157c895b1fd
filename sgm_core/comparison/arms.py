"""What each arm of a comparison runs with; needs no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sgm_core.comparison.config import ARMS, SEEDED, CompareConfig
from sgm_core.device import on_gpu, usable_cores, visible_cards
from sgm_core.errors import InputError
from sgm_core.training.backbones import is_bundle
from sgm_core.training.config import FinetuneConfig, PretrainConfig, finetune_config, pretrain_config
from sgm_core.training.config.settings import BY_SIZE


def seeds_of(config: CompareConfig, arm: str) -> list[int]:
    """Return the seeds that an arm runs with.

    Those of the primary comparison have all and the others one, or with ``seeded="all"`` every arm but the
    original weights has all.
    """
    every = arm in SEEDED or (config.seeded == "all" and arm != "original")
    return [config.seed + number for number in range(config.seeds if every else 1)]


def process_count(config: CompareConfig, tasks: int) -> int:
    """Return how many processes share the `tasks` of a comparison.

    On a CPU two processes of one thread do more than one of two; two full-size models don't fit beside each
    other, so imported weights have one process with all cores. Of several graphics cards each has a process.
    """
    if on_gpu(config.device):
        return max(1, min(len(cards_for(config)), tasks))
    return 1 if is_bundle(config.backbone) else max(1, min(usable_cores(), tasks))


def cards_for(config: CompareConfig) -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` is for each process, in turn; empty if they need not share cards.

    They need not on a CPU, or where the comparison names its card.
    """
    if not on_gpu(config.device) or ":" in config.device:
        return []
    return visible_cards()


def settings(
    config: CompareConfig, arm: str, fold: int = 0, seed: int | None = None
) -> tuple[PretrainConfig, FinetuneConfig]:
    """Return what an arm runs with on a fold: in every arm the same but for masker and summary.

    Parameters
    ----------
    config : the comparison
    arm, fold : which part of it
    seed : by default the comparison's first

    Raises
    ------
    InputError
        If a field of ``config.pretrain`` or ``config.finetune`` is unknown, or a value does not fit.
    """
    shared: dict[str, Any] = {"label": config.label, "device": config.device}
    if config.train_cells != BY_SIZE:  # else each preset says what it takes
        shared["train_cells"] = config.train_cells
    shared["seed"] = config.seed if seed is None else seed
    own = {"backbone": config.backbone, "data": config.data, "split": config.split, "n_folds": config.folds}
    pretrain = {**shared, **own, **config.pretrain, **(ARMS[arm] or ARMS["uniform"]), "fold": fold}
    preset = pretrain.pop("preset", "sgm")
    finetune: dict[str, Any] = {**shared, **config.finetune, "fold": fold}
    if finetune.get("compat") == "official":
        finetune.setdefault("scheme", "official")
    recipe = finetune.pop("preset", "sgm")
    finetune |= {"split": config.split, "n_folds": config.folds}
    with _named("pretrain"):
        pretraining = pretrain_config(preset, **pretrain)
    with _named("finetune"):
        finetuning = finetune_config(config.backbone, recipe, **finetune)
    # only imported weights can be finetuned as they are
    return pretraining, finetuning if is_bundle(config.backbone) else replace(finetuning, backbone="")


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Let an error say which part of the comparison it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{part}: {error}") from error

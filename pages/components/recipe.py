"""A configuration as a sentence that a person can check before it runs."""

from pages.components import words
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.arms import seeds_of
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.model.sizes import CELL_TOKEN, GENERATED
from sgm_core.runs.store import open_run
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import sweep_folds
from sgm_core.training.backbones import bundle_kind, is_bundle
from sgm_core.training.config import FinetuneConfig, PretrainConfig, fold_count, pretrain_config
from sgm_core.training.folds import run_fold
from sgm_core.training.train_cells import cells_an_epoch
from sgm_core.units import listed

SCHEMES = {
    "linear-probe": "linear probe",
    "partial": "partial finetuning",
    "last-block": "finetuning of the last block",
    "official": "the model's own finetuning",
}
"""Ways of finetuning, in words."""


def sentence(config: CompareConfig | PretrainConfig | FinetuneConfig | SweepConfig, dataset: Dataset) -> str:
    """Return what `config` will do, in words."""
    if isinstance(config, CompareConfig):
        return _compare(config, dataset)
    if isinstance(config, SweepConfig):
        return _sweep(config, dataset)
    return _pretrain(config, dataset) if isinstance(config, PretrainConfig) else _finetune(config)


def _compare(config: CompareConfig, dataset: Dataset) -> str:
    pretrain = pretrain_config(**{**config.pretrain, "backbone": config.backbone})
    folds = fold_count(config.split, config.folds)
    over = {
        "cv": words.count(folds, "donor fold"),
        "holdout": "one hold-out split of the donors",
        "authors": "five draws of the test cells of one hold-out split",
    }[config.split]
    trained = sum(len(seeds_of(config, arm)) for arm in config.arms if ARMS[arm])
    schemes = listed([SCHEMES[scheme] for scheme in config.schemes]) or "nothing"
    return (
        f"Compare **{words.count(len(config.arms), 'arm')}** by {schemes} over "
        f"**{over}** of {escape(dataset.name)} "
        f"({words.count(dataset.meta['n_donors'], 'donor')}), the primary arms with "
        f"{words.count(config.seeds, 'seed')}. "
        f"{words.count(trained * folds, _pretraining(config.backbone))} of "
        f"{_backbone(config.backbone, pretrain.weights_key)}"
        f"{f' on its cells{_corpus(pretrain)}' if pretrain.corpus else ''} with "
        f"{_masks(pretrain)}, {_epochs(pretrain.epochs, pretrain.patience)}"
        f"{_drawn(config.train_cells, dataset)}; "
        f"none sees the test donors of its fold.{_labels(config)}"
    )


def _sweep(config: SweepConfig, dataset: Dataset) -> str:
    donors = sweep_folds(dataset, config)
    return (
        f"Try **{words.count(config.n_trials, 'setting')}** of `{escape(config.backbone)}` with the arm "
        f"**{escape(config.arm)}**, the default one first, and score each by {SCHEMES[config.scheme]} on the "
        f"validation donors of **{words.count(len(donors.folds), 'fold')}** of {escape(dataset.name)}. "
        f"{escape(', '.join(donors.held_back))} are held back: no trial looks at them."
    )


def _labels(config: CompareConfig) -> str:
    """Say with how many labelled cells a class the arms and baselines are scored, where that is not all."""
    if not config.few_labels:
        return ""
    few = listed(map(str, config.few_labels))
    return (
        f" Arms and baselines learn from **{few} labelled cells a class**, "
        f"{words.count(config.label_draws, 'draw')} each, and once from all."
    )


def _pretrain(config: PretrainConfig, dataset: Dataset) -> str:
    donors = dataset.meta["n_donors"]
    hidden = ", shared by all folds: no donor is hidden, so its scores are optimistic"
    fold = run_fold(dataset, config)
    if fold is not None:
        donors = len(fold.train)
        hidden = f", the test donors of fold {config.fold} hidden ({escape(', '.join(fold.test))})"
    verb = "Continue pretraining" if is_bundle(config.backbone) else "Pretrain"
    backbone = _backbone(config.backbone, config.weights_key)
    return (
        f"{verb} {backbone} on **{words.count(donors, 'donor')}** of {escape(dataset.name)}{_corpus(config)} "
        "with "
        f"**{config.masker} masks**, {_masks(config)}, {_epochs(config.epochs, config.patience)}"
        f"{_drawn(config.train_cells, dataset)}{hidden}."
    )


def _corpus(config: PretrainConfig) -> str:
    """Return the further datasets that it is pretrained on."""
    return (
        f" and the cells of {escape(', '.join(config.corpus))}, without their labels,"
        if config.corpus
        else ""
    )


def _finetune(config: FinetuneConfig) -> str:
    epochs = config.probe_epochs if config.scheme == "linear-probe" else config.epochs
    everywhere = "every fold" if config.backbone else "the run's own fold, or every fold"
    where = everywhere if config.fold is None else f"fold {config.fold}"
    what = f"**{escape(_source(config.run))}**"
    if config.backbone:
        what = f"{_backbone(config.backbone, config.weights_key)} as released, without pretraining,"
    elif not config.run:
        what = "**nothing yet**"
    return (
        f"Finetune {what} by **{SCHEMES[config.scheme]}**, {words.count(epochs, 'epoch')}, "
        f"and test on {where}."
    )


def _source(run_id: str) -> str:
    try:
        return open_run(run_id).title
    except SGMError:  # none chosen yet, or it is gone: the check of the form says so
        return run_id


def _backbone(name: str, key: str) -> str:
    several = is_bundle(name) and bundle_kind(name) not in CELL_TOKEN  # other models have one weight set
    return f"`{name}` ({key} weights)" if several else f"`{name}`"


def _pretraining(backbone: str) -> str:
    return "continued pretraining" if is_bundle(backbone) else "pretraining"


def _masks(config: PretrainConfig) -> str:
    beside = f" and up to {config.variable_genes:,} variable ones" if config.variable_genes else ""
    genes = "the vocabulary's genes" if is_bundle(config.backbone) else f"{config.n_genes:,} genes{beside}"
    if config.objective == "generative":
        shares = ", ".join(f"{share:.0%}" for share in GENERATED[:-1])
        return f"{shares} or {GENERATED[-1]:.0%} of a cell's non-zero genes generated from the others"
    if config.mask_basis == "all":
        return f"{config.mask_ratio:.0%} of all positions of {genes} hidden"
    return (
        f"{config.mask_ratio:.0%} of the non-zero and {config.zero_ratio:.0%} of the zero positions of "
        f"{genes} hidden"
    )


def _epochs(epochs: int, patience: int | None) -> str:
    stop = "" if patience is None else f" at most (patience {patience})"
    return words.count(epochs, "epoch") + stop


def _drawn(asked: int | None, dataset: Dataset) -> str:
    """Say how many cells an epoch takes, where that is not all of them."""
    taken = cells_an_epoch(asked, dataset, dataset.n_cells)
    return f" of {taken:,} cells drawn anew" if taken < dataset.n_cells else ""

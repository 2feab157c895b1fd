"""A configuration as a sentence that a person can check before it runs."""

from pages.components import words
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.training.config import ARMS, CompareConfig, FinetuneConfig, PretrainConfig

_SCHEMES = {"linear-probe": "linear probe", "partial": "partial finetuning"}


def sentence(config: CompareConfig | PretrainConfig | FinetuneConfig, dataset: Dataset) -> str:
    """Return what `config` will do, in words."""
    if isinstance(config, CompareConfig):
        return _compare(config, dataset)
    return _pretrain(config, dataset) if isinstance(config, PretrainConfig) else _finetune(config)


def _compare(config: CompareConfig, dataset: Dataset) -> str:
    pretrain = PretrainConfig.from_dict(config.pretrain)
    trained = sum(bool(ARMS[arm]) for arm in config.arms)
    schemes = " and ".join(_SCHEMES[scheme] for scheme in config.schemes) or "nothing"
    return (
        f"Compare **{words.count(len(config.arms), 'arm')}** by {schemes} over "
        f"**{words.count(config.folds, 'donor fold')}** of {dataset.name} "
        f"({words.count(dataset.meta['n_donors'], 'donor')}). "
        f"{words.count(trained * config.folds, 'pretraining')} of `{config.backbone}` with "
        f"{_masks(pretrain)}, {_epochs(pretrain.epochs, pretrain.patience)}; "
        "none sees the test donors of its fold."
    )


def _pretrain(config: PretrainConfig, dataset: Dataset) -> str:
    donors = dataset.meta["n_donors"]
    hidden = ", shared by all folds: no donor is hidden, so its scores are optimistic"
    if config.fold is not None:
        folds = donor_folds(dataset, "cv", config.n_folds, config.seed, config.label)
        if config.fold < len(folds):
            fold = folds[config.fold]
            donors = len(fold.train)
            hidden = f", the test donors of fold {config.fold} hidden ({', '.join(fold.test)})"
    return (
        f"Pretrain `{config.backbone}` on **{words.count(donors, 'donor')}** of {dataset.name} with "
        f"**{config.masker} masks**, {_masks(config)}, {_epochs(config.epochs, config.patience)}{hidden}."
    )


def _finetune(config: FinetuneConfig) -> str:
    epochs = config.probe_epochs if config.scheme == "linear-probe" else config.epochs
    where = "the run's own fold, or every fold" if config.fold is None else f"fold {config.fold}"
    return (
        f"Finetune **{config.run}** by **{_SCHEMES[config.scheme]}**, {words.count(epochs, 'epoch')}, "
        f"and test on {where}."
    )


def _masks(config: PretrainConfig) -> str:
    if config.mask_basis == "all":
        return f"{config.mask_ratio:.0%} of all positions of {config.n_genes:,} genes hidden"
    return (
        f"{config.mask_ratio:.0%} of the non-zero and {config.zero_ratio:.0%} of the zero positions of "
        f"{config.n_genes:,} genes hidden"
    )


def _epochs(epochs: int, patience: int | None) -> str:
    stop = "" if patience is None else f" at most (patience {patience})"
    return words.count(epochs, "epoch") + stop

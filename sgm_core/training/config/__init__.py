"""Typed configurations of pretraining and finetuning; every field explains itself."""

from sgm_core.training.config.finetune import FINETUNE_PRESETS, SCHEMES, FinetuneConfig, finetune_config
from sgm_core.training.config.pretrain import MASKERS, PRESETS, PretrainConfig, pretrain_config
from sgm_core.training.config.settings import SPLITS, Settings, fold_count

__all__ = [
    "FINETUNE_PRESETS",
    "MASKERS",
    "PRESETS",
    "SCHEMES",
    "SPLITS",
    "FinetuneConfig",
    "PretrainConfig",
    "Settings",
    "finetune_config",
    "fold_count",
    "pretrain_config",
]

"""Typed configurations of pretraining and finetuning; every field explains itself."""

from sgm_core.training.config.finetune import FINETUNE_PRESETS, SCHEMES, FinetuneConfig, finetune_config
from sgm_core.training.config.pretrain import MASKERS, PRESETS, PretrainConfig, pretrain_config
from sgm_core.training.config.settings import Settings

__all__ = [
    "FINETUNE_PRESETS",
    "MASKERS",
    "PRESETS",
    "SCHEMES",
    "FinetuneConfig",
    "PretrainConfig",
    "Settings",
    "finetune_config",
    "pretrain_config",
]

"""A backbone with random weights from its shape."""

from sgm_core.model.backbone import Backbone
from sgm_core.model.dense import DenseBackbone
from sgm_core.model.interface import BackboneConfig, CellBackbone
from sgm_core.model.scbert import ScBERT
from sgm_core.model.scgpt import ScGPT

_KINDS: dict[str, type[CellBackbone]] = {
    "transformer": Backbone,
    "dense": DenseBackbone,
    "scgpt": ScGPT,
    "scbert": ScBERT,
}


def build_backbone(config: BackboneConfig) -> CellBackbone:
    """Return a backbone of this kind and shape; torch's random state decides its weights."""
    return _KINDS[config.kind](config)

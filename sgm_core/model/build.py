"""A backbone with random weights from its shape."""

from sgm_core.model.backbone import Backbone
from sgm_core.model.dense import DenseBackbone
from sgm_core.model.interface import BackboneConfig, CellBackbone


def build_backbone(config: BackboneConfig) -> CellBackbone:
    """Return a backbone of this kind and shape; torch's random state decides its weights."""
    return DenseBackbone(config) if config.kind == "dense" else Backbone(config)

"""The named sizes of the backbone that are trained from scratch."""

from sgm_core.model.backbone import BackboneConfig

_SIZES = {
    "tiny": {
        "width": 128,
        "depth": 1,
        "heads": 4,
        "ff": 2,
        "bins": 16,
        "decoder_width": 32,
        "decoder_heads": 2,
    },
    "small": {
        "width": 256,
        "depth": 4,
        "heads": 8,
        "ff": 4,
        "bins": 32,
        "decoder_width": 64,
        "decoder_depth": 2,
        "decoder_heads": 4,
        "decoder_head_dim": 16,
    },
}


def backbone_config(size: str, n_genes: int, **changes: object) -> BackboneConfig:
    """Return the shape of a named size for `n_genes` genes."""
    return BackboneConfig(n_genes=n_genes, **{**_SIZES[size], **changes})  # type: ignore[arg-type]

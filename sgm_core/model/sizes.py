"""The named sizes of the backbone that are trained from scratch; needs no torch until one is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from sgm_core.model.interface import BackboneConfig

GENES = "genes"
"""The part of a cell's vector that is its input: a head on it reads the genes beside the model."""
CELL_TOKEN = ("scgpt", "scbert")
"""Kinds of backbone in which a token of the cell itself follows its genes."""
GENERATED = (0.25, 0.5, 0.75)
"""Shares of a cell's genes that scGPT's pretraining generates; it draws one for a batch, here a cell has its
own, which does not depend on the cells beside it."""
SIZES: dict[str, dict[str, Any]] = {
    "dense": {
        "kind": "dense",
        "width": 512,
        "depth": 1,
        "heads": 1,
        "ff": 1,
        "decoder_width": 128,
        "decoder_depth": 1,
        "bins": 16,
        "depth_tokens": False,
        "cell_context": False,
        "pool": ("mean", GENES),
    },
    "tiny": {
        "width": 128,
        "depth": 1,
        "heads": 4,
        "ff": 2,
        "decoder_width": 32,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "decoder_head_dim": 8,
        "bins": 16,
        "depth_tokens": False,
        "cell_context": True,
        "pool": ("max", "mean", "weighted", GENES),
    },
    "small": {
        "width": 256,
        "depth": 4,
        "heads": 8,
        "ff": 4,
        "decoder_width": 64,
        "decoder_depth": 2,
        "decoder_heads": 4,
        "decoder_head_dim": 16,
        "bins": 32,
        "depth_tokens": False,
        "cell_context": True,
        "pool": ("max", "mean", "weighted", GENES),
    },
}
"""Fields of `BackboneConfig` by size."""
DEFAULT_BACKBONE = "dense"
"""The one size that is not below logistic regression on test donors, and it costs least
(`benchmarks/results/compare_vangalen_dense.md`; `tiny` was measured with the heads of before)."""


def usual_backbone(preset: str = "sgm") -> str:
    """Return the size without another wish; the paper's recipes are of scFoundation's architecture."""
    return DEFAULT_BACKBONE if preset == "sgm" else "tiny"


def shape_fields(size: str, n_genes: int) -> dict[str, Any]:
    """Return the fields of a named size for `n_genes` genes."""
    return {"n_genes": n_genes, **SIZES[size]}


def token_lengths(shape: Mapping[str, Any], expressed: np.ndarray) -> np.ndarray:
    """Return the tokens of cells (n,) that express so many of a backbone's genes (n,).

    Parameters
    ----------
    shape : fields of `BackboneConfig`
    expressed : number of its genes that each cell expresses
    """
    import numpy as np  # the command line starts without

    kind = shape.get("kind")
    if kind == "scbert":
        return np.full_like(expressed, int(shape["n_genes"]) + 1)
    if kind == "scgpt":
        limit = shape.get("max_length")
        return expressed + 1 if limit is None else np.minimum(expressed + 1, int(limit))
    return expressed + 2 * bool(shape.get("depth_tokens"))


class Parameters(NamedTuple):
    """Numbers of parameters: of the encoder's blocks, of the decoder's, and of the embeddings around them."""

    encoder: int
    decoder: int
    embeddings: int


def parameters(shape: Mapping[str, Any]) -> Parameters:
    """Return the parameters of a backbone of the shape `shape` (fields of `BackboneConfig`), to 3 per cent.

    Without torch, which a page would have to load for the count of the model itself.
    """
    width = shape["width"]
    if shape.get("kind") in CELL_TOKEN:
        inner = shape["heads"] * (shape.get("head_dim") or width // shape["heads"])
        blocks = shape["depth"] * (4 * width * inner + 2 * shape["ff"] * width**2)
        heads = 4 * width**2 if shape["kind"] == "scgpt" else width * (shape["bins"] + 1)
        table = width * (shape["n_genes"] + width) if shape["kind"] == "scgpt" else 0  # scBERT's is fixed
        return Parameters(int(blocks), int(heads), int(table))
    if shape.get("kind") == "dense":
        blocks = shape["depth"] * 2 * shape["ff"] * width**2
        genes = width * shape["n_genes"]
        return Parameters(blocks, genes + 2 * width * shape["decoder_width"], genes)
    inner = shape["decoder_heads"] * shape["decoder_head_dim"]
    small = shape["decoder_width"]
    context = len([part for part in shape["pool"] if part != GENES]) if shape["cell_context"] else 0
    return Parameters(
        shape["depth"] * width**2 * (4 + 2 * shape["ff"]),
        shape["decoder_depth"] * small * (4 * inner + 2 * shape["ff"] * small),
        width * (shape["n_genes"] + shape["bins"] + (1 + context) * small),
    )


def backbone_config(size: str, n_genes: int, **changes: object) -> BackboneConfig:
    """Return the shape of a named size for `n_genes` genes."""
    from sgm_core.model.interface import BackboneConfig

    return BackboneConfig(**{**shape_fields(size, n_genes), **changes})

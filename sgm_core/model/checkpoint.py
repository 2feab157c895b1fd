"""Keeping and reading a pretrained model: safetensors and JSON, nothing that can run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import read_json, whole_file, write_json
from sgm_core.model.backbone import BackboneConfig
from sgm_core.model.reconstruction import MaskedModel


def save_model(folder: Path, model: MaskedModel, genes: np.ndarray, arm: str) -> None:
    """Write ``weights.safetensors`` and ``model.json`` (shape, masking fields, genes) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "weights.safetensors") as path:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    write_json(
        folder / "model.json",
        {
            "backbone": model.backbone.config.to_dict(),
            "masking": model.masking,
            "genes": [str(gene) for gene in genes],
            "arm": arm,
        },
    )


def load_model(folder: Path) -> tuple[MaskedModel, np.ndarray, str]:
    """Read what `save_model` wrote: the model, its genes and its arm.

    Raises
    ------
    NotFoundError
        If there is no checkpoint in `folder`.
    InputError
        If the files are damaged or don't fit each other.
    """
    if not (folder / "model.json").exists():
        raise NotFoundError(f"no checkpoint in {folder}: the run has not finished its pretraining")
    try:
        described: dict[str, Any] = read_json(folder / "model.json")
        shape = described["backbone"]
        config = BackboneConfig(**{**shape, "pool": tuple(shape["pool"])})
        eligible = torch.ones(config.n_genes, dtype=torch.bool)
        model = MaskedModel(config, described["masking"], eligible)
        model.load_state_dict(load_file(folder / "weights.safetensors"))
    except (json.JSONDecodeError, KeyError, TypeError, RuntimeError, SafetensorError, OSError) as error:
        raise InputError(f"the checkpoint in {folder} is damaged: {str(error).splitlines()[0]}") from error
    return model, np.array(described["genes"]), described["arm"]

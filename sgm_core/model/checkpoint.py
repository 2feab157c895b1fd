"""Weights on disk: our own checkpoints, and the released scFoundation file.

Ours are safetensors and JSON, nothing that can run. The official file is
``{"cell" | "gene" | "rde": {"config": {...}, "state_dict": {...}}}``, read with ``weights_only=True``. Its
licence is non-commercial and forbids redistribution, so nothing of it is ever shipped here: a user brings it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import read_json, whole_file, write_json
from sgm_core.model.backbone import Backbone
from sgm_core.model.gene_list import WHERE, check_genes, check_official_order
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.layout import Genes, Layout
from sgm_core.model.plain_file import SHOWN, check_tensors, read_plain
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.released import RELEASED

KEYS = ("cell", "gene", "rde")
"""The weight sets of the released file: for cell embeddings, for gene embeddings and finetuning, and the
variant with read-depth enhancement."""
_ROWS = ("values.masked", "values.pad")  # (D,) here, (1, D) there


def save_model(
    folder: Path, model: MaskedModel, genes: np.ndarray, arm: str, weights: tuple[str, str] | None = None
) -> None:
    """Write ``weights.safetensors`` and ``model.json`` (shape, masking fields, genes) into `folder`.

    Parameters
    ----------
    folder : the checkpoint's folder
    model, genes, arm : the model, the symbols of its genes, and how it was trained
    weights : name and key of the imported weights that it started from; the note on their licence goes
        along, for what is derived from them falls under it too
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "weights.safetensors") as path:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    described: dict[str, Any] = {
        "backbone": model.backbone.config.to_dict(),
        "masking": model.masking,
        "genes": [str(gene) for gene in genes],
        "arm": arm,
    }
    if weights is not None:
        described["weights"] = {"name": weights[0], "key": weights[1]}
        with whole_file(folder / "LICENCE.txt") as path:
            path.write_text(RELEASED[model.backbone.config.kind].licence + "\n")
    write_json(folder / "model.json", described)


def load_model(folder: Path) -> tuple[MaskedModel, np.ndarray, str]:
    """Read what `save_model` wrote: the model, its genes and its arm.

    A model that started from imported weights has their vocabulary as ``model.backbone.genes``.

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
        config = BackboneConfig.from_dict(described["backbone"])
        eligible = torch.ones(config.n_positions, dtype=torch.bool)
        model = MaskedModel(config, described["masking"], eligible)
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        genes = np.array(described["genes"])
        model.strategy.genes = tuple(map(str, genes))
        if "weights" in described:
            model.backbone.genes = tuple(map(str, genes))
    except (json.JSONDecodeError, KeyError, TypeError, RuntimeError, SafetensorError, OSError) as error:
        raise InputError(f"the checkpoint in {folder} is damaged: {str(error).splitlines()[0]}") from error
    return model, genes, described["arm"]


def official_names(config: BackboneConfig) -> dict[str, str]:
    """Return the official name of every tensor of a backbone, by our name (265 at the released size)."""
    layers = {
        "values.scale": "token_emb.mlp",
        "values.mix": "token_emb.mlp2",
        "norm": "encoder.norm",
        "bridge": "decoder_embed",
        "decoder_norm": "decoder.norm",
        "output_norm": "norm",
        "output": "to_final",
    }
    tensors = {
        "values.table": "token_emb.emb.weight",
        "values.masked": "token_emb.emb_mask.weight",
        "values.pad": "token_emb.emb_pad.weight",
        "positions.weight": "pos_emb.weight",
        "redraw_calls": "decoder.performer.calls_since_last_redraw",
    }
    for i in range(config.depth):
        ours, theirs = f"blocks.{i}", f"encoder.transformer_encoder.{i}"
        layers |= {f"{ours}.out": f"{theirs}.self_attn.out_proj"}
        layers |= {f"{ours}.norm{n}": f"{theirs}.norm{n}" for n in (1, 2)}
        layers |= {f"{ours}.ff{n}": f"{theirs}.linear{n}" for n in (1, 2)}
        tensors |= {f"{ours}.qkv.{x}": f"{theirs}.self_attn.in_proj_{x}" for x in ("weight", "bias")}
    for i in range(config.decoder_depth):
        ours, theirs = f"decoder.{i}", f"decoder.performer.net.layers.{i}"
        layers |= {f"{ours}.norm{n + 1}": f"{theirs}.{n}.norm" for n in (0, 1)}
        layers |= {f"{ours}.attention.{x}": f"{theirs}.0.fn.to_{x}" for x in ("q", "k", "v", "out")}
        layers |= {f"{ours}.ff{n}": f"{theirs}.1.fn.fn.w{n}" for n in (1, 2)}
        tensors[f"{ours}.attention.projection"] = f"{theirs}.0.fn.fast_attention.projection_matrix"
    for ours, theirs in layers.items():
        tensors |= {f"{ours}.{x}": f"{theirs}.{x}" for x in ("weight", "bias")}
    return tensors


def official_config(config: Mapping[str, Any], name: str = "the checkpoint") -> BackboneConfig:
    """Return the shape that an official configuration describes.

    Parameters
    ----------
    config : the ``config`` of one weight set
    name : for messages

    Raises
    ------
    InputError
        If it is not that of the architecture ``mae_autobin`` with a transformer and a Performer.
    """
    try:
        kind = config["model"]
        shape = config["model_config"]
        shape = shape.get(kind, shape)
        if kind != "mae_autobin":
            raise InputError(f"{name} holds a model of type {kind!r}: only 'mae_autobin' is known")
        encoder, decoder = shape["encoder"], shape["decoder"]
        modules = (encoder.get("module_type"), decoder.get("module_type"))
        if modules != ("transformer", "performer"):
            raise InputError(
                f"{name} has the modules {modules}: an encoder 'transformer' and a decoder 'performer' "
                "are known"
            )
        if encoder.get("norm_first"):
            raise InputError(f"{name} normalises before each encoder block: only post-norm is known")
        return BackboneConfig(
            n_genes=int(shape["seq_len"]) - 2,
            width=int(encoder["hidden_dim"]),
            depth=int(encoder["depth"]),
            heads=int(encoder["heads"]),
            ff=4,
            decoder_width=int(decoder["hidden_dim"]),
            decoder_depth=int(decoder["depth"]),
            decoder_heads=int(decoder["heads"]),
            decoder_head_dim=int(decoder["dim_head"]),
            bins=int(shape["bin_num"]),
            bin_alpha=float(shape["bin_alpha"]),
            value_scaling=False,
            cell_context=False,
            depth_tokens=True,
            pool=("max",),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{name} has no usable configuration ({error!r}): is it scFoundation's models.ckpt?"
        ) from error


def open_official(path: str | Path) -> dict[str, Any]:
    """Read the nested file with ``weights_only=True`` and check that it has the official layout.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is truncated, no checkpoint, holds more than tensors and plain containers, or has another
        layout.
    """
    path = Path(path).expanduser()
    stored = read_plain(path, WHERE)
    sets = [key for key in KEYS if isinstance(stored, dict) and isinstance(stored.get(key), dict)]
    if not sets or any(not {"config", "state_dict"} <= set(stored[key]) for key in sets):
        inside = list(stored)[:SHOWN] if isinstance(stored, dict) else [type(stored).__name__]
        raise InputError(
            f"{path.name} has not the layout of scFoundation's models.ckpt (cell, gene, rde, each with "
            f"config and state_dict); it holds {', '.join(map(str, inside))}"
        )
    return stored  # type: ignore[no-any-return]


def read_official(
    path: str | Path, key: str = "gene", genes: str | Path | Sequence[str] | None = None
) -> Backbone:
    """Read one weight set of scFoundation's ``models.ckpt`` as a `Backbone`, of whatever size it has.

    Parameters
    ----------
    path : the file
    key : ``cell``, ``gene`` or ``rde``
    genes : its gene list, a file (``gene_name``, ``index``) or the names in order; kept as
        ``backbone.genes``

    Returns
    -------
    Backbone
        In evaluation mode, on the CPU, float32.

    Raises
    ------
    NotFoundError
        If there is no such file, or no such weight set in it.
    InputError
        If the file is damaged, not plain, of another layout, or its tensors have other names or shapes (the
        first few differences are named) or hold NaN; or if the gene list does not fit.

    Examples
    --------
    >>> backbone = read_official("models.ckpt", "cell", "OS_scRNA_gene_index.19264.tsv")  # doctest: +SKIP
    """
    stored = open_official(path)
    if key not in stored:
        raise NotFoundError(f"no weight set {key!r} in {Path(path).name}; it has {', '.join(stored)}")
    return official_backbone(stored[key], f"{Path(path).name}[{key}]", genes)


def official_backbone(
    stored: Mapping[str, Any], name: str, genes: str | Path | Sequence[str] | None = None
) -> Backbone:
    """Build the backbone of one weight set ``{"config", "state_dict"}``; see `read_official`."""
    config = official_config(stored["config"], name)
    official: dict[str, Tensor] = {}
    for full, tensor in stored["state_dict"].items():
        _, found, rest = str(full).partition("model.")
        official[rest if found else str(full)] = tensor
    with torch.device("meta"):
        backbone = Backbone(config)
    table, ours = official_names(config), backbone.state_dict()
    shapes = {
        theirs: (1, *ours[mine].shape) if mine in _ROWS else tuple(ours[mine].shape)
        for mine, theirs in table.items()
    }
    check_tensors(official, shapes, name)
    state = {}
    for mine, theirs in table.items():
        tensor = official[theirs].to(ours[mine].dtype)
        state[mine] = tensor.reshape(ours[mine].shape).clone()
    backbone.load_state_dict(state, assign=True)
    backbone.requires_grad_(True)
    if genes is not None:
        backbone.genes = check_genes(genes, config.n_genes)
    return backbone.eval()


def scfoundation_layout(path: Path, stored: Mapping[str, Any], genes: Genes) -> Layout:
    """Return what an import finds in a file that `open_official` read."""
    if genes is None:
        raise InputError(f"{path.name} needs its gene list: --genes OS_scRNA_gene_index.19264.tsv")

    def names(n_genes: int) -> tuple[str, ...]:
        found = check_genes(genes, n_genes)
        check_official_order(found, Path(genes).name if isinstance(genes, str | Path) else "the gene list")
        return found

    keys = tuple(key for key in KEYS if key in stored)
    return Layout(
        "transformer",
        path,
        keys,
        lambda key: official_backbone(stored[key], f"{path.name}[{key}]"),
        names,
    )

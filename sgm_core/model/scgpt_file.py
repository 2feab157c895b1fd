"""scGPT's released folder: ``best_model.pt``, ``args.json``, ``vocab.json``.

The weights are a bare state_dict, with the names of flash attention (``self_attn.Wqkv``), those of newer code
(``self_attn._impl``) or torch's own (``self_attn.in_proj_``): only the names differ. Half precision becomes
single. The rows of the vocabulary are put in the order genes, <cls>, <pad>.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.layout import Layout
from sgm_core.model.plain_file import SHOWN, check_tensors, read_plain
from sgm_core.model.released import ONE, RELEASED
from sgm_core.model.scgpt import ScGPT

WEIGHTS, ARGS, VOCABULARY = "best_model.pt", "args.json", "vocab.json"
_TABLE, _CLS = "encoder.embedding.weight", "<cls>"
_SPECIAL = ("<pad>", _CLS, "<eoc>")
_FLAGS = "flag_encoder.weight"  # of genes that are perceived (nowhere used), and of those to generate
_SPARE = re.compile(r"cls_decoder\..*")
"""Parts of a finetuned classifier that no embedding or masked training here needs."""
_OF_BATCHES = ("batch_encoder.", "dsbn.", "grad_reverse_discriminator.")
_DEFAULTS = {"n_bins": 51, "max_seq_len": 1200, "pad_token": "<pad>", "dropout": 0.0}


def open_scgpt(folder: Path) -> Layout:
    """Open a released folder.

    Raises
    ------
    NotFoundError
        If one of its three files is missing.
    InputError
        If one is damaged, or they don't fit each other; the first few differences are named.
    """
    args, vocabulary = _read_json(folder / ARGS), _read_json(folder / VOCABULARY)
    stored = read_plain(folder / WEIGHTS, RELEASED["scgpt"].where)
    if not isinstance(stored, dict):
        raise InputError(f"{WEIGHTS} holds a {type(stored).__name__}, no weights by name")
    tensors, other = {}, []
    for full, tensor in stored.items():
        own = plain_name(str(full))
        if own in tensors:
            raise InputError(f"{WEIGHTS} has {own} under two names")
        tensors[own] = tensor
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dtype != torch.float32:
            other.append(str(tensor.dtype).removeprefix("torch."))
    if _TABLE not in tensors:
        held = ", ".join(list(tensors)[:SHOWN])
        raise InputError(f"{WEIGHTS} has no {_TABLE}, so it is not of a scGPT model; it holds {held}")
    batches = [name for name in tensors if name.startswith(_OF_BATCHES)]
    if batches:
        raise InputError(
            f"{WEIGHTS} is of a model finetuned to integrate batches ({batches[0]} ...), which are those of "
            "its own cells: no other cell has one; import the released model"
        )
    rows = check_vocabulary(vocabulary, tensors.get(_TABLE), str(args.get("pad_token", "<pad>")))
    config = replace(config_of(args, len(rows) - 2), flag=_FLAGS in tensors)
    spare = sorted(name for name in tensors if _SPARE.fullmatch(name))
    notes = [f"not needed and left out: {', '.join(spare[:SHOWN])}" + (" ..." * (len(spare) > SHOWN))]
    notes = notes if spare else []
    if other:
        notes.append(f"the weights are {', '.join(sorted(set(other)))} and become float32")
    names = {id_: name for name, id_ in vocabulary.items()}
    genes = tuple(names[row] for row in rows[:-2])

    def read(key: str) -> ScGPT:
        with torch.device("meta"):
            backbone = ScGPT(config)
        ours, table = backbone.state_dict(), scgpt_names(config)
        shapes = {theirs: tuple(ours[mine].shape) for mine, theirs in table.items()}
        shapes[_TABLE] = (len(vocabulary), config.width)
        if config.flag:
            shapes[_FLAGS] = (2, config.width)
        check_tensors(tensors, shapes, WEIGHTS, spare)
        state = {mine: tensors[theirs].float().clone() for mine, theirs in table.items() if theirs != _TABLE}
        state["positions.weight"] = tensors[_TABLE][rows].float()
        if config.flag:
            state["values.flag"] = state["values.flag"][1]
        backbone.load_state_dict(state, assign=True)
        backbone.requires_grad_(True)
        backbone.genes = genes
        return backbone.eval()

    return Layout("scgpt", folder / WEIGHTS, (ONE,), read, lambda n_genes: genes, tuple(notes))


def plain_name(name: str) -> str:
    """Return the name that torch's own attention gives to a tensor of any version's."""
    name = name.removeprefix("module.").replace(".self_attn._impl.", ".self_attn.")
    return re.sub(r"\.self_attn\.Wqkv\.(weight|bias)$", r".self_attn.in_proj_\1", name)


def scgpt_names(config: BackboneConfig) -> dict[str, str]:
    """Return the official name of every tensor of a backbone, by our name."""
    layers = {
        "gene_norm": "encoder.enc_norm",
        "values.linear1": "value_encoder.linear1",
        "values.linear2": "value_encoder.linear2",
        "values.norm": "value_encoder.norm",
        **{f"expression.fc{n + 1}": f"decoder.fc.{2 * n}" for n in range(3)},
        "by_cell.query": "mvc_decoder.gene2query",
    }
    names = {"positions.weight": _TABLE, "by_cell.match.weight": "mvc_decoder.W.weight"}
    names |= {"values.flag": _FLAGS} if config.flag else {}
    for i in range(config.depth):
        ours, theirs = f"blocks.{i}", f"transformer_encoder.layers.{i}"
        layers |= {f"{ours}.out": f"{theirs}.self_attn.out_proj"}
        layers |= {f"{ours}.norm{n}": f"{theirs}.norm{n}" for n in (1, 2)}
        layers |= {f"{ours}.ff{n}": f"{theirs}.linear{n}" for n in (1, 2)}
        names |= {f"{ours}.qkv.{x}": f"{theirs}.self_attn.in_proj_{x}" for x in ("weight", "bias")}
    for ours, theirs in layers.items():
        names |= {f"{ours}.{x}": f"{theirs}.{x}" for x in ("weight", "bias")}
    return names


def config_of(args: Mapping[str, Any], n_genes: int) -> BackboneConfig:
    """Return the shape that ``args.json`` describes.

    Raises
    ------
    InputError
        If it lacks a size, or describes what is not known here.
    """
    try:
        width, known = int(args["embsize"]), {**_DEFAULTS, **args}
        for name, value in (("input_style", "binned"), ("input_emb_style", "continuous")):
            if args.get(name, value) != value:
                raise InputError(f"{ARGS} has {name} {args[name]!r}: only {value!r} is known")
        if args.get("pre_norm"):
            raise InputError(f"{ARGS} has pre_norm, which no released model has: only post-norm is known")
        if int(args["nheads"]) < 1 or width % int(args["nheads"]):
            raise InputError(f"{ARGS} has {args['nheads']} heads, which don't divide embsize {width}")
        return BackboneConfig(
            n_genes=n_genes,
            width=width,
            depth=int(args["nlayers"]),
            heads=int(args["nheads"]),
            ff=int(args["d_hid"]) / width,
            bins=int(known["n_bins"]),
            max_length=int(known["max_seq_len"]),
            value_scaling=False,
            cell_context=False,
            pool=("cls",),
            kind="scgpt",
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{ARGS} has no usable sizes ({error!r}): is it that of a scGPT model?") from error


def check_vocabulary(vocabulary: Any, table: Any, pad: str) -> list[int]:
    """Return the rows of the genes in order of their ids, then those of <cls> and of padding.

    Raises
    ------
    InputError
        If the ids are not 0, 1, 2 ..., a special token is missing, or the weights have more or fewer.
    """
    if not isinstance(vocabulary, dict) or not all(type(id_) is int for id_ in vocabulary.values()):
        raise InputError(f"{VOCABULARY} is no table of tokens and their numbers")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise InputError(
            f"{VOCABULARY} numbers its {len(vocabulary):,} tokens not from 0 to {len(vocabulary) - 1:,}"
        )
    missing = [token for token in (_CLS, pad) if token not in vocabulary]
    if missing:
        raise InputError(f"{VOCABULARY} has no token {', '.join(missing)}: is it that of a scGPT model?")
    if isinstance(table, Tensor) and table.dim() == 2 and len(table) != len(vocabulary):
        raise InputError(
            f"{VOCABULARY} has {len(vocabulary):,} tokens and the weights have {len(table):,} rows: they "
            "belong to different models"
        )
    genes = sorted(id_ for token, id_ in vocabulary.items() if token not in (*_SPECIAL, pad))
    return [*genes, vocabulary[_CLS], vocabulary[pad]]


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise NotFoundError(f"no file {path}: {RELEASED['scgpt'].where}")
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is damaged ({error}): is the download complete?") from error

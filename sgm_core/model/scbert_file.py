"""scBERT's released file: ``panglao_pretrain.pth``, with ``gene2vec_16906.npy`` and the order of its genes.

The shape follows from the tensors. The random features and the rows of Gene2vec are part of the weights;
the file of Gene2vec, where it lies beside them, must hold the same rows.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.gene_list import check_genes
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.layout import Genes, Layout
from sgm_core.model.plain_file import check_tensors, read_plain
from sgm_core.model.released import ONE, RELEASED
from sgm_core.model.scbert import ScBERT

_POSITIONS = "pos_emb.emb.weight"
_ORDER = (
    "the order of the genes can't be checked against the weights: take it from panglao_10000.h5ad, for in "
    "another order nothing fails and all is wrong"
)


def open_scbert(path: Path, genes: Genes) -> Layout:
    """Open a released file; its gene list is ``panglao_10000.h5ad``, a text file of names, or the names.

    Raises
    ------
    NotFoundError
        If a file is missing.
    InputError
        If one is damaged, or they don't fit each other; the first few differences are named.
    """
    stored = read_plain(path, RELEASED["scbert"].where)
    tensors = stored.get("model_state_dict", stored) if isinstance(stored, dict) else stored
    if not isinstance(tensors, dict):
        raise InputError(f"{path.name} holds a {type(tensors).__name__}, no weights by name")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}
    config = config_of(tensors, path.name)
    if genes is None:
        raise InputError(f"{path.name} needs the order of its genes: --genes panglao_10000.h5ad")
    vectors = sorted(path.parent.glob("gene2vec_*.npy"))
    checked = (
        f"its positions are those of {vectors[0].name}" if vectors else "gene2vec_*.npy is not beside it"
    )

    def read(key: str) -> ScBERT:
        with torch.device("meta"):
            backbone = ScBERT(config)
        ours, table = backbone.state_dict(), scbert_names(config)
        check_tensors(tensors, {theirs: tuple(ours[mine].shape) for mine, theirs in table.items()}, path.name)
        if vectors:
            _check_vectors(vectors[0], tensors[_POSITIONS])
        state = {mine: tensors[theirs].to(ours[mine].dtype).clone() for mine, theirs in table.items()}
        backbone.load_state_dict(state, assign=True)
        backbone.requires_grad_(True)
        return backbone.eval()

    def names(n_genes: int) -> tuple[str, ...]:
        return check_genes(_read_names(genes), n_genes, RELEASED["scbert"].where)

    return Layout("scbert", path, (ONE,), read, names, (f"{checked}; {_ORDER}",))


def scbert_names(config: BackboneConfig) -> dict[str, str]:
    """Return the official name of every tensor of a backbone, by our name."""
    names = {
        "values.weight": "token_emb.weight",
        "positions.weight": _POSITIONS,
        "redraw_calls": "performer.calls_since_last_redraw",
    }
    layers = {"norm": "norm", "output": "to_out"}
    for i in range(config.depth):
        ours, theirs = f"blocks.{i}", f"performer.net.layers.{i}"
        layers |= {f"{ours}.norm{n + 1}": f"{theirs}.{n}.norm" for n in (0, 1)}
        layers |= {f"{ours}.ff{n}": f"{theirs}.1.fn.fn.w{n}" for n in (1, 2)}
        layers |= {f"{ours}.attention.out": f"{theirs}.0.fn.to_out"}
        names |= {f"{ours}.attention.{x}.weight": f"{theirs}.0.fn.to_{x}.weight" for x in ("q", "k", "v")}
        names[f"{ours}.attention.projection"] = f"{theirs}.0.fn.fast_attention.projection_matrix"
    for ours, theirs in layers.items():
        names |= {f"{ours}.{x}": f"{theirs}.{x}" for x in ("weight", "bias")}
    return names


def config_of(tensors: Mapping[str, Any], name: str) -> BackboneConfig:
    """Return the shape that the tensors have.

    Raises
    ------
    InputError
        If those are missing that say it.
    """
    try:
        classes, width = tensors["token_emb.weight"].shape
        first = "performer.net.layers.0."
        head_dim = tensors[f"{first}0.fn.fast_attention.projection_matrix"].shape[1]
        found = (re.match(r"performer\.net\.layers\.(\d+)\.", key) for key in tensors)
        return BackboneConfig(
            n_genes=len(tensors[_POSITIONS]) - 1,
            width=width,
            depth=1 + max(int(match[1]) for match in found if match),
            heads=len(tensors[f"{first}0.fn.to_q.weight"]) // head_dim,
            ff=len(tensors[f"{first}1.fn.fn.w1.weight"]) / width,
            bins=classes - 1,
            head_dim=head_dim,
            value_scaling=False,
            cell_context=False,
            pool=("mean",),
            kind="scbert",
        )
    except (KeyError, AttributeError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(
            f"{name} has not the layout of scBERT's panglao_pretrain.pth ({error!r}); it holds "
            f"{', '.join(list(map(str, tensors))[:5])}"
        ) from error


def _check_vectors(path: Path, positions: Tensor) -> None:
    """Check that the file of Gene2vec has the rows of the weights, but for the last, which is zero."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path.name} can't be read ({error}): is the download complete?") from error
    if vectors.shape != (len(positions) - 1, positions.shape[1]):
        expected = (len(positions) - 1, positions.shape[1])
        raise InputError(f"{path.name} is {vectors.shape}, and the weights have positions {expected}")
    off = np.abs(vectors - positions[:-1].double().numpy()).max(1) > 1e-6 * max(1.0, np.abs(vectors).max())
    if off.any():
        raise InputError(
            f"{path.name} has other rows than the weights, first number {int(np.flatnonzero(off)[0]):,}, "
            f"{int(off.sum()):,} in all: they belong to different models"
        )


def _read_names(genes: Genes) -> str | Path | list[str]:
    """Return the names of a gene list, or the file itself where it is one of ``gene_name`` and ``index``."""
    if not isinstance(genes, str | Path):
        return [str(name) for name in genes or ()]
    path = Path(genes).expanduser()
    if not path.is_file():
        raise NotFoundError(f"no file {path}: {RELEASED['scbert'].where}")
    if path.suffix == ".h5ad":
        import anndata as ad

        try:
            return [str(name) for name in ad.read_h5ad(path, backed="r").var_names]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path.name} can't be read ({str(error).splitlines()[0]})") from error
    try:
        if path.suffix == ".json":
            names = json.loads(path.read_text())
            if not isinstance(names, list):
                raise InputError(f"{path.name} is no list of names")
            return [str(name) for name in names]
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is no text file of names, or a damaged one") from error
    return path if lines and lines[0].startswith("gene_name\t") else lines

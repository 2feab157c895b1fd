"""The state of a training as a folder: tensors in safetensors, plain values in JSON, nothing that can run.

``whole.json`` has the hashes of the other two files, so that a damaged state is known and never loaded.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sgm_core.errors import InputError
from sgm_core.home import read_json, whole_folder
from sgm_core.saved import WHOLE
from sgm_core.world import world

SCHEMA = 1
TENSORS, PLAIN = "tensors.safetensors", "plain.json"


def write_state(folder: Path, state: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write `state` as the new folder `folder`, whole or absent, and wait until it is on the disk.

    Parameters
    ----------
    folder : must not be there yet
    state : dictionaries, lists and tuples of tensors and plain values
    facts : plain values that `read_facts` gives without reading the state

    Raises
    ------
    OSError
        If the disk is full or can't be written.
    TypeError
        If the state holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_packed(state, tensors))
    with whole_folder(folder) as temporary:
        save_file(tensors, temporary / TENSORS)
        (temporary / PLAIN).write_text(plain)
        hashes = {name: _hash(temporary / name) for name in (TENSORS, PLAIN)}
        (temporary / WHOLE).write_text(json.dumps({"schema": SCHEMA, "files": hashes, **facts}, indent=1))


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the facts of a state.

    Raises
    ------
    InputError
        If they can't be read.
    """
    try:
        return dict(read_json(folder / WHOLE))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the checkpoint {folder} is damaged: {_first_line(error)}") from error


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state that `write_state` wrote; its tensors are on the CPU, its tuples are lists.

    Raises
    ------
    InputError
        If a file is missing, is not the one that was written, or is of a later version of the program.
    """
    facts = read_facts(folder)
    if facts.get("schema") != SCHEMA:
        raise InputError(
            f"the checkpoint {folder} has schema version {facts.get('schema')}, this program reads {SCHEMA}"
        )
    try:
        for name, expected in facts["files"].items():
            if _hash(folder / name) != expected:
                raise InputError(f"the checkpoint {folder} is damaged: {name} is not what was written")
        tensors = load_file(folder / TENSORS)
        return dict(_unpacked(json.loads((folder / PLAIN).read_text()), tensors))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise InputError(f"the checkpoint {folder} is damaged: {_first_line(error)}") from error


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as what JSON can hold; its tensors go into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # a copy of its own: safetensors takes no two that share their memory
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):  # as pairs: an optimiser's keys are numbers
        return {"dict": [[_packed(key, tensors), _packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, tensors) for item in value]
    if isinstance(value, np.generic):
        return _packed(value.item(), tensors)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state can't hold a {type(value).__name__}")


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if isinstance(value, dict):
        ((kind, inner),) = value.items()
        if kind == "tensor":
            return tensors[inner]
        if kind == "float":
            return float(inner)
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in inner}
    return value


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def machine() -> dict[str, Any]:
    """Return what the last digits of a training depend on, beside its code: PyTorch, threads, processes."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "processes": world().size}

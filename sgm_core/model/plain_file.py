"""Reading weights from a file that others made: nothing in it can run, and it fits whole or not at all."""

import pickle
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgm_core.errors import InputError, NotFoundError

SHOWN = 5
"""Differences that a message names."""


def read_plain(path: Path, where: str) -> Any:
    """Read a file of tensors and plain containers with ``weights_only=True``.

    Parameters
    ----------
    path : the file
    where : where to get it, for messages

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is truncated, no checkpoint, or holds more than tensors and plain containers.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}: {where}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        if "Weights only load failed" not in str(error):
            raise InputError(f"{path.name} is no PyTorch checkpoint, or a damaged one: {where}") from error
        what = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), "")
        raise InputError(
            f"{path.name} holds more than tensors and plain containers, so that reading it could run code: "
            f"it is refused. {what} Ask whoever gave you the file for one that loads with weights_only=True"
        ) from error
    except Exception as error:
        # a damaged pickle can make its reader fail in any way: struct.error, IndexError, AttributeError ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path.name} can't be read ({reason}): is the download complete?") from error


def check_tensors(
    found: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], name: str, spare: Collection[str] = ()
) -> None:
    """Check that a file has exactly the tensors that a model needs.

    Parameters
    ----------
    found : what the file has, by name
    expected : shapes by name
    name : what the file is called
    spare : names that may be there and are not needed

    Raises
    ------
    InputError
        If names or shapes differ, or a number is NaN or infinite; the first few differences are named.
    """
    differences = []
    for theirs, shape in expected.items():
        if not isinstance(found.get(theirs), Tensor):
            differences.append(f"{theirs} {shape} is missing")
        elif tuple(found[theirs].shape) != shape:
            differences.append(f"{theirs} is {tuple(found[theirs].shape)}, expected {shape}")
        elif found[theirs].layout != torch.strided:
            differences.append(f"{theirs} is stored as {str(found[theirs].layout).removeprefix('torch.')}")
        elif found[theirs].is_floating_point() and not bool(torch.isfinite(found[theirs]).all()):
            differences.append(f"{theirs} holds NaN or infinite numbers")
    unknown = sorted(set(found) - set(expected) - set(spare))
    differences += [f"{extra} is not part of the model" for extra in unknown]
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise InputError(f"{name} does not fit: {'; '.join(differences[:SHOWN])}{more}")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"

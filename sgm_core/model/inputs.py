"""The two read depths that follow a cell's genes: S, what the cell has, and T, what it should look like.

Both are log10 of a count. How T is given is written as scFoundation's own script writes it: ``t4`` is T = 4;
``f2`` is twice the cell's depth, T = log10(2 * total); ``a1`` adds to it, T = log10(total) + 1.
"""

import math
import re

import numpy as np

from sgm_core.errors import InputError

_TARGET = re.compile(r"([tfa])(\d+(?:\.\d*)?|\.\d+)")


def target_depth(text: str) -> tuple[str, float]:
    """Return the kind (``t``, ``f`` or ``a``) and the number of a target depth such as ``t4``.

    Raises
    ------
    InputError
        If it is not one of the letters followed by a number, or a factor ``f`` of zero.
    """
    match = _TARGET.fullmatch(text)
    if match is None or not math.isfinite(float(match[2])):
        raise InputError(
            f"target depth {text!r} is not known: use t4 (log10 of the depth), f2 (times the cell's own "
            "depth) or a1 (added to log10 of the cell's own depth)"
        )
    kind, value = match[1], float(match[2])
    if kind == "f" and value == 0:
        raise InputError(f"target depth {text!r} is zero times the cell's depth: use a factor above zero")
    return kind, value


def depth_values(log10_total: np.ndarray, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return T and S of cells.

    Parameters
    ----------
    log10_total : (n,) log10 of each cell's count over the genes of the vocabulary
    target : such as ``t4``, see `target_depth`

    Returns
    -------
    T, S : (n,) each, float64
    """
    kind, value = target_depth(target)
    source = np.asarray(log10_total, np.float64)
    if kind == "t":
        return np.full_like(source, value), source
    return source + (math.log10(value) if kind == "f" else value), source

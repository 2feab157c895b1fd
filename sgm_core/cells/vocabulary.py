"""Genes of some data in the fixed vocabulary of a pretrained backbone."""

from collections.abc import Sequence

import numpy as np

from sgm_core.errors import InputError

COVERAGE_FLOOR = 0.2
"""Data of which a smaller share of the genes is in the vocabulary is taken for a mistake."""


def place_genes(names: Sequence[str] | np.ndarray, vocabulary: Sequence[str], source: str) -> np.ndarray:
    """Return each gene's place in the vocabulary, -1 where it is not in it (exact symbols).

    Parameters
    ----------
    names : symbols of the data's genes (n,)
    vocabulary : symbols in the order of the backbone's positions
    source : what the data is called, for messages

    Raises
    ------
    InputError
        If less than 20 % of the genes are in the vocabulary; the message names the likely cause.
    """
    place = {gene: i for i, gene in enumerate(vocabulary)}
    target = np.array([place.get(str(name), -1) for name in names], np.int64)
    share = float((target >= 0).mean()) if len(target) else 0.0
    if share < COVERAGE_FLOOR:
        raise InputError(
            f"{share:.0%} of the {len(target):,} genes of {source} are in the backbone's vocabulary of "
            f"{len(vocabulary):,}, at least {COVERAGE_FLOOR:.0%} are needed: {_likely_cause(names, place)}"
        )
    return target


def _likely_cause(names: Sequence[str] | np.ndarray, place: dict[str, int]) -> str:
    texts = [str(name) for name in names]
    if not texts:
        return "the data has no genes"
    example = f"the first is {texts[0]!r}"
    if np.mean([text.upper().startswith("ENS") for text in texts]) > 0.5:
        return f"they are Ensembl ids ({example}); import the data with a column of gene symbols"
    if np.mean([text.isdigit() for text in texts]) > 0.5:
        return f"they are numbers ({example}); put gene symbols there"
    if np.mean([text.upper() in place for text in texts]) > 0.5:
        return f"in capitals they would be: mouse symbols? ({example}); the backbone knows human genes"
    return f"are they symbols of human genes? ({example})"

"""Genes of some data in a backbone's vocabulary, and the likely cause where they are not."""

import numpy as np
import pytest

from sgm_core.cells.vocabulary import place_genes
from sgm_core.errors import InputError

VOCABULARY = ("ACTB", "CD34", "GAPDH", "HBB", "MPO")


def test_places_are_by_exact_symbol() -> None:
    assert place_genes(["MPO", "other", "ACTB", "mpo"], VOCABULARY, "x").tolist() == [4, -1, 0, -1]
    assert place_genes(np.array(["CD34", "a", "b", "c", "d"]), VOCABULARY, "x").tolist()[0] == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["CD34", "a", "b", "c", "d", "e"], r"17% of the 6 genes of x .* vocabulary of 5, at least 20%"),
        (["Actb", "Cd34", "Gapdh", "Hbb"], r"0% of the 4 genes of x .*mouse symbols\? \(the first is 'Actb'"),
        ([f"ENSG{i:011d}" for i in range(6)], r"Ensembl ids .*'ENSG00000000000'.*column of gene symbols"),
        ([str(i) for i in range(6)], r"they are numbers .*put gene symbols there"),
        (["x1", "x2"], r"are they symbols of human genes"),
        ([], r"has no genes"),
    ],
    ids=("few", "mouse", "ensembl", "numbers", "strange", "none"),
)
def test_too_few_known_genes_name_the_likely_cause(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        place_genes(names, VOCABULARY, "x")

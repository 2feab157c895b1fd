"""GSEA prerank through gseapy, and our running sum against the one that gseapy keeps."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.prerank import centred, prerank, running_sum
from sgm_core.errors import InputError


def test_prerank_finds_a_shifted_set_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    statistic = pd.Series(rng.normal(size=300), index=[f"G{i}" for i in range(300)])
    statistic.iloc[:15] += 2
    terms = {"up (GO:0000001)": [f"G{i}" for i in range(15)], "flat": [f"G{i}" for i in range(100, 130)]}
    table = prerank(statistic, terms, permutations=200, seed=1)
    assert table.loc[0, ["term", "go_id", "n_term"]].tolist() == ["up", "GO:0000001", 15]
    assert table.loc[0, "nes"] > 1.8
    assert table.loc[0, "q_value"] < 0.01
    pd.testing.assert_frame_equal(table, prerank(statistic, terms, permutations=200, seed=1))
    with pytest.raises(InputError, match="no term has 5 to 500 genes among the 300 that are ranked"):
        prerank(statistic, {"tiny": ["G1"]})


def test_the_running_sum_is_gseapys(shared) -> None:
    import gseapy

    from sgm_core.resources.store import read_gmt

    folder = shared / "data" / "genesets"
    terms = read_gmt(folder / "h.all.v7.0.symbols.gmt")
    genes = sorted({gene for of in list(terms.values())[:8] for gene in of})
    rng = np.random.default_rng(1)
    statistic = pd.Series(rng.gamma(2.0, size=len(genes)), index=genes)
    for direction, name in zip((1, -1), list(terms)[:2]):
        statistic = statistic + direction * 1.5 * statistic.index.isin(terms[name])
    sets = dict(list(terms.items())[:4])
    peer = gseapy.prerank(
        rnk=centred(statistic), gene_sets=sets, permutation_num=10, seed=0, threads=1, outdir=None,
        verbose=False,
    )  # fmt: skip
    for name, found in peer.results.items():
        ours = running_sum(statistic, sets[name])
        assert ours.attrs["score"] == pytest.approx(found["es"], abs=1e-9)
        np.testing.assert_allclose(ours["running"], found["RES"], atol=1e-9)
        assert set(ours.loc[ours["leading"], "gene"]) == set(found["lead_genes"].split(";")), name
    assert running_sum(statistic, sets[list(sets)[1]]).attrs["score"] < 0


def test_a_term_of_no_ranked_gene_has_no_running_sum() -> None:
    statistic = pd.Series([1.0, 2.0, np.nan], index=["A", "B", "C"])
    for genes in ([], ["C"], ["A", "B"]):
        with pytest.raises(InputError, match="of the 2 ranked genes are in the term"):
            running_sum(statistic, genes)

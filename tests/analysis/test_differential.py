"""Differential expression: PyDESeq2's own numbers, no genes under shuffled labels, a planted signal found."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import mannwhitneyu

from sgm_core.analysis.cell_ranking import balanced_sample, cell_ranking
from sgm_core.analysis.differential import answer, check_sides, differential, no_test, plan
from sgm_core.analysis.donor_test import donor_test
from sgm_core.analysis.pseudobulk import Sums
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError

GENES = np.array([f"G{i:03d}" for i in range(400)])


def sums_of(counts: np.ndarray, sides: str, donors: list[str]) -> Sums:
    samples = pd.DataFrame({"side": list(sides), "donor": donors, "n_cells": 50})
    nothing = np.zeros((2, counts.shape[1]))
    return Sums(samples, counts.astype(float), nothing, nothing)


def simulated(rng: np.random.Generator, n: int, fold: float = 1.0, planted: int = 0) -> np.ndarray:
    """Negative binomial sums of n donors (dispersion 0.2, depths that differ), the first genes changed."""
    mean = rng.gamma(1.0, 60, len(GENES))[None] * rng.uniform(0.3, 3, n)[:, None]
    mean[: n // 2, :planted] *= fold
    return rng.poisson(mean * rng.gamma(5, 1 / 5, mean.shape))


def test_the_numbers_are_those_of_pydeseq2_called_directly() -> None:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    counts = simulated(np.random.default_rng(0), 6, 3.0, 20)
    sums = sums_of(counts, "aaabbb", list("pqrpqr"))
    mine = donor_test(sums, GENES, paired=True).set_index("gene")
    tested = mine.index[mine["remark"] != "too few counts to test"]
    frame = pd.DataFrame(counts, columns=GENES, index=list("123456"))[list(tested)]
    meta = pd.DataFrame({"side": list("aaabbb"), "donor": list("pqrpqr")}, index=frame.index)
    model = DeseqDataSet(counts=frame, metadata=meta, design="~donor + side", quiet=True, n_cpus=1)
    model.deseq2()
    test = DeseqStats(model, contrast=["side", "a", "b"], quiet=True, n_cpus=1)
    test.summary()
    ours = mine.loc[
        tested, ["base_mean", "log2_fold_change", "standard_error", "statistic", "p_value", "q_value"]
    ]
    np.testing.assert_allclose(ours, test.results_df, rtol=1e-6)


def test_shuffled_sides_call_no_gene_and_a_planted_signal_is_found() -> None:
    rng = np.random.default_rng(1)
    null = donor_test(sums_of(simulated(rng, 10), "aaaaabbbbb", list("pqrstuvwxy")), GENES, paired=False)
    assert (null["q_value"] < 0.05).sum() <= 2
    counts = simulated(rng, 10, 4.0, 30)
    found = donor_test(sums_of(counts, "aaaaabbbbb", list("pqrstuvwxy")), GENES, paired=False)
    called = found.loc[found["q_value"] < 0.05]
    planted = called["gene"].isin(GENES[:30])
    assert planted.sum() >= 22
    assert (~planted).sum() <= 4
    assert (called.loc[planted, "log2_fold_change"] > 0).all()


@pytest.fixture
def real_stem_cells(shared: Path, sgm_home) -> Dataset:
    """The HSC/MPP of the AML donors of van Galen et al. 2019, their 2,500 most counted genes."""
    path = shared / "data" / "vangalen2019_aml" / "vangalen2019_aml_d0_bm.h5ad"
    adata = anndata.read_h5ad(path)
    adata = adata[(adata.obs["ennis_cell_type"] == "HSC.MPP") & (adata.obs["condition"] == "AML")]
    counts = sparse.csr_matrix(adata.X)
    genes = np.sort(np.argsort(-np.asarray(counts.sum(axis=0)).ravel())[:2500])
    obs = adata.obs[["donor", "ennis_cell_type"]].astype(str).reset_index(names="cell")
    chunk = sparse.csr_matrix(counts[:, genes].astype(np.int64))
    roles = {"donor": "donor", "cell_type": "ennis_cell_type", "timepoint": None}
    return write_dataset("hsc", [chunk], obs, list(adata.var_names[genes].astype(str)), roles)


def test_real_donors_split_at_random_differ_in_next_to_no_gene(real_stem_cells) -> None:
    # Donors of one diagnosis, drawn into two sides: what is called is false.
    donors = real_stem_cells.donors()
    sizes = donors.value_counts()
    side_a = np.random.default_rng(0).permutation(sorted(sizes[sizes >= 10].index))[:7]
    in_a = donors.isin(side_a).to_numpy()
    found = differential(real_stem_cells, in_a, ~in_a)
    assert found.facts["method"] == "pseudobulk" and found.facts["n_tested"] > 2000
    assert found.facts["n_higher"] + found.facts["n_lower"] <= 0.002 * found.facts["n_tested"]
    p = found.table["p_value"].dropna()
    assert 0.01 < (p < 0.05).mean() < 0.1
    # A test over cells, which takes each for an independent sample, calls far more (p < 7e-6).
    a, b = np.flatnonzero(in_a), np.flatnonzero(~in_a)
    cells = cell_ranking(real_stem_cells, *(balanced_sample(donors, rows, 500) for rows in (a, b)))
    assert (cells["score"].abs() > 4.5).mean() > 0.02


def test_the_whole_table_has_every_gene_that_a_used_cell_expresses(demo_dataset) -> None:
    cells = (demo_dataset.labels() == "GMP").to_numpy()
    found = differential(demo_dataset, cells, ~cells, min_cells=4)
    assert found.facts["method"] == "pseudobulk" and found.facts["paired"]
    table = found.table
    assert not table["gene"].duplicated().any()
    assert len(table) > found.facts["n_tested"] > 50
    assert set(table.loc[table["p_value"].isna(), "remark"]) >= {"too few counts to test"}
    assert table["p_value"].dropna().is_monotonic_increasing
    assert {"share_a", "share_b", "mean_a", "mean_b", "mitochondrial", "stress"} <= set(table)
    text = answer(found.facts, "GMP", "the others")
    assert f"{found.facts['n_higher']:,} gene" in text and "each against itself" in text


def test_few_donors_are_described_and_not_tested(demo_dataset) -> None:
    who = demo_dataset.donors()
    a, b = (who.isin(["AML01", "AML02"])).to_numpy(), who.isin(["BM01", "BM02", "BM03"]).to_numpy()
    found = differential(demo_dataset, a, b)
    assert found.facts["method"] == "wilcoxon"
    assert "2 and 3 donors" in found.facts["why"]
    assert not {"p_value", "q_value"} & set(found.table)
    assert found.table["score"].is_monotonic_decreasing
    assert answer(found.facts, "AML", "healthy").startswith("No test of AML against healthy")
    with pytest.raises(InputError, match="no test over donors: 2 and 3 donors"):
        differential(demo_dataset, a, b, method="pseudobulk")


def test_without_donors_there_is_no_test(demo_dataset) -> None:
    meta = {**demo_dataset.meta, "roles": {**demo_dataset.meta["roles"], "donor": None}}
    without = type(demo_dataset)(demo_dataset.path, demo_dataset.name, meta)
    a = np.arange(600) < 200
    assert no_test(plan(without, np.flatnonzero(a), np.flatnonzero(~a))) == "the dataset has no donor column"
    assert differential(without, a, ~a).facts["method"] == "wilcoxon"


def test_the_ranking_is_wilcoxons(demo_dataset) -> None:
    rng = np.random.default_rng(0)
    rows = rng.permutation(600)
    a, b = np.sort(rows[:80]), np.sort(rows[80:300])
    table = cell_ranking(demo_dataset, a, b).set_index("gene")
    values = demo_dataset.lognorm().toarray()
    for gene in table.index[:: len(table) // 12]:
        column = int(demo_dataset.gene_columns([gene])[0])
        x, y = values[a, column], values[b, column]
        test = mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
        ranks = np.sign(test.statistic - len(a) * len(b) / 2)
        z = abs(table.loc[gene, "score"])
        assert np.sign(table.loc[gene, "score"]) == ranks
        from scipy.stats import norm

        assert 2 * norm.sf(z) == pytest.approx(test.pvalue, rel=1e-3)
        assert table.loc[gene, "share_a"] == pytest.approx((x > 0).mean())
        assert table.loc[gene, "mean_b"] == pytest.approx(y.mean(), rel=1e-4)


def test_a_sample_is_even_over_donors_bounded_and_repeatable() -> None:
    who = pd.Series(["big"] * 900 + ["small"] * 30 + ["other"] * 70)
    drawn = balanced_sample(who, np.arange(1000), 150, seed=3)
    assert who.iloc[drawn].value_counts().to_dict() == {"big": 60, "other": 60, "small": 30}
    np.testing.assert_array_equal(drawn, balanced_sample(who, np.arange(1000), 150, seed=3))
    assert len(balanced_sample(None, np.arange(1000), 150)) == 150
    np.testing.assert_array_equal(balanced_sample(who, np.array([5, 2, 9]), 150), [2, 5, 9])


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.arange(5), np.arange(4, 9), "1 cells are in A and in B"),
        (np.arange(2), np.arange(4, 9), "A has 2 cells: a comparison needs at least 3"),
        (np.arange(5), np.array([6, 7, 600]), "B has cells that dataset 'small' has not"),
        (np.ones(7, dtype=bool), np.arange(4, 9), "A marks 7 cells, but dataset 'small' has 600"),
    ],
)
def test_sides_that_cannot_be_compared_are_refused(demo_dataset, a, b, message) -> None:
    with pytest.raises(InputError, match=message):
        check_sides(demo_dataset, a, b)


def test_an_unknown_method_is_refused(demo_dataset) -> None:
    with pytest.raises(InputError, match="method 't-test' is unknown"):
        differential(demo_dataset, np.arange(9), np.arange(9, 20), method="t-test")
    with pytest.raises(InputError, match="a donor needs at least 1 cell on a side, not 0"):
        differential(demo_dataset, np.arange(9), np.arange(9, 20), min_cells=0)
    with pytest.raises(InputError, match="A has cells that dataset"):
        differential(demo_dataset, np.arange(9) + 0.5, np.arange(9, 20))

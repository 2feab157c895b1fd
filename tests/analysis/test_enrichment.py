import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, fisher_exact, hypergeom
from synthetic_run import make_compare_run

from sgm_core.analysis.enrichment import (
    enrich_run,
    group_terms,
    over_representation,
    split_term,
)
from sgm_core.analysis.masks import gene_statistics, top_genes
from sgm_core.errors import InputError
from sgm_core.resources.store import read_gmt
from sgm_core.runs.store import open_run

TERMS = {
    "big (GO:0000001)": [f"G{i}" for i in range(40)],
    "hit (GO:0000002)": [f"G{i}" for i in range(8)],
    "silent (GO:0000003)": [f"G{i}" for i in range(80, 90)],
    "tiny": ["G1", "G2"],
    "elsewhere": [f"X{i}" for i in range(10)],
}
UNIVERSE = [f"G{i}" for i in range(100)]


@pytest.fixture(scope="module")
def reference(shared: Path) -> tuple[dict[str, list[str]], list[str], pd.DataFrame]:
    folder = shared / "data" / "genesets"
    terms = read_gmt(folder / "enrichr.GO_Biological_Process_2021.gmt")
    genes = (folder / "gene_list.txt").read_text().split()
    return terms, genes, pd.read_csv(folder / "gseapy_1.3.1_enrich_gene_list_GOBP2021_bg_gmt.csv")


def test_agrees_with_gseapy_and_scipy_to_1e_10(reference) -> None:
    terms, genes, peer = reference
    universe = {gene for members in terms.values() for gene in members}
    table = over_representation(genes, universe, terms, min_size=None, max_size=None)
    assert table.attrs == {"n_list": 603, "n_universe": 14_937, "n_list_outside": 197, "n_terms": 6_036}
    for row in table.itertuples():
        expected = hypergeom.sf(row.n_hits - 1, 14_937, row.n_term, 603)
        assert row.p_value == pytest.approx(expected, rel=1e-10, abs=1e-10)
    ours = table.assign(name=table["term"] + " (" + table["go_id"] + ")").set_index("name")
    ours = ours.loc[peer["Term"]]  # the peer has the terms with a hit only
    assert len(peer) == (table["n_hits"] > 0).sum() == 3_462
    overlap = peer["Overlap"].str.split("/", expand=True).astype(int)
    np.testing.assert_array_equal(ours["n_hits"], overlap[0])
    np.testing.assert_array_equal(ours["n_term"], overlap[1])
    np.testing.assert_allclose(ours["p_value"], peer["P-value"], rtol=1e-10, atol=0)
    assert [set(g.split(";")) for g in ours["genes"]] == [set(g.split(";")) for g in peer["Genes"]]


def test_terms_without_a_hit_count_in_the_correction(reference) -> None:
    terms, genes, peer = reference
    universe = {gene for members in terms.values() for gene in members}
    table = over_representation(genes, universe, terms, min_size=None, max_size=None)
    np.testing.assert_allclose(table["q_value"], false_discovery_control(table["p_value"]), rtol=1e-12)
    # gseapy corrects over the 3,462 terms with a hit: its first q-value is smaller by that ratio
    best = table["q_value"].iloc[0] / peer["Adjusted P-value"].iloc[0]
    assert best == pytest.approx(6_036 / 3_462, rel=1e-9)


def test_a_small_case_by_hand() -> None:
    genes = ["G0", "G1", "G2", "G50", "G50", "not measured"]
    table = over_representation(genes, UNIVERSE, TERMS).set_index("term")
    assert table.index.tolist() == ["hit", "big", "silent"]  # tiny and elsewhere are not eligible
    row = table.loc["hit"]
    assert row[["go_id", "n_term", "n_hits", "genes"]].tolist() == ["GO:0000002", 8, 3, "G0;G1;G2"]
    assert row["expected"] == pytest.approx(4 * 8 / 100)
    assert row["fold_enrichment"] == pytest.approx(3 / 0.32)
    fisher = fisher_exact([[3, 1], [5, 91]], alternative="greater").pvalue
    assert row["p_value"] == pytest.approx(fisher, rel=1e-10)
    assert table.loc["silent", "p_value"] == 1
    assert table.loc["silent", "genes"] == ""


def test_sizes_are_counted_within_the_universe() -> None:
    small = UNIVERSE[:6]
    assert over_representation(["G0"], small, TERMS)["n_term"].tolist() == [6, 6]
    assert len(over_representation(["G0"], UNIVERSE, TERMS, min_size=None, max_size=9)) == 2
    with_all = over_representation(["G0"], UNIVERSE, TERMS, min_size=None, max_size=None)
    assert "elsewhere" not in set(with_all["term"])


def test_a_list_outside_the_universe_is_refused() -> None:
    with pytest.raises(InputError, match="none of the 1 genes is among the 100 of the universe"):
        over_representation(["ENSG00000000003"], UNIVERSE, TERMS)


def test_no_eligible_term_is_an_empty_table() -> None:
    assert len(over_representation(["G0"], UNIVERSE, TERMS, min_size=60)) == 0


def test_names_keep_parentheses_that_are_no_id() -> None:
    assert split_term("transport (sensu Bacteria) (GO:0006810)") == (
        "transport (sensu Bacteria)",
        "GO:0006810",
    )
    assert split_term("HALLMARK_HYPOXIA") == ("HALLMARK_HYPOXIA", "")


def test_terms_with_the_same_hits_form_one_group(reference) -> None:
    terms, genes, _ = reference
    universe = {gene for members in terms.values() for gene in members}
    grouped = group_terms(over_representation(genes, universe, terms), limit=50)
    lead = grouped.iloc[0]
    assert lead["leads"]
    members = grouped[grouped["group"] == lead["term"]]
    assert {"neutrophil degranulation", "neutrophil mediated immunity"} <= set(members["term"])
    leaders = [set(g.split(";")) for g in grouped.loc[grouped["leads"], "genes"]]
    for i, a in enumerate(leaders):
        assert all(len(a & b) < 0.5 * len(a | b) for b in leaders[:i])


def test_a_run_is_tested_with_its_controls(demo_dataset) -> None:
    masks = open_run(make_compare_run(demo_dataset.name)).read_table("masks")
    stats = gene_statistics(masks, arm="self-guided")
    truth = top_genes(stats, "lift", 20)
    terms = {"planted (GO:0000001)": truth[:12], "other": stats["gene"].tolist()[::40]}
    result = enrich_run(masks, terms, top=25)
    assert result.arm == "self-guided"
    assert set(result.universe) == set(demo_dataset.genes)
    assert list(result.lists) == ["frequency", "lift", "uniform", "expression", "inverse"]
    assert all(len(genes) == 25 for genes in result.lists.values())
    assert not result.notes
    best = result.table[result.table["term"] == "planted"].set_index("ranking")["q_value"]
    assert best["lift"] < 1e-8
    assert best["uniform"] > 0.01
    with pytest.raises(InputError, match=re.escape(f"take 1 to {len(stats) - 1}")):
        enrich_run(masks, terms, top=100_000)


def test_by_lift_only_genes_that_exceed_their_equals_are_taken(demo_dataset) -> None:
    masks = open_run(make_compare_run(demo_dataset.name)).read_table("masks")
    terms = {"any": list(demo_dataset.genes[:50])}
    stats = gene_statistics(masks, arm="self-guided")
    clear = set(stats.loc[(stats["lift_low"] > 1) & (stats["lift_q"] <= 0.05), "gene"])
    assert clear < set(stats.loc[stats["lift_low"] > 1, "gene"]), "some intervals are clear of 1 by chance"
    found = enrich_run(masks, terms, top=200)
    assert set(found.lists["lift"]) == clear
    assert 0 < len(clear) < 200
    assert found.notes["lift"].startswith(
        f"by lift only {len(clear)} genes are hidden more than their equals"
    )
    flat = masks.assign(masked=masks["opportunities"] // 3)  # every gene alike
    none = enrich_run(flat, terms, top=200)
    assert "lift" not in none.lists
    assert "lift" not in set(none.table["ranking"])
    assert none.notes["lift"].startswith("no enrichment by lift: no gene is hidden more than its equals")
    one = enrich_run(masks[masks["seed"].isin([-1, 0])], terms, top=200)
    assert "lift" not in one.lists
    assert "one model can't tell a preference from chance" in one.notes["lift"]

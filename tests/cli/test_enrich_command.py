"""`sgm enrich` on a run with a known truth: what it says of the model, two rankings, backgrounds, CSV."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import hypergeom
from synthetic_run import guided_genes, make_compare_run

import sgm_core
from sgm_core.cli.frame import main
from sgm_core.runs.store import open_run


@pytest.fixture
def run_id(demo_dataset) -> str:
    return make_compare_run(demo_dataset.name)


@pytest.fixture
def gmt(tmp_path: Path, demo_dataset) -> Path:
    """The genes that the run's masks prefer, most of them once more, and genes of no meaning."""
    truth = demo_dataset.genes[guided_genes(demo_dataset)].tolist()
    terms = {"planted": truth[:20], "planted again": truth[:18]}
    terms |= {f"term {i}": demo_dataset.genes[i::25].tolist() for i in range(25)}
    path = tmp_path / "sets.gmt"
    path.write_text("".join("\t".join([name, "", *genes]) + "\n" for name, genes in terms.items()))
    return path


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def asked(capsys: pytest.CaptureFixture[str], *argv: object) -> dict:
    code, out, err = call(capsys, "enrich", *argv, "--json")
    assert code == 0, err
    return json.loads(out)


def test_only_guided_masks_are_said_to_mean_something(run_id, gmt, capsys) -> None:
    guided = asked(capsys, run_id, "--genesets", gmt, "--top", 40)["claims"]
    assert guided["lift"]["confidence"] == "proven"
    assert (
        "2 of 27 terms hold more of the genes of highest lift than chance, 2 of" in guided["lift"]["sentence"]
    )
    uniform = asked(capsys, run_id, "--genesets", gmt, "--top", 40, "--arm", "uniform")["claims"]
    assert uniform["frequency"]["confidence"] == "chance"
    expression = asked(capsys, run_id, "--genesets", gmt, "--top", 40, "--arm", "expression+summary")[
        "claims"
    ]
    assert expression["frequency"]["confidence"] == "chance"
    table = sgm_core.enrich(run_id, gmt, by="lift", top=40)
    assert (table.attrs["claim"][:10], table.attrs["confidence"]) == ("2 of 27 te", "proven")


def test_two_rankings_side_by_side(run_id, gmt, capsys) -> None:
    options = (
        "--genesets",
        gmt,
        "--top",
        40,
        "--by",
        "lift",
        "--against",
        run_id,
        "--against-by",
        "expression",
    )
    data = asked(capsys, run_id, *options)
    assert (data["n_universe"], data["lost"]) == (1000, [0, 0])
    rows = {row["term"]: row for row in data["terms"]}
    assert rows["planted"]["found"] == "first"
    assert rows["planted"]["q_difference"] < 0.01
    assert "terms tell the two lists apart" in data["sentence"]
    same = sgm_core.enrich_pair(run_id, run_id, gmt, by=("lift", "expression"), top=40)
    assert same.table["term"].tolist() == [row["term"] for row in data["terms"]]


def test_a_background_narrows_the_universe_and_the_list(run_id, gmt, capsys, tmp_path) -> None:
    masks = open_run(run_id).read_table("masks")
    rows = masks[(masks["arm"] == "self-guided") & (masks["by"] == "all") & (masks["fold"] == -1)]
    wanted = set(rows.loc[rows["opportunities_nonzero"] >= 0.3 * rows["opportunities"], "gene"])
    (tmp_path / "mine.txt").write_text("\n".join(sorted(wanted)))
    for background in ("detected:0.3", tmp_path / "mine.txt"):
        data = asked(capsys, run_id, "--genesets", gmt, "--top", 40, "--background", background)
        assert data["n_universe"] == len(wanted)
        genes = data["lists"]["frequency"]
        assert set(genes) < wanted
        assert len(genes) == 40
        first = next(term for term in data["terms"] if term["ranking"] == "frequency")
        expected = hypergeom.sf(first["n_hits"] - 1, len(wanted), first["n_term"], 40)
        assert first["p_value"] == pytest.approx(expected, rel=1e-10)
    for wrong in ("detected:5", "detected:a"):
        code, _, err = call(capsys, "enrich", run_id, "--genesets", gmt, "--background", wrong)
        assert code == 2
        assert "write detected:0.05" in err


def test_terms_of_the_same_genes_are_one_row_and_the_csv_is_whole(run_id, gmt, capsys, tmp_path) -> None:
    out = tmp_path / "terms.csv"
    options = ("--genesets", gmt, "--by", "lift", "--group", 0.5, "--out", out)
    code, text, _ = call(capsys, "enrich", run_id, *options)
    assert code == 0
    assert "planted again" not in text
    table = pd.read_csv(out)
    assert len(table) == 27
    assert set(table["ranking"]) == {"lift"}
    assert set(table["n_universe"]) == {1000}


def test_what_does_not_go_together_is_refused(run_id, gmt, capsys) -> None:
    for options in (
        ("--group", 2), ("--against-by", "lift"), ("--prerank", "--background", "detected:0.1"),
    ):  # fmt: skip
        code, out, err = call(capsys, "enrich", run_id, "--genesets", gmt, *options)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1


def test_what_was_planted_is_said_of_simulated_runs(run_id, capsys) -> None:
    code, out, _ = call(capsys, "masks", run_id, "--planted", "--json")
    assert code == 0
    planted = json.loads(out)["planted"]
    assert {row["ranking"] for row in planted["rankings"]} >= {"frequency", "uniform", "start", "expression"}
    assert [each["confidence"] for each in planted["sentences"]].count("proven") == 0
    assert len(planted["sentences"]) == 4

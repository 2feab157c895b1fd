import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom
from synthetic_run import make_compare_run

import sgm_core
from sgm_core.cli.frame import main
from sgm_core.home import write_table
from sgm_core.runs.store import create_run, open_run

_UMAP = "sgm_core.analysis.umap_process.UmapProcess.umap"


@pytest.fixture
def run_id(demo_dataset) -> str:
    return make_compare_run(demo_dataset.name)


@pytest.fixture
def gmt(tmp_path: Path, demo_dataset) -> Path:
    genes = demo_dataset.genes
    lines = [f"term {i} (GO:{i:07d})\t\t" + "\t".join(genes[i::25]) for i in range(25)]
    path = tmp_path / "sets.gmt"
    path.write_text("\n".join(lines) + "\n\n")
    return path


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_masks_says_the_verdict_and_the_genes(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "masks", run_id, "--top", 3)
    assert code == 0
    assert "self-guided: Masks are guided beyond expression" in out
    assert "uniform: Masks are indistinguishable from uniform" in out
    assert "Most masked genes of self-guided" in out
    assert "[proven]" in out
    assert "Another seed prefers the same genes in part: rank agreement" in out
    assert "of which comes back with every seed" in out


def test_masks_as_json_holds_every_gene(
    run_id: str, demo_dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "masks", run_id, "--arm", "uniform", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["verdict"].startswith("Masks are indistinguishable from uniform")
    assert len(data["genes"]) == demo_dataset.n_genes
    assert set(data["arms"]) == {"uniform", "uniform+summary", "expression+summary", "self-guided"}
    assert data["confidence"] == "chance"
    assert data["diagnostic"]["effective_share"] == pytest.approx(1)
    guided = data["arms"]["self-guided"]["diagnostic"]
    assert guided["reproducible_sd_low"] > 0.05 > guided["start"]["reproducible_sd_high"]
    assert guided["agreement_between_seeds"] > guided["agreement_between_seeds_low"] > 0
    assert np.isfinite(guided["agreement_between_donors"])


def test_masks_of_one_group(run_id: str, demo_dataset, capsys: pytest.CaptureFixture[str]) -> None:
    level = demo_dataset.labels().dropna().value_counts().index[0]
    code, out, _ = call(capsys, "masks", run_id, "--by", "cell_type", "--level", level, "--json")
    assert code == 0
    draws = {gene["opportunities"] for gene in json.loads(out)["genes"]}
    whole = json.loads(call(capsys, "masks", run_id, "--json")[1])["genes"][0]["opportunities"]
    assert max(draws) < whole


def test_enrich_a_run_prints_controls_and_keeps_the_table(
    run_id: str, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "enrich", run_id, "--genesets", gmt, "--top", 40)
    assert code == 0
    assert "25 terms of eligible size; universe: 1,000 genes; lists: top 40" in out
    assert "Control: most masked genes under uniform masks" in out
    table = open_run(run_id).read_table("enrichment")
    assert set(table["ranking"]) == {"frequency", "lift", "uniform", "start", "expression", "inverse"}
    assert set(table["library"]) == {"sets.gmt"}
    _, out, _ = call(capsys, "enrich", run_id, "--genesets", gmt, "--top", 40, "--by", "lift", "--json")
    data = json.loads(out)
    assert list(data["lists"]) == ["lift"]
    assert {term["ranking"] for term in data["terms"]} == {"lift"}


def test_one_seed_is_refused_a_ranking_by_lift_in_words(
    run_id: str, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(run_id)
    masks = run.read_table("masks")
    write_table(run.table_path("masks"), masks[masks["seed"].isin([-1, 0])].drop(columns="seed"))
    run.table_path("masks_start").unlink()
    code, out, _ = call(capsys, "masks", run_id)
    assert code == 0
    assert "self-guided: Masks left uniform and expression" in out
    assert "[undecided]" in out
    assert "beyond their expression: one model can't tell a preference from chance" in out
    for more in ((), ("--prerank",)):
        code, out, err = call(capsys, "enrich", run_id, "--genesets", gmt, "--by", "lift", *more)
        assert (code, out) == (2, "")
        assert "one model can't tell a preference from chance: pretrain with other seeds" in err
    code, out, _ = call(capsys, "enrich", run_id, "--genesets", gmt, "--top", 40)
    assert code == 0
    assert "No enrichment by lift: one model can't tell" in out


def test_enrich_a_list_agrees_with_scipy(
    tmp_path: Path, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [line.split("\t")[2:] for line in gmt.read_text().splitlines() if line]
    (tmp_path / "genes.txt").write_text(
        "  " + "\n   ".join(members[0][:9] + members[1][:4] + ["absent"]) + "\n\n"
    )
    argv = ("enrich", "--genes", tmp_path / "genes.txt", "--universe", "gmt", "--genesets", gmt, "--json")
    code, out, _ = call(capsys, *argv)
    data = json.loads(out)
    assert code == 0
    assert (data["n_list"], data["n_list_outside"]) == (13, 1)
    first = data["terms"][0]
    assert first["term"] == "term 0"
    expected = hypergeom.sf(8, data["n_universe"], first["n_term"], 13)
    assert first["p_value"] == pytest.approx(expected, rel=1e-10)


def test_enrich_says_what_it_did_to_a_list(
    tmp_path: Path, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [line.split("\t")[2:] for line in gmt.read_text().splitlines() if line]
    genes = members[0][:9]
    rows = [f"{gene}.1,2.5" for gene in genes[:1]] + [f"{gene},2.5" for gene in genes[1:]]
    (tmp_path / "genes.csv").write_text("\ufeffgene,logFC\n" + "\n".join(rows) + "\n")
    argv = ("enrich", "--genes", tmp_path / "genes.csv", "--universe", "gmt", "--genesets", gmt)
    data = json.loads(call(capsys, *argv, "--json")[1])
    assert (data["n_list"], data["n_list_outside"]) == (9, 0)
    assert data["terms"][0]["term"] == "term 0"
    said = [
        "1 blank lines skipped",
        "genes.csv is a table of 2 columns: the genes are those of column 1 'gene'",
        f"suffix taken off: {genes[0]}.1 -> {genes[0]}",
    ]
    assert data["notes"] == said
    _, out, _ = call(capsys, *argv)
    assert all(f"  {note}\n" in out for note in said)
    code, _, err = call(capsys, *argv, "--exact", "--aliases", "absent")
    assert (code, "no aliases 'absent'" in err) == (2, True)


def test_enrich_uses_the_registered_aliases(
    tmp_path: Path, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genes = [line.split("\t")[2] for line in gmt.read_text().splitlines() if line][:3]
    (tmp_path / "map.tsv").write_text(f"Symbol\tApproved.Symbol\nFORMERLY\t{genes[0]}\n")
    assert call(capsys, "resources", "add", "aliases", tmp_path / "map.tsv", "--name", "mine")[0] == 0
    (tmp_path / "genes.txt").write_text("\n".join(["FORMERLY", *genes[1:]]))
    argv = ("enrich", "--genes", tmp_path / "genes.txt", "--universe", "gmt", "--genesets", gmt, "--json")
    data = json.loads(call(capsys, *argv)[1])
    assert data["n_list"] == 3
    assert "aliases from the registered table mine" in data["notes"]
    assert f"mapped by alias: FORMERLY -> {genes[0]}" in data["notes"]


def test_enrich_the_reference_list(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data" / "genesets"
    argv = ["--genes", folder / "gene_list.txt", "--universe", "gmt", "--min-size", 0, "--max-size", 0]
    library = folder / "enrichr.GO_Biological_Process_2021.gmt"
    code, out, _ = call(capsys, "enrich", *argv, "--genesets", library, "--exact", "--json")
    assert code == 0
    ours = {f"{t['term']} ({t['go_id']})": t["p_value"] for t in json.loads(out)["terms"]}
    peer = pd.read_csv(folder / "gseapy_1.3.1_enrich_gene_list_GOBP2021_bg_gmt.csv")
    np.testing.assert_allclose([ours[t] for t in peer["Term"]], peer["P-value"], rtol=1e-10)


def test_enrich_by_rank(run_id: str, gmt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "enrich", run_id, "--genesets", gmt, "--prerank", "--by", "lift", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["n_terms"] == len(data["terms"]) == 25
    assert {"nes", "p_value", "q_value"} <= set(data["terms"][0])


def test_umap_of_a_run_is_a_run_of_its_own(
    run_id: str, demo_dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Real maps are tested in analysis/test_embedding: numba takes ten seconds to compile them in a process.
    monkeypatch.setattr(_UMAP, lambda self, vectors, tell: vectors[:, :2])
    folder = open_run(run_id).path / "pooled"
    folder.mkdir()
    vectors = np.random.default_rng(0).normal(size=(demo_dataset.n_cells, 8)).astype(np.float32)
    np.save(folder / "uniform.fold2.npy", vectors)
    code, out, err = call(capsys, "umap", run_id, "--json")
    assert code == 0, err
    data = json.loads(out)
    assert open_run(data["run"]).state == "done"
    table = pd.read_parquet(data["path"]).set_index("source").loc["uniform/fold 2"]
    assert table["cell"].tolist() == list(range(demo_dataset.n_cells)) and np.isfinite(table["x"]).all()


def test_umap_of_some_cells(
    demo_dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_UMAP, lambda self, vectors, tell: vectors[:, :2])
    (tmp_path / "cells.csv").write_text(
        "cell\n" + "\n".join(demo_dataset.obs["cell"].iloc[[7, 1, 90, 4, 5, 6]])
    )
    argv = ("umap", demo_dataset.name, "--cells", tmp_path / "cells.csv", "--name", "some")
    code, out, err = call(capsys, *argv, "--json")
    assert code == 0, err
    assert "on all cores" in err
    data = json.loads(out)
    assert pd.read_parquet(data["path"])["cell"].tolist() == [1, 4, 5, 6, 7, 90]
    assert open_run(data["run"]).parameters["seed"] is None
    code, _, err = call(capsys, *argv)
    assert code == 2 and "has a map 'some': choose another name" in err


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("umap", "small", "--cells", "cells.csv"), "give --cells FILE and --name MAP together"),
        (("umap", "small", "--name", "mine"), "give --cells FILE and --name MAP together"),
        (("umap", "small", "--cells", "absent.csv", "--name", "mine"), "no file absent.csv"),
        (("umap", "RUN", "--cells", "absent.csv", "--name", "mine"), "no dataset"),
        (("masks", "nothing"), "no run 'nothing'"),
        (("masks", "RUN", "--arm", "magic"), "no masks of arm 'magic'"),
        (("masks", "RUN", "--fold", 9), "no masks of arm 'self-guided', fold 9"),
        (("enrich", "--genesets", "GMT"), "give the ID of a run, or --genes FILE"),
        (("enrich", "RUN", "--genes", "GMT", "--genesets", "GMT"), "not both"),
        (("enrich", "RUN", "--genesets", "GMT", "--top", 0), "top is 0: take 1 to 999"),
        (
            ("enrich", "--genes", "absent.txt", "--universe", "gmt", "--genesets", "GMT"),
            "no file absent.txt",
        ),
        (("umap", "nothing"), "neither a dataset nor a run"),
        (("umap", "RUN"), "holds no pooled vectors: a finished pretraining"),
    ],
)
def test_bad_input_is_one_line(
    run_id: str, gmt: Path, argv: tuple, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [{"RUN": run_id, "GMT": gmt}.get(word, word) for word in argv]
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.strip().splitlines()) == 1


def test_a_run_without_masks_says_where_they_come_from(
    demo_dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run("umap", demo_dataset.name, {"data": demo_dataset.name})
    code, _, err = call(capsys, "masks", run.id)
    assert code == 2
    assert "has no table 'masks'" in err


def test_masks_biology_needs_sets_and_is_kept_as_csv(
    run_id: str, gmt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "masks", run_id, "--biology", 20)
    assert (code, "sgm resources add signatures FILE" in err) == (2, True)
    assert call(capsys, "resources", "add", "signatures", gmt)[0] == 0
    code, out, _ = call(capsys, "masks", run_id, "--biology", 20)
    assert code == 0
    assert "of 25 sets than genes of equal expression do" in out
    assert "within a group of cells all models are counted together" in out
    code, _, err = call(capsys, "masks", run_id, "--biology", 20, "--fold", 0)
    assert (code, "leave --fold out" in err) == (2, True)
    kept = pd.read_csv(open_run(run_id).path / "biology.csv")
    assert set(kept["ranking"]) == {"frequency", "lift", "uniform", "start", "expression", "inverse"}
    assert len(sgm_core.biology(run_id, top=20)) == len(kept)

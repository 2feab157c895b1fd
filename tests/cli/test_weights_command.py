import json
from pathlib import Path

import pytest

from sgm_core.cli import main

LIST = "data/gene_lists/OS_scRNA_gene_index.19264.tsv"


@pytest.fixture
def arguments(shared: Path) -> list[str]:
    checkpoint = shared / "fixtures/scfoundation_end_to_end/models.ckpt"
    return ["weights", "import", str(checkpoint), "--genes", str(shared / LIST), "--name", "e2e"]


def test_import_list_and_show(arguments: list[str], capsys) -> None:
    assert main(["weights", "list"]) == 0
    assert "sgm weights import models.ckpt --genes" in capsys.readouterr().out
    assert main(["weights", "list", "--json"]) == 0
    empty = json.loads(capsys.readouterr().out)
    assert empty["weights"] == [] and "download" in empty["how"]

    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "non-commercial research only" in said.err and "imported" in said.err
    assert "e2e: 317,335 parameters" in said.out

    assert main(["weights", "list"]) == 0
    assert capsys.readouterr().out.split()[:4] == ["e2e", "cell,", "gene,", "rde"]
    assert main(["weights", "show", "e2e"]) == 0
    shown = capsys.readouterr().out
    for text in ("19,264, A1BG to ZZZ3", "non-commercial", "for cell embeddings", "width 16", "MB on disk"):
        assert text in shown
    assert main(["weights", "show", "e2e", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["weights", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == [one]
    assert one["keys"] == ["cell", "gene", "rde"] and one["purposes"]["gene"].startswith("finetuning")
    assert one["n_genes"] == 19_264 and one["bytes"] > 3e6 and len(one["source"]["sha256"]) == 64
    assert "must not be passed on" in one["licence"]


def test_import_with_json(arguments: list[str], capsys) -> None:
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_parameters"] == 317_335


def test_bad_input_is_one_line(arguments: list[str], tmp_path: Path, sgm_home: Path, capsys) -> None:
    cut = tmp_path / "models.ckpt"
    cut.write_bytes(Path(arguments[2]).read_bytes()[:100_000])
    short = tmp_path / "genes.tsv"
    short.write_text("\n".join(Path(arguments[4]).read_text().splitlines()[:-1]))
    for number, path, message in (
        (2, cut, "is the download complete?"),
        (4, short, "has 19,263 genes and the weights have 19,264"),
        (2, tmp_path / "none.ckpt", "no file"),
        (6, "tiny", "trained from scratch"),
    ):
        wrong = list(arguments)
        wrong[number] = str(path)
        assert main(wrong) == 2
        output = capsys.readouterr()
        assert output.out == "" and message in output.err.splitlines()[-1]
        assert not list((sgm_home / "weights").iterdir())
    assert main(["weights", "show", "none"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

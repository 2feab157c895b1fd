"""One damaged thing does not hide the others of its kind."""

import json
import shutil
from pathlib import Path

import pytest

from sgm_core.cli import main
from sgm_core.resources.store import add_resource

DAMAGE = ("", "[]", "{}", '{"schema_version": 1, "roles": 3, "source": []}', '{"schema_version": 99}')


def a_bundle(home: Path, name: str) -> Path:
    folder = home / "weights" / name
    folder.mkdir(parents=True)
    config = {"n_genes": 200, "width": 32}
    source = {"file": "models.ckpt", "sha256": "0" * 64}
    meta = {"schema_version": 1, "keys": ["cell"], "config": config, "n_parameters": 5, "licence": "none"}
    (folder / "bundle.json").write_text(json.dumps({**meta, "source": source}))
    return folder / "bundle.json"


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_is_listed_as_damaged(sgm_home: Path, capsys, damage: str) -> None:
    # Seen: `sgm weights list` failed for all.
    a_bundle(sgm_home, "whole")
    a_bundle(sgm_home, "broken").write_text(damage)
    assert main(["weights", "list"]) == 0
    whole, broken = capsys.readouterr().out.splitlines()
    assert whole.startswith("whole") and "5 parameters" in whole
    assert broken.split()[:2] == ["broken", "damaged:"] and "broken" in broken.split("damaged:")[1]
    assert main(["weights", "list", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in data["weights"]] == [str(sgm_home / "weights" / "whole")]
    assert list(data["damaged"]) == ["broken"]
    assert main(["weights", "show", "broken"]) == 2


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_dataset_is_listed_as_damaged(demo_dataset, sgm_home: Path, capsys, damage: str) -> None:
    # The same of datasets: every page of the dashboard failed as well.
    shutil.copytree(demo_dataset.path, sgm_home / "datasets" / "broken")
    (sgm_home / "datasets" / "broken" / "dataset.json").write_text(damage)
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "small" in lines[1] and lines[2].startswith("broken  damaged: ")
    assert main(["data", "list", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in data["datasets"]] == ["small"] and list(data["damaged"]) == ["broken"]
    assert main(["data", "show", "broken"]) == 2
    assert main(["data", "show", "elsewhere"]) == 2, "the message that names the datasets there are"
    assert "there are small" in capsys.readouterr().err


def test_a_damaged_resource_hides_no_other(sgm_home: Path, tmp_path: Path, capsys) -> None:
    sets = tmp_path / "sets.gmt"
    sets.write_text("one\t\tSPI1\tMYC\n")
    for name in ("whole", "broken"):
        add_resource("genesets", sets, name)
    (sgm_home / "resources" / "genesets" / "broken" / "resource.json").write_text("{")
    assert main(["resources", "list", "genesets"]) == 0
    out = capsys.readouterr().out
    assert "whole" in out and "broken" not in out

import json

import pytest

from sgm_core.cli import main


@pytest.mark.parametrize(
    ("source", "message"),
    [("pbmc3k", "take one of vangalen2019, ennis2023"), ("ennis2023", "By hand: download bone_marrow.h5ad")],
)
def test_what_cannot_be_fetched_is_one_line(capsys, source, message):
    assert main(["data", "fetch", source, "--base-url", "http://127.0.0.1:9", "--json"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err and output.err.count("\n") == 1


def test_pairs_that_are_there_are_imported(shared, sgm_home, capsys):
    raw = shared / "data" / "vangalen2019_aml" / "raw"
    pairs = sgm_home / "downloads" / "GSE116256"
    pairs.mkdir(parents=True)
    for file in raw.glob("*BM*.txt.gz"):
        (pairs / file.name).write_bytes(file.read_bytes())
    assert main(["data", "fetch", "vangalen2019", "--name", "marrow", "--json"]) == 0
    meta = json.loads(capsys.readouterr().out)
    assert (meta["name"], meta["n_donors"]) == ("marrow", 2)

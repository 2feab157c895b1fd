"""`sgm de`: from two filters to the table."""

import json

import pandas as pd
import pytest

from sgm_core.cli.frame import main


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_two_groups_are_compared_and_the_whole_table_is_named(demo_dataset, capsys) -> None:
    asked = ("de", "small", "--a", "condition=AML", "--b", "condition=Healthy", "--json")
    code, out, err = call(capsys, *asked)
    assert code == 0, err
    data = json.loads(out)
    assert data["method"] == "pseudobulk" and not data["paired"]
    assert (data["n_donors_a"], data["n_donors_b"]) == (8, 4)
    assert len(pd.read_parquet(data["path"])) == len(data["genes"])
    code, out, err = call(capsys, *asked[:-1], "--top", 3)
    assert "is done already" in err
    assert f"{data['answer']}." in out


def test_levels_join_and_filters_narrow(demo_dataset, capsys) -> None:
    code, out, _ = call(
        capsys,
        "de",
        "small",
        "--a",
        "cell_type=GMP|HSC",
        "--a",
        "condition=AML",
        "--method",
        "wilcoxon",
        "--json",
    )
    data = json.loads(out)
    labels, condition = demo_dataset.labels(), demo_dataset.obs["condition"]
    assert code == 0 and data["method"] == "wilcoxon"
    assert data["n_cells_a"] == (labels.isin(["GMP", "HSC"]) & (condition == "AML")).sum()
    assert data["n_cells_a"] + data["n_cells_b"] == 600
    assert "p_value" not in data["genes"][0]


@pytest.mark.parametrize(
    "asked, message",
    [
        ("condition", "is no filter"),
        ("condition=XYZ", "no level 'XYZ'; it has AML"),
        ("nope=1", "no column 'nope'"),
    ],
)
def test_what_is_no_group_is_refused_in_one_line(demo_dataset, capsys, asked: str, message: str) -> None:
    code, _, err = call(capsys, "de", "small", "--a", asked)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1

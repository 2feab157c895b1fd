"""Tables of cells as people save them, joined to the counts by cell name."""

import gzip

import numpy as np
import pandas as pd
import pytest
from small_files import FILTERS, GENES, N_CELLS, small_counts, small_obs

from sgm_core.cells.build import import_dataset
from sgm_core.cells.cell_table import add_cells, read_table
from sgm_core.errors import InputError

ROLES = {"donor": "donor", "cell_type": "cell_type", "timepoint": "day"}


@pytest.fixture
def counts(tmp_path):
    table = pd.DataFrame(small_counts().T, index=GENES, columns=small_obs().index)
    table.to_csv(tmp_path / "counts.csv", index_label="gene")
    return tmp_path / "counts.csv"


def obs(**changes) -> pd.DataFrame:
    return small_obs().drop(columns="score").astype(str).assign(**changes)


def r_table(table: pd.DataFrame, separator: str, quote: str = "") -> str:
    """As R's write.table: one field less in the header."""
    rows = [list(table.columns), *([name, *row] for name, row in zip(table.index, table.to_numpy()))]
    return "".join(separator.join(f"{quote}{field}{quote}" for field in row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", lambda t: t.to_csv(index_label="cell"), ""),
        ("a.csv", lambda t: t.to_csv(index_label="cell_barcode"), ""),
        ("a.csv", lambda t: t.to_csv(), ""),
        ("a.csv", lambda t: t.assign(name=t.index).to_csv(index=False), ""),
        ("a.txt", lambda t: r_table(t, "\t"), ""),
        ("a.txt", lambda t: r_table(t, " ", '"'), "separated by blanks"),
        ("a.csv", lambda t: t.to_csv(sep=";").replace("\n", "\r\n"), "separated by semicolons"),
        ("a.txt", lambda t: t.to_csv(sep="|"), "separated by bars"),
        ("a.csv", lambda t: "# exported\n# today\n" + t.to_csv(), "start with # were left out"),
        ("a.csv", lambda t: "\ufeff" + t.to_csv(), ""),
        ("a.csv", lambda t: t.to_csv().encode("utf-16"), "UTF-16"),
        ("a.csv.gz", lambda t: gzip.compress(t.to_csv().encode()), ""),
        ("a.csv", lambda t: t.rename(lambda name: f"{name} ").to_csv(), ""),
        ("a.csv", lambda t: t.rename(lambda name: f"{name}-1").to_csv(), "without the number at the end"),
        ("a.csv", lambda t: t.assign(**{"": ""}).to_csv(), ""),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_cells(counts, tmp_path, name, content, said):
    content = content(obs())
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / name)
    assert ds.donors().tolist() == obs()["donor"].tolist()
    assert ds.labels().tolist() == obs()["cell_type"].tolist()
    assert ds.obs["day"].tolist() == obs()["day"].tolist()
    notes = ds.meta["source"]["notes"]
    assert said in " ".join(notes)
    assert bool(notes) == bool(said)


def test_parquet_with_the_names_in_its_index(counts, tmp_path):
    obs(number=np.arange(N_CELLS)).to_parquet(tmp_path / "a.parquet")
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.parquet")
    assert ds.donors().tolist() == obs()["donor"].tolist()
    assert ds.obs["number"].tolist() == list(range(N_CELLS))


def test_letters_of_another_code_page(counts, tmp_path):
    (tmp_path / "a.csv").write_bytes(
        obs(cell_type="Mönö").to_csv().replace("ö,D30", "o,D30").encode("cp1252")
    )
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    assert set(ds.labels()) == {"Mönö", "Möno"}
    assert "cp1252" in ds.meta["source"]["notes"][0]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["001", "002", "003"], ["001", "002", "003"]),
        (["1E5", "10E4", "2E5"], ["1E5", "10E4", "2E5"]),
        (["TRUE", "FALSE", "T"], ["TRUE", "FALSE", "T"]),
        (["1.50", "1.5", "2"], ["1.50", "1.5", "2"]),
        (["1.0", "2.0", "3.0"], ["1", "2", "3"]),
        (["NA12878", "NB1", "INF"], ["NA12878", "NB1", "INF"]),
        (["AML1 ", "AML1", "AML2"], ["AML1", "AML1", "AML2"]),
        (["AML  1", "AML\u00a01", "AML2"], ["AML 1", "AML 1", "AML2"]),
    ],
)
def test_ids_are_text_without_stray_blanks(counts, tmp_path, written, kept):
    obs(donor=np.array(written * 20)).to_csv(tmp_path / "a.csv")
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    assert ds.donors().tolist() == kept * 20
    assert ds.meta["n_donors"] == len(set(kept))


def test_labels_that_are_true_and_false(counts, tmp_path):
    obs(cell_type=np.array(["TRUE", "FALSE"] * 30)).to_csv(tmp_path / "a.csv")
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    assert set(ds.labels()) == {"TRUE", "FALSE"}


def test_donors_in_other_case_and_classes_that_are_numbers_are_said(counts, tmp_path):
    obs(donor=np.array(["P1", "p1", "P2"] * 20), cell_type=np.array(["0", "1"] * 30)).to_csv(
        tmp_path / "a.csv"
    )
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    notes = " ".join(ds.meta["source"]["notes"])
    assert "'P1' and 'p1' of column 'donor' differ in case only" in notes
    assert "column 'cell_type' holds numbers only ('0', '1')" in notes


def test_other_columns_are_numbers_only_where_nothing_is_lost(counts, tmp_path):
    columns = {
        "n": np.arange(N_CELLS).astype(str),
        "share": np.array(["0.5", "", "1e-05"] * 20),
        "plate": np.array(["01", "02", "03"] * 20),
        "well": np.array(["1E5", "2E5", "3E5"] * 20),
    }
    obs(**columns).to_csv(tmp_path / "a.csv")
    ds = import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    assert ds.obs["n"].dtype == np.int64
    np.testing.assert_array_equal(ds.obs["share"][:3], [0.5, np.nan, 1e-5])
    assert ds.obs["plate"].tolist() == columns["plate"].tolist()
    assert ds.obs["well"].tolist() == columns["well"].tolist()


def test_cells_that_the_table_lacks_are_counted(counts, tmp_path):
    obs().iloc[:50].to_csv(tmp_path / "a.csv")
    options = {"cell_type": "cell_type", "unlabelled": ["nan"], "cells": tmp_path / "a.csv"}
    with pytest.raises(InputError, match=r"10 of 60 cells of counts\.csv have no donor"):
        import_dataset(counts, "a", "donor", **FILTERS, **options)
    notes: list[str] = []
    cells = pd.DataFrame({"cell": small_obs().index})
    joined = add_cells(cells, tmp_path / "a.csv", "counts.csv", notes)
    assert joined["donor"].isna().sum() == 10
    assert notes == ["a.csv names 50 of the 60 cells of counts.csv"]


def test_the_table_comes_before_columns_of_the_file(tmp_path):
    obs().to_csv(tmp_path / "a.csv")
    cells = pd.DataFrame({"cell": small_obs().index, "donor": "old", "day": obs()["day"].to_numpy()})
    notes: list[str] = []
    joined = add_cells(cells, tmp_path / "a.csv", "counts.csv", notes)
    assert joined["donor"].tolist() == obs()["donor"].tolist()
    assert set(joined["donor_in_file"]) == {"old"}
    assert "day_in_file" not in joined
    assert notes == ["column 'donor' is taken from a.csv; the file's own is kept as donor_in_file"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "holds no table of cells"),
        ("a.csv", b"cell,donor\n", "holds no table of cells"),
        ("a.csv", b"cell\nc1\nc2\n", r"one column only \('cell'\)"),
        ("a.csv", b"cell,donor,type\nc1,P1,T\nc2,P1\n", "line 3 has 2 fields and the lines before it 3"),
        ("a.csv", b"cell,donor,type\nc1,P1,T,x,y\n", "3 fields in its header and 5 in its lines"),
        ("a.csv", b"cell,donor,donor\nc1,P1,T\n", "several columns called 'donor'"),
        ("a.xlsx", b"PK\x03\x04", "a.xlsx is a spreadsheet: save it as CSV"),
        ("a.csv", b"PK\x03\x04", "a.csv is a spreadsheet"),
        ("a.parquet", b"PAR1 not really", "no whole parquet file"),
        ("a.csv", b"\0\1\2" * 99, "is no text file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_names_that_match_nothing_or_repeat(counts, tmp_path):
    obs().rename(lambda name: f"other{name}").to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"no cell name of a\.csv \(such as 'othercell_00.*its columns are"):
        import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")
    pd.concat([obs(), obs().iloc[:1]]).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"cell names repeat in column '' of a\.csv \(such as 'cell_00"):
        import_dataset(counts, "a", **ROLES, **FILTERS, cells=tmp_path / "a.csv")

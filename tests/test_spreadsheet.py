"""CSV that no spreadsheet runs and that reads back equal."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.cell_table import read_table
from sgm_core.cells.gene_lists import read_genes
from sgm_core.cells.read import open_source
from sgm_core.spreadsheet import csv_text, protect, restore, restored

RISKY = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "''-x",
    "-GMP",
]


@pytest.mark.parametrize("text", RISKY)
def test_text_that_a_spreadsheet_would_run_starts_with_an_apostrophe_and_comes_back(text):
    assert protect(text).startswith("'")
    assert protect(text) != text
    assert restore(protect(text)) == text


@pytest.mark.parametrize(
    "value", ["CD34", "'plain", "5'-end", "", "-1", "+2.5", "-1e-5", "+.5", -1.5, 3, None, True, "a=b"]
)
def test_everything_else_stays_as_it_is(value):
    assert protect(value) == value
    assert restore(value) == value


def test_a_table_reads_back_equal_and_its_numbers_are_numbers():
    frame = pd.DataFrame(
        {
            "cell_type": RISKY,
            "donor": pd.Categorical(["=A", "B"] * 5 + ["B"]),
            "=gain": np.linspace(-1, 1, len(RISKY)),
            "mixed": [-1, "=x", None, 2.5, *["a"] * 7],
        }
    )
    text = csv_text(frame)
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert not any(cell.startswith(("=", "@", "\t", "\r", "\n")) for cell in cells)
    back = restored(pd.read_csv(io.StringIO(text, newline="")))
    assert list(back.columns) == list(frame.columns)
    assert back["cell_type"].tolist() == RISKY
    assert back["donor"].tolist() == frame["donor"].tolist()
    assert np.allclose(back["=gain"], frame["=gain"])
    assert back["=gain"].dtype == float
    assert frame["cell_type"].tolist() == RISKY, "the table that was given is not changed"


def test_our_reader_of_cells_takes_off_what_the_download_put_on(tmp_path):
    frame = pd.DataFrame(
        {"cell": ["-a", "=b", "c"], "type": ["+CD34", "@x", "'=y"], "score": [-1.5, 2.0, 0.0]}
    )
    (tmp_path / "selected-cells.csv").write_text(csv_text(frame), newline="")
    back, _ = read_table(tmp_path / "selected-cells.csv")
    assert back["cell"].tolist() == frame["cell"].tolist()
    assert back["type"].tolist() == frame["type"].tolist()
    assert back["score"].astype(float).tolist() == frame["score"].tolist()


@pytest.mark.parametrize("of_genes", [False, True])
def test_names_of_a_table_of_counts_are_those_before_the_download(tmp_path, of_genes):
    cells, genes = ["-a", "=b", "c", "+d"], ["CD34", "GATA1", "-X1" if of_genes else "SPI1", "MPO", "KIT"]
    counts = pd.DataFrame(np.arange(20).reshape(4, 5), cells, genes)
    table = (counts.T if of_genes else counts).rename_axis("gene" if of_genes else "cell").reset_index()
    if not of_genes:
        table["state"] = ["=s", "@s", "-s", "t"]
    (tmp_path / "counts.csv").write_text(csv_text(table), newline="")
    source = open_source(tmp_path / "counts.csv", tmp_path)
    assert source.obs["cell"].tolist() == cells
    assert source.var["gene"].tolist() == genes
    assert of_genes or source.obs["state"].tolist() == table["state"].tolist()


def test_genes_of_a_downloaded_table_are_those_before_the_download(tmp_path):
    genes = ["CD34", "-X1", "GATA1", "+Y2", "MPO", "KIT"]
    frame = pd.DataFrame({"gene": genes, "note": ["=1+1", "b", "c", "d", "e", "f"], "lift": np.ones(6)})
    (tmp_path / "genes.csv").write_text(csv_text(frame), newline="")
    assert list(read_genes(tmp_path / "genes.csv").genes) == genes

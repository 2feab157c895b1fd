"""A dataset of coordinates and labels: every page says what it lacks, and offers what there is."""

import numpy as np
import pandas as pd
import pytest
from page_text import text_of

from sgm_core import home
from sgm_core.home import write_json, write_table


@pytest.fixture
def atlas():
    """Write 60 cells with types and timepoints, no counts and no donors."""
    path = home.folder("datasets") / "points"
    cells = 60
    obs = pd.DataFrame({"cell": [f"c{i}" for i in range(cells)], "cell_type": ["HSC", "GMP", "T"] * 20})
    obs["timepoint"] = ["Dia", "Hea", "Rel", "MRD", "Dia"] * 12
    meta = {
        "schema_version": 1, "n_cells": cells, "n_genes": 0, "n_donors": 0, "unlabelled": [],
        "content_hash": "points", "simulated": False, "created": "2026-01-01T00:00:00Z",
        "roles": {"donor": None, "cell_type": "cell_type", "timepoint": "timepoint"},
        "source": {"path": "points.parquet", "format": "table"}, "filters": {}, "gene_report": {},
    }  # fmt: skip
    (path / "embeddings").mkdir(parents=True)
    write_json(path / "dataset.json", meta)
    write_table(path / "obs.parquet", obs)
    write_table(path / "var.parquet", pd.DataFrame({"gene": pd.Series([], dtype=str), "n_cells": []}))
    xy = pd.DataFrame({"cell": np.arange(cells), "x": np.arange(cells) * 0.1, "y": np.zeros(cells)})
    write_table(path / "embeddings" / "umap.parquet", xy)
    return path


def test_datasets_shows_types_by_timepoint(open_page, atlas):
    page = open_page("datasets")
    assert not page.exception and not page.error
    text = text_of(page)
    assert "60 cells, 3 types, 4 timepoints: coordinates and labels only, no counts." in text
    assert page.segmented_control(key="view").options == ["Types", "Import"]
    assert "4 timepoints x 3 types" in text.replace("*", "")


@pytest.mark.parametrize("name", ["new_run", "compare", "masked_genes"])
def test_pages_that_need_counts_say_so_and_offer_the_map(open_page, atlas, name):
    page = open_page(name)
    assert not page.exception and not page.error
    assert "points holds coordinates and labels only" in text_of(page)
    assert [button.label for button in page.button] == ["Look at its cells"]


def test_home_and_enrichment_offer_the_map(open_page, atlas):
    assert "See the map of points" in text_of(open_page("home"))
    page = open_page("enrichment")
    assert not page.exception and not page.error
    assert "points holds coordinates and labels only" in text_of(page)
    assert page.radio(key="universe").options == ["The library's own genes", "A list that I paste"]


def test_timepoints_are_in_the_order_of_the_disease():
    from sgm_core.figures.quality import type_table

    when = pd.Series(["Rel", "Hea", "MRD", "Dia", "TRT", "Hea"])
    table = type_table(pd.Series(["T", "T", "B", "T", "B", "T"]), when)
    assert list(table.index) == ["Hea", "Dia", "TRT", "MRD", "Rel"] and list(table.columns) == ["T", "B"]
    assert table.loc["Hea", "T"] == 2 and table.loc["Rel", "B"] == 0

import numpy as np
import pandas as pd
import pytest

from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs.maps import create_map_run
from sgm_core.runs.store import list_runs
from sgm_core.runs.worker import run_in_foreground


def test_a_run_maps_some_cells(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sgm_core.analysis.umap_process.UmapProcess.umap", lambda self, vectors, tell: vectors[:, :2]
    )
    run = create_map_run(demo_dataset, np.array([9, 3, 5, 60, 4, 9]), "mine", seed=1)
    assert run.title == "Map of small, the cells of mine"
    assert run_in_foreground(run, Observer()).state == "done"
    table = pd.read_parquet(demo_dataset.path / "embeddings" / "mine.parquet")
    assert table["cell"].tolist() == [3, 4, 5, 9, 60]


def test_no_run_is_made_of_cells_that_cannot_be_mapped(demo_dataset) -> None:
    with pytest.raises(InputError, match="4 cells are too few"):
        create_map_run(demo_dataset, np.arange(4), "mine")
    with pytest.raises(InputError, match="map name"):
        create_map_run(demo_dataset, np.arange(40), "a/b")
    assert not list_runs()

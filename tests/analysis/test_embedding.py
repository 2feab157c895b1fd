from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from sgm_core.analysis.embedding import apply_pca, embed_pooled, fit_pca, most_detected, pca, umap, umap_run
from sgm_core.analysis.expression import expression_pca
from sgm_core.analysis.pooled_maps import standardised_pca
from sgm_core.errors import Cancelled, InputError, NotFoundError
from sgm_core.progress import Observer


@pytest.fixture(scope="module")
def x() -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 60))
    return sparse.csr_matrix(np.maximum(factors + rng.normal(0, 0.3, (5000, 60)) - 1, 0), dtype=np.float32)


def test_pca_equals_sklearn_over_several_chunks(x: sparse.csr_matrix) -> None:
    expected = PCA(10, svd_solver="full").fit_transform(x.toarray())
    scores = pca(x, 10)
    signs = np.sign((scores * expected).sum(axis=0))
    np.testing.assert_allclose(scores, expected * signs, atol=2e-3)


def test_new_cells_are_projected_on_the_training_fit(x: sparse.csr_matrix) -> None:
    model = PCA(5, svd_solver="full").fit(x[:4000].toarray())
    expected = model.transform(x[4000:].toarray())
    scores = apply_pca(x[4000:], *fit_pca(x[:4000], 5))
    signs = np.sign((scores * expected).sum(axis=0))
    np.testing.assert_allclose(scores, expected * signs, atol=2e-3)


def test_few_cells_give_fewer_components(x: sparse.csr_matrix) -> None:
    assert pca(x[:6], 50).shape == (6, 5)


def test_most_detected_genes() -> None:
    x = sparse.csr_matrix(np.array([[1, 0, 2, 0], [3, 0, 0, 0], [1, 0, 5, 4]]))
    assert most_detected(x, 2).tolist() == [0, 2]
    assert most_detected(x, 10).tolist() == [0, 2, 3]


def test_umap_is_seeded_and_keeps_groups_apart() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 60)
    vectors = rng.normal(size=(180, 8)).astype(np.float32) + 6 * np.eye(8, dtype=np.float32)[groups]
    xy = umap(vectors, seed=1)
    assert xy.shape == (180, 2)
    assert silhouette_score(xy, groups) > 0.5
    np.testing.assert_array_equal(xy, umap(vectors, seed=1))
    with pytest.raises(InputError, match="too few for a map"):
        umap(vectors[:4])


class Heard(Observer):
    """Keeps what it is told, and may cancel when a step begins."""

    def __init__(self, cancel_at: str = "never") -> None:
        self.shares: list[float] = []
        self.steps: list[str] = []
        self.cancel_at = cancel_at

    def progress(self, done: float, total: float, what: str = "") -> None:
        self.shares.append(done / total)
        self.steps.append(what)

    def check(self) -> None:
        if any(step.startswith(self.cancel_at) for step in self.steps):
            raise Cancelled("cancelled")


@pytest.fixture
def first_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first two components for the map: compiling a UMAP takes ten seconds a process."""
    monkeypatch.setattr(
        "sgm_core.analysis.umap_process.UmapProcess.umap", lambda self, vectors, tell: vectors[:, :2]
    )


def test_a_dataset_is_mapped_into_its_own_folder(
    demo_dataset, first_components: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sgm_core.analysis.expression.BLOCK", 100)
    heard = Heard()
    umap_run({"data": demo_dataset.name}, tmp_path, heard)
    table = pd.read_parquet(demo_dataset.path / "embeddings" / "pca_umap.parquet")
    assert table.columns.tolist() == ["cell", "x", "y"]
    assert table["cell"].tolist() == list(range(demo_dataset.n_cells))
    assert table.dtypes[["x", "y"]].tolist() == [np.float32, np.float32]
    x = demo_dataset.lognorm()
    expected = pca(x[:, most_detected(x)])[:, :2]
    np.testing.assert_allclose(table[["x", "y"]], expected, atol=1e-3)
    assert heard.shares == sorted(heard.shares) and heard.shares[-1] == 1 and len(set(heard.shares)) > 8


def test_some_cells_are_mapped_by_themselves(demo_dataset, tmp_path: Path) -> None:
    rows = np.arange(demo_dataset.n_cells - 1, 400, -2)
    np.save(tmp_path / "cells.npy", rows)
    heard = Heard()
    parameters = {"data": demo_dataset.name, "cells": "cells.npy", "name": "stem", "seed": 3}
    umap_run(parameters, tmp_path, heard)
    table = pd.read_parquet(demo_dataset.path / "embeddings" / "stem.parquet")
    assert table["cell"].tolist() == sorted(rows.tolist()) and np.isfinite(table[["x", "y"]]).all(None)
    assert table.dtypes[["x", "y"]].tolist() == [np.float32, np.float32]
    layout = [share for share, step in zip(heard.shares, heard.steps, strict=True) if "epoch" in step]
    assert len(layout) > 1 and layout == sorted(layout)
    with pytest.raises(InputError, match="has a map 'stem': choose another name"):
        umap_run(parameters, tmp_path, Observer())


def test_genes_of_some_cells_are_those_that_they_have(demo_dataset) -> None:
    rows = np.arange(0, 300, 3)
    x = demo_dataset.lognorm(rows)
    scores = expression_pca(demo_dataset, rows, lambda share, what: None)
    np.testing.assert_allclose(scores, pca(x[:, most_detected(x)]), atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "name", "reason"),
    [
        (np.arange(4), "few", "4 cells are too few for a map: it needs 5"),
        (np.array([0, 1, 2, 3, 4, 4, 600_000]), "few", "there is no cell 600,000 in dataset 'small'"),
        (np.arange(-1, 8), "few", "there is no cell -1 in dataset"),
        (np.arange(8.0), "few", "a list of row numbers, not as float64"),
        (np.arange(8), "../few", "'../few' is no map name|map name '../few'"),
        (np.arange(8), "", "map name"),
        (np.arange(8), "pca_umap", "has a map 'pca_umap': choose another name"),
    ],
)
def test_cells_that_cannot_be_mapped(
    demo_dataset, tmp_path: Path, rows: np.ndarray, name: str, reason: str
) -> None:
    np.save(tmp_path / "cells.npy", rows)
    before = sorted((demo_dataset.path / "embeddings").glob("*"))
    parameters = {"data": demo_dataset.name, "cells": "cells.npy", "name": name}
    with pytest.raises(InputError, match=reason):
        umap_run(parameters, tmp_path, Observer())
    assert sorted((demo_dataset.path / "embeddings").glob("*")) == before


def test_a_run_without_its_file_of_cells(demo_dataset, tmp_path: Path) -> None:
    parameters = {"data": demo_dataset.name, "cells": "cells.npy", "name": "few"}
    with pytest.raises(NotFoundError, match=r"has no file cells\.npy of the cells to map"):
        umap_run(parameters, tmp_path / "umap-1", Observer())


def test_a_map_stops_while_blocks_are_read(
    demo_dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sgm_core.analysis.expression.BLOCK", 100)
    heard = Heard(cancel_at="principal components: 300")
    with pytest.raises(Cancelled):
        umap_run({"data": demo_dataset.name}, tmp_path, heard)
    assert not (demo_dataset.path / "embeddings" / "pca_umap.parquet").exists()


def test_standardised_vectors_equal_sklearn_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sgm_core.analysis.pooled_maps.BLOCK", 64)
    monkeypatch.setattr("sgm_core.analysis.pooled_maps._REOPEN", 2)
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) * 10.0 ** np.arange(6) + 50).astype("f4")
    np.save(tmp_path / "v.npy", vectors)
    expected = PCA(3, svd_solver="full").fit_transform((vectors - vectors.mean(0)) / vectors.std(0))
    shares: list[float] = []
    scores = standardised_pca(tmp_path / "v.npy", lambda share, what: shares.append(share), 3)
    assert shares == sorted(shares) and len(shares) == 15 and shares[-1] > 0.9
    signs = np.sign((scores * expected).sum(axis=0))
    np.testing.assert_allclose(scores, expected * signs, atol=1e-3)


def test_a_run_s_pooled_vectors_are_mapped_beside_what_is_there(tmp_path: Path) -> None:
    run = tmp_path / "compare-demo-0"
    (run / "pooled").mkdir(parents=True)
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    np.save(run / "pooled" / "self-guided.fold0.npy", vectors)
    np.save(run / "pooled" / "uniform+summary.fold0.npy", vectors)
    kept = pd.DataFrame({"source": ["pca", "self-guided/fold 0"], "cell": 0, "x": 0.5, "y": 0.5})
    kept.to_parquet(run / "embedding.parquet")
    heard = Heard()
    umap_run({"run": run.name, "seed": 0}, tmp_path / "umap-1", heard)
    assert heard.shares == sorted(heard.shares) and heard.shares[-1] == 1
    assert any(step.startswith("UMAP of uniform+summary/fold 0: layout: epoch") for step in heard.steps)
    table = pd.read_parquet(run / "embedding.parquet")
    assert table.groupby("source").size().to_dict() == {
        "pca": 1, "self-guided/fold 0": 40, "uniform+summary/fold 0": 40,
    }  # fmt: skip


def test_a_run_without_pooled_vectors_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run 'r1' holds no pooled vectors"):
        embed_pooled(tmp_path / "r1")

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from sgm_core.analysis.embedding import apply_pca, embed_pooled, fit_pca, most_detected, pca, umap, umap_run
from sgm_core.errors import InputError, NotFoundError
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


def test_a_dataset_is_mapped_into_its_own_folder(demo_dataset, tmp_path: Path) -> None:
    umap_run({"data": demo_dataset.name}, tmp_path, Observer())
    table = pd.read_parquet(demo_dataset.path / "embeddings" / "pca_umap.parquet")
    assert table.columns.tolist() == ["cell", "x", "y"]
    assert table["cell"].tolist() == list(range(demo_dataset.n_cells))
    assert np.isfinite(table[["x", "y"]]).all().all()


def test_a_run_s_pooled_vectors_are_mapped_beside_what_is_there(tmp_path: Path) -> None:
    run = tmp_path / "compare-demo-0"
    (run / "pooled").mkdir(parents=True)
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    np.save(run / "pooled" / "self-guided.fold0.npy", vectors)
    np.save(run / "pooled" / "uniform+summary.fold0.npy", vectors)
    kept = pd.DataFrame({"source": ["pca", "self-guided/fold 0"], "cell": 0, "x": 0.5, "y": 0.5})
    kept.to_parquet(run / "embedding.parquet")
    umap_run({"run": run.name}, tmp_path / "umap-1", Observer())
    table = pd.read_parquet(run / "embedding.parquet")
    assert table.groupby("source").size().to_dict() == {
        "pca": 1, "self-guided/fold 0": 40, "uniform+summary/fold 0": 40,
    }  # fmt: skip


def test_a_run_without_pooled_vectors_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run 'r1' holds no pooled vectors"):
        embed_pooled(tmp_path / "r1")

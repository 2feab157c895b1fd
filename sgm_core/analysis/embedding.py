"""Low-dimensional views of cells: PCA of expression, UMAP of PCA or of a run's pooled vectors."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer

DATASET_EMBEDDING = "pca_umap"
_CHUNK = 4096
_NEIGHBOURS, _EPOCHS = 15, 200
_EXACT_UP_TO = 50_000  # cells whose neighbours are found by comparing all pairs


def most_detected(x: sparse.csr_matrix, n: int = 2000) -> np.ndarray:
    """Return the column numbers of the `n` genes that most cells have, in ascending order.

    Parameters
    ----------
    x
        Values, cells x genes; stored values count as detected.
    """
    detected = np.bincount(x.indices, minlength=x.shape[1])
    order = np.argsort(-detected, kind="stable")[:n]
    return np.sort(order[detected[order] > 0])


def fit_pca(x: sparse.csr_matrix, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Fit an exact PCA through the covariance, with memory that doesn't grow with the cells.

    Parameters
    ----------
    x
        Values, cells x genes (not centred, not scaled).
    n
        Number of components; fewer when there are fewer cells or genes.

    Returns
    -------
    tuple
        Means (genes,) and components (n x genes), largest variance first; each component's largest loading is
        positive, so that the same data gives the same signs.
    """
    n_cells, n_genes = x.shape
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    scatter = np.zeros((n_genes, n_genes))
    for start in range(0, n_cells, _CHUNK):
        block = x[start : start + _CHUNK].toarray().astype(np.float32) - mean.astype(np.float32)
        scatter += block.T @ block
    n = min(n, n_genes, max(n_cells - 1, 1))
    _, vectors = linalg.eigh(scatter, subset_by_index=[n_genes - n, n_genes - 1])
    components = vectors.T[::-1]
    signs = np.sign(components[np.arange(n), np.abs(components).argmax(axis=1)])
    return mean, components * signs[:, None]


def apply_pca(x: sparse.csr_matrix, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Project cells on fitted components; float32, cells x components."""
    return np.asarray(x @ components.T - components @ mean, dtype=np.float32)


def pca(x: sparse.csr_matrix, n: int = 50) -> np.ndarray:
    """Return the first `n` principal components' scores of `x` (cells x genes), float32, cells x n."""
    return apply_pca(x, *fit_pca(x, n))


def umap(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a seeded UMAP of `vectors` (cells x width): float32, cells x 2.

    McInnes, Healy and Melville 2018, arXiv:1802.03426. Seeding makes it single-threaded and repeatable.

    Raises
    ------
    InputError
        If there are fewer than 5 cells.
    """
    from sklearn.neighbors import NearestNeighbors
    from umap import UMAP

    if len(vectors) < 5:
        raise InputError(f"{len(vectors)} cells are too few for a map: it needs 5")
    k = min(_NEIGHBOURS, len(vectors) - 1)
    known: dict[str, Any] = {}
    if len(vectors) <= _EXACT_UP_TO:
        # umap's own search takes most of a minute on 5,000 cells: it calls Python for every pair.
        distances, neighbours = NearestNeighbors(algorithm="brute").fit(vectors).kneighbors(n_neighbors=k - 1)
        itself = np.arange(len(vectors))[:, None]
        distances = np.hstack([np.zeros((len(vectors), 1)), distances]).astype(np.float32)
        known = {"precomputed_knn": (np.hstack([itself, neighbours]), distances)}
    mapper = UMAP(
        n_neighbors=k, min_dist=0.3, n_epochs=_EPOCHS, random_state=seed, n_jobs=1,
        force_approximation_algorithm=True, **known,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="precomputed_knn.*transform")
        return mapper.fit_transform(vectors)


def dataset_umap(dataset: Dataset, seed: int = 0) -> pd.DataFrame:
    """Return the UMAP of PCA(50) of the 2,000 most detected genes: columns cell (row number), x, y."""
    x = dataset.lognorm()
    return _table(umap(pca(x[:, most_detected(x)]), seed))


def umap_run(parameters: dict[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``umap``.

    Parameters
    ----------
    parameters
        ``{"data": NAME}`` stores the dataset's own map as ``DATASET/embeddings/pca_umap.parquet``; ``{"run":
        ID}`` maps each ``pooled/<arm>.fold<k>.npy`` of that run and appends them to its table ``embedding``.
        ``seed`` is optional.
    folder
        The folder of this umap run; the run that is mapped lies beside it.
    """
    seed = int(parameters.get("seed") or 0)
    if parameters.get("data"):
        dataset = open_dataset(parameters["data"])
        observer.message(f"UMAP of PCA(50) of {dataset.n_cells:,} cells")
        observer.progress(0, 1, "UMAP")
        home.write_table(
            dataset.path / "embeddings" / f"{DATASET_EMBEDDING}.parquet", dataset_umap(dataset, seed)
        )
        observer.progress(1, 1, "UMAP")
    else:
        name = home.check_name(str(parameters.get("run")), "run ID")
        embed_pooled(folder.parent / name, seed, observer)


def pooled_files(run_folder: Path) -> list[Path]:
    """Return the run's stored sets of pooled vectors, ``pooled/<arm>.fold<k>.npy``.

    Raises
    ------
    NotFoundError
        If it stored none.
    """
    files = sorted((run_folder / "pooled").glob("*.npy"))
    if not files:
        raise NotFoundError(
            f"run {run_folder.name!r} holds no pooled vectors: a finished pretraining or comparison stores "
            "them; a dataset's own map comes from 'sgm umap NAME'"
        )
    return files


def embed_pooled(run_folder: Path, seed: int = 0, observer: Observer | None = None) -> list[str]:
    """Map every stored set of pooled vectors of a run and append the maps to its table ``embedding``.

    Returns
    -------
    list
        The sources written, such as ``self-guided/fold 0``; one that is there already is replaced.

    Raises
    ------
    NotFoundError
        If the run stored no pooled vectors.
    """
    observer = observer or Observer()
    files = pooled_files(run_folder)
    frames: dict[str, pd.DataFrame] = {}
    for done, file in enumerate(files):
        observer.check()
        arm, _, fold = file.stem.rpartition(".fold")
        source = f"{arm}/fold {fold}" if arm else file.stem
        observer.progress(done, len(files), f"UMAP of {source}")
        vectors = _standardised(np.load(file, allow_pickle=False))
        frames[source] = _table(umap(vectors, seed)).assign(source=source)
    path = run_folder / "embedding.parquet"
    kept = [pd.read_parquet(path).query("source not in @frames")] if path.exists() else []
    table = pd.concat([*kept, *frames.values()], ignore_index=True)
    home.write_table(path, table[["source", "cell", "x", "y"]])
    observer.progress(len(files), len(files), "UMAP")
    return list(frames)


def _standardised(vectors: np.ndarray, n: int = 50) -> np.ndarray:
    """Return the first principal components of standardised vectors.

    The parts of a pooled vector (max, mean, weighted mean) differ in scale; unscaled, the maximum alone would
    shape the map. On the demo it raises the share of a cell's 15 map neighbours that are of its own type from
    0.40 to 0.64.
    """
    from sklearn.decomposition import PCA

    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    components = min(n, *scaled.shape)
    return PCA(components, svd_solver="randomized", random_state=0).fit_transform(scaled).astype(np.float32)


def _table(xy: np.ndarray) -> pd.DataFrame:
    xy = xy.astype(np.float32)
    return pd.DataFrame({"cell": np.arange(len(xy), dtype=np.int64), "x": xy[:, 0], "y": xy[:, 1]})

"""Maps of a run's pooled vectors, as a run's table ``embedding``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.analysis.pca import BLOCK, pca_of_blocks
from sgm_core.errors import NotFoundError

N_COMPONENTS = 50


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


def source_of(file: Path) -> str:
    """Return what a file of pooled vectors is called in the table, such as ``self-guided/fold 0``."""
    arm, _, fold = file.stem.rpartition(".fold")
    return f"{arm}/fold {fold}" if arm else file.stem


def standardised_pca(vectors: np.ndarray, n: int = N_COMPONENTS) -> np.ndarray:
    """Return the first `n` principal components of standardised vectors, float32, cells x n.

    The parts of a pooled vector (max, mean, weighted mean) differ in scale; unscaled, the maximum alone would
    shape the map. On the demo it raises the share of a cell's 15 map neighbours that are of its own type from
    0.40 to 0.64. `vectors` (cells x width) may be memory-mapped: they are read block by block, three times.
    """
    n_cells = len(vectors)

    def raw() -> Iterator[np.ndarray]:
        for start in range(0, n_cells, BLOCK):
            yield np.asarray(vectors[start : start + BLOCK], dtype=np.float64)

    total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
    shift = next(raw()).mean(axis=0)
    for block in raw():
        total += (block - shift).sum(axis=0)
        squares += np.square(block - shift).sum(axis=0)
    off = total / n_cells
    spread = np.sqrt(np.maximum(squares / n_cells - off**2, 0)) + 1e-6

    def scaled() -> Iterator[np.ndarray]:
        for block in raw():
            yield ((block - shift - off) / spread).astype(np.float32)

    return pca_of_blocks(scaled, n_cells, n)


def add_maps(run_folder: Path, maps: dict[str, pd.DataFrame]) -> None:
    """Write maps (cell, x, y) by source into the run's table ``embedding``; one of that source is replaced."""
    path = run_folder / "embedding.parquet"
    kept = [pd.read_parquet(path).query("source not in @maps")] if path.exists() else []
    frames = [frame.assign(source=source) for source, frame in maps.items()]
    table = pd.concat([*kept, *frames], ignore_index=True)
    home.write_table(path, table[["source", "cell", "x", "y"]])

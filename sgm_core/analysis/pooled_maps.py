"""Maps of a run's pooled vectors, as a run's table ``embedding``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.analysis.neighbours import Tell
from sgm_core.analysis.pca import BLOCK, pca_of_blocks
from sgm_core.errors import NotFoundError

N_COMPONENTS = 50
_REOPEN = 16
"""Blocks to read before a file is mapped anew: what was read of it counts as this process's memory."""


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


def standardised_pca(file: Path, tell: Tell, n: int = N_COMPONENTS) -> np.ndarray:
    """Return the first `n` principal components of standardised vectors, float32, cells x n.

    The parts of a pooled vector (max, mean, weighted mean) differ in scale; unscaled, the maximum alone would
    shape the map. On the demo it raises the share of a cell's 15 map neighbours that are of its own type from
    0.40 to 0.64.

    Parameters
    ----------
    file
        ``.npy``, cells x width; read block by block, three times.
    tell
        Is told the share that is done (0 to 1), and the step in words; it may raise to stop.
    n
        Number of components; fewer when there are fewer cells or the vectors are shorter.
    """
    n_cells, width = np.load(file, mmap_mode="r", allow_pickle=False).shape
    passes = iter(range(3))

    def raw() -> Iterator[np.ndarray]:
        before = next(passes) / 3
        for number, start in enumerate(range(0, n_cells, BLOCK)):
            tell(before + start / n_cells / 3, f"principal components of {n_cells:,} vectors")
            if number % _REOPEN == 0:
                vectors = np.load(file, mmap_mode="r", allow_pickle=False)
            yield np.asarray(vectors[start : start + BLOCK], dtype=np.float64)

    shift, total, squares = None, np.zeros(width), np.zeros(width)
    for block in raw():
        shift = block.mean(axis=0) if shift is None else shift
        total += (block - shift).sum(axis=0)
        squares += np.square(block - shift).sum(axis=0)
    off = total / n_cells
    mean = off if shift is None else shift + off
    spread = np.sqrt(np.maximum(squares / n_cells - off**2, 0)) + 1e-6

    def scaled() -> Iterator[np.ndarray]:
        for block in raw():
            yield ((block - mean) / spread).astype(np.float32)

    return pca_of_blocks(scaled, n_cells, n)


def pca_seconds(file: Path) -> float:
    """Return about how long `standardised_pca` takes, which places it on the bar; measured on two cores."""
    n_cells, width = np.load(file, mmap_mode="r", allow_pickle=False).shape
    return float(n_cells * (2.5e-11 * width**2 + 1.5e-8 * width))


def add_maps(run_folder: Path, maps: dict[str, pd.DataFrame]) -> None:
    """Write maps (cell, x, y) by source into the run's table ``embedding``, in place of older ones."""
    path = run_folder / "embedding.parquet"
    kept = [pd.read_parquet(path).query("source not in @maps")] if path.exists() else []
    frames = [frame.assign(source=source) for source, frame in maps.items()]
    table = pd.concat([*kept, *frames], ignore_index=True)
    home.write_table(path, table[["source", "cell", "x", "y"]])

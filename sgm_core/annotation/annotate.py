"""Name the cells of a dataset or file: block by block, so that memory is flat and a run goes on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sgm_core.analysis.umap_map import FEWEST
from sgm_core.analysis.umap_process import umap_process
from sgm_core.annotation.annotated import UNKNOWN, Annotated, origin_of
from sgm_core.annotation.calibration import probabilities
from sgm_core.annotation.query import Query
from sgm_core.annotation.signatures import weights
from sgm_core.annotation.store import Model, open_model
from sgm_core.annotation.unknown import REASONS, Judged
from sgm_core.embedding.cells import pace
from sgm_core.embedding.parts import Parts, open_parts
from sgm_core.embedding.source import CellSource, open_cells
from sgm_core.errors import InputError
from sgm_core.progress import Observer

if TYPE_CHECKING:
    from sgm_core.annotation.member import Member

BLOCK = 2048
_COLUMNS = (
    "best", "confidence", "second", "second_confidence", "agreement", "spread", "distance", "known",
    "reason", "n_genes", "n_counts", "map_x", "map_y",
)  # fmt: skip


def annotate(
    data: str,
    model: str | Model,
    work: str | Path,
    *,
    aliases: dict[str, tuple[str, ...]] | None = None,
    layer: str | None = None,
    own_map: bool = False,
    observer: Observer | None = None,
) -> Annotated:
    """Name the cells of a dataset or file.

    Finished blocks are kept in ``.NAME.parts`` beside `work` until all are done: the same call goes on where
    an earlier one was interrupted.

    Parameters
    ----------
    data : name of a dataset, or a file that ``sgm data import`` can read; it needs no labels and no donors
    model : a model or its name
    work : the path that the blocks are kept beside, such as the output's
    aliases : former gene symbols -> approved ones
    layer : where the counts are in an h5ad or loom file
    own_map : work out a UMAP of the cells in the model's space
    observer : is told the progress

    Raises
    ------
    NotFoundError
        If there is no such data or model.
    InputError
        If it can't be named: another species, normalised values, bulk samples, too few genes.
    """
    observer = observer or Observer()
    model = open_model(model) if isinstance(model, str) else model
    work = Path(work).expanduser().absolute()
    query = Query(model, aliases)
    started = time.monotonic()
    if not model.useful:
        observer.message(f"model {model.name!r} {model.meta['chance']['sentence']}")
    with open_cells(data, work.parent, None, BLOCK, query.to_genes, layer) as source:
        for note in query.notes:
            observer.message(f"note: {note}")
        identity = {
            "model": model.hash, "cells": source.identity, "genes": query.identity, "block": BLOCK,
            "layer": layer, "own_map": own_map,
        }  # fmt: skip
        block_of = _Blocks(query, own_map)
        with open_parts(work, identity, observer) as parts:
            try:
                _run(source, query, block_of, parts, observer)
            except InputError:  # no call goes on from what is refused
                parts.delete()
                raise
            made = parts.read(-(-len(source.obs) // BLOCK))
            obs = source.obs
            width = len(_COLUMNS) + len(model.signatures)
            table, placed = _table(made[:, :width], model), made[:, width:].astype(np.float32)
            del made
            if own_map:
                table = _mapped(table, placed, observer)
            parts.delete()
        name = source.name
    return Annotated(name, obs, table, {
        "model": model.name, "model_hash": model.hash, "data": name, "n_cells": len(obs),
        "coverage": query.coverage, "layer": layer, "notes": list(query.notes),
        "seconds": time.monotonic() - started,
        **origin_of(data),
    })  # fmt: skip


def _run(source: CellSource, query: Query, block_of: "_Blocks", parts: Parts, observer: Observer) -> None:
    done, total, started = parts.count(), len(source.obs), time.monotonic()
    before = min(total, done * BLOCK)
    if before:
        observer.message(f"{before:,} of {total:,} cells are done already: going on")
    for number, block in enumerate(source.blocks(done), start=done):
        observer.check()
        values, n_genes, totals = query.values(block.matrix)
        if number == 0:
            query.check_bulk(totals, total, source.name)
        parts.add(number, block_of.named(values, n_genes, totals), None)
        at = min(total, block.first + len(n_genes))
        observer.progress(at, total, pace(at, total, time.monotonic() - started, before))


class _Blocks:
    """Names blocks of cells, as a matrix of numbers: `_COLUMNS`, then the scores of signatures.

    After them come the cells' places in the model's space, for a map of their own.
    """

    def __init__(self, query: Query, with_place: bool) -> None:
        self.with_place = with_place
        self.model = model = query.model
        self.final, *self.folds = model.members
        self.weights = weights(model.signatures, model.genes["gene"].to_numpy(str))
        self.map = model.table("reference")[["x", "y"]].to_numpy(np.float64)

    def named(self, values: Any, n_genes: np.ndarray, totals: np.ndarray) -> np.ndarray:
        model, rows = self.model, np.arange(len(n_genes))
        read = _Reads(values, totals)
        vectors = read.scaled(self.final)
        logits = self.final.logits(vectors)
        p = probabilities(logits, model.temperature)
        order = np.argsort(-p, axis=1, kind="stable")
        best, second = order[:, 0], order[:, 1]
        placed = self.final.place(vectors)
        distances, near = self.final.nearest(placed)
        distance, confidence = distances.mean(1), p[rows, best]
        others = np.stack([probabilities(m.logits(read.scaled(m)), model.temperature) for m in self.folds])
        known, far = model.rarity.score(Judged(distance, logits.max(1)))
        reason = np.where(known < model.threshold, np.where(far, 1, 2), 0)
        reason = np.where(n_genes < max(1, model.meta["least_genes"]), 3, reason)
        closeness = 1 / (distances + 1e-6)
        place = (closeness[..., None] * self.map[near]).sum(1) / closeness.sum(1)[:, None]
        table = [
            best, confidence, second, p[rows, second], (others.argmax(2) == best).mean(0),
            others[:, rows, best].std(0), distance, known, reason, n_genes, totals, *place.T,
        ]  # fmt: skip
        scores = (values @ self.weights).toarray()
        return np.concatenate([np.stack(table, 1), scores, *([placed] if self.with_place else [])], axis=1)


def _mapped(table: pd.DataFrame, placed: np.ndarray, observer: Observer) -> pd.DataFrame:
    """Add a UMAP of the cells themselves, by their places in the model's space (n, q)."""
    if len(placed) < FEWEST:
        observer.message(f"no map of its own: {len(placed)} cells are too few")
        return table

    def tell(share: float, what: str) -> None:
        observer.check()
        observer.progress(share, 1, f"map of these cells: {what}")

    with umap_process(0, observer) as process:
        place = process.umap(placed, tell)
    return table.assign(umap_x=place[:, 0], umap_y=place[:, 1])


class _Reads:
    """What classifiers read of a block of cells; what several read is worked out once."""

    def __init__(self, values: Any, totals: np.ndarray) -> None:
        self.values, self.totals = values, totals
        self._made: tuple[Any, np.ndarray] | None = None

    def scaled(self, member: "Member") -> np.ndarray:
        """Return the scaled vectors (n, P) of a classifier."""
        if self._made is None or self._made[0] is not member.reader:
            self._made = member.reader, member.reader.read(self.values, self.totals)
        return member.scale.apply(self._made[1].copy())


def _table(made: np.ndarray, model: Model) -> pd.DataFrame:
    classes = np.array(model.classes)
    table = pd.DataFrame(made[:, : len(_COLUMNS)], columns=list(_COLUMNS))
    for column in ("best", "second"):
        table[column] = classes[table[column].to_numpy(int)]
    table["reason"] = np.array(REASONS)[table["reason"].to_numpy(int)]
    for column in ("n_genes", "n_counts"):
        table[column] = table[column].to_numpy(np.int64)
    table.insert(0, "cell_type", np.where(table["reason"] == "", table["best"], UNKNOWN))
    scores = made[:, len(_COLUMNS) :].astype(np.float32)
    return table.join(pd.DataFrame(scores, columns=[f"score:{name}" for name in model.signatures]))


def check_output(out: str | Path) -> Path:
    """Return the path of an output that can be written.

    Raises
    ------
    InputError
        If its ending is another, or it exists.
    """
    path = Path(out).expanduser().absolute()
    if path.suffix not in (".h5ad", ".csv"):
        raise InputError(f"the output {path.name!r} must end in .h5ad or .csv")
    if path.exists():
        raise InputError(f"{path} exists already: choose another name or delete it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

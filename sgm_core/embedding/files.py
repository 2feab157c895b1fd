"""Embed all cells of a dataset or file into an h5ad or npy file, so that an interrupted run goes on."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import sgm_core
from sgm_core.cells.vocabulary import place_genes
from sgm_core.device import pick_device, set_threads
from sgm_core.embedding.cells import embed, pace
from sgm_core.embedding.input import check_expressed
from sgm_core.embedding.parts import Parts, begun_outputs, open_parts
from sgm_core.embedding.plan import MAX_TOKENS, check_plan, default_batch_tokens, seconds
from sgm_core.embedding.source import BLOCK, CellSource, open_cells
from sgm_core.embedding.write import all_outputs, check_outputs, write_cells, write_genes
from sgm_core.errors import Cancelled, InputError
from sgm_core.model.bundle import Bundle, open_bundle
from sgm_core.model.inputs import target_depth as check_target
from sgm_core.model.interface import CellBackbone, embedding_pool
from sgm_core.model.sizes import token_lengths
from sgm_core.model.weights import load_backbone
from sgm_core.progress import Observer
from sgm_core.units import duration

_DECODED = 8  # cells whose gene embeddings are in memory at once


def embed_to_file(
    data: str,
    weights: str,
    out: str | Path,
    *,
    key: str = "cell",
    pool: str | None = None,
    target_depth: str = "t4",
    genes_out: str | Path | None = None,
    precision: str = "fp32",
    device: str = "auto",
    batch_tokens: int | None = None,
    max_tokens: int = MAX_TOKENS,
    max_cells: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Embed the cells of a dataset or file and write them to `out`.

    Finished blocks of 200 cells are kept in ``.OUT.parts`` beside the output and deleted when it is whole:
    the same call goes on where an earlier one was interrupted.

    Parameters
    ----------
    data : name of a dataset, or a file of counts
    weights : name of imported weights
    out : ``.h5ad``: cells with their columns, the vectors in ``obsm["X_scfoundation"]`` (or ``X_scgpt``,
        ``X_scbert``), the settings in ``uns``; ``.npy``: the vectors (n, P), with cells and settings in a
        ``.json`` beside it
    key : weight set; a model that has one weight set has that
    pool, target_depth, precision, device, batch_tokens, max_tokens, seed : see `embed`
    genes_out : ``.npy`` for the mean over the cells of the gene embeddings (G, Dd), float32, by the weight
        set ``gene``, with the genes and the number of cells in a ``.json`` beside it
    max_cells : take so many cells, evenly spread

    Returns
    -------
    dict
        What was written, as in the ``.json``, without the cells.

    Raises
    ------
    NotFoundError
        If there are no such weights or no such data.
    InputError
        If the input can't be used; said before anything is embedded.
    """
    observer = observer or Observer()
    out = Path(out).expanduser().absolute()
    genes_path = None if genes_out is None else Path(genes_out).expanduser().absolute()
    check_outputs(out, genes_path, begun_outputs(out))
    if precision not in ("fp32", "bf16"):
        raise InputError(f"precision is {precision!r}: choose fp32 or bf16")
    check_target(target_depth)
    bundle, place = open_bundle(weights), pick_device(device)
    pool, pool_parts = embedding_pool(bundle.kind, pool)
    key = bundle.key(key)
    if genes_path is not None and bundle.kind != "transformer":
        raise InputError(
            f"{weights!r} is {bundle.released.title}, which has no gene embeddings of a cell here"
        )
    backbone = load_backbone(weights, key)
    decoder = None if genes_path is None else backbone if key == "gene" else load_backbone(weights, "gene")
    out.parent.mkdir(parents=True, exist_ok=True)
    set_threads()
    with open_cells(data, out.parent, max_cells) as source:
        lengths = _survey(source, bundle, observer)
        at_once = batch_tokens or default_batch_tokens(place)
        check_plan(
            backbone.config, lengths, source.call, place, at_once, max_tokens,
            4 * len(lengths) * backbone.config.width_of(pool_parts), 1 if decoder else 0,
        )  # fmt: skip
        estimate = seconds(backbone.config, lengths, decoder is not None)
        observer.message(
            f"{source.name}: {len(lengths):,} cells, {lengths.mean():,.0f} tokens a cell"
            + (f", about {duration(estimate)}" if place.type == "cpu" and estimate >= 60 else "")
        )
        settings = {
            "weights": weights,
            "weights_sha256": bundle.meta["source"]["sha256"],
            "key": key,
            "pool": pool,
            "target_depth": target_depth if bundle.kind == "transformer" else None,
            "seed": seed if bundle.kind == "scgpt" else None,
            "precision": precision,
            "data": source.name,
            "code_version": sgm_core.__version__,
            "licence": bundle.licence,
        }
        identity = {
            **settings,
            "cells": source.identity,
            "block": BLOCK,
            "outputs": [str(path) for path in all_outputs(out, genes_path)],
        }
        options: dict[str, Any] = {
            "device": device, "precision": precision, "target_depth": target_depth, "max_tokens": max_tokens,
            "batch_tokens": batch_tokens, "seed": seed,
        }  # fmt: skip
        with open_parts(out, identity, observer) as parts:
            started = time.monotonic()
            sums = _run(source, parts, backbone, decoder, pool, options, observer)
            vectors = parts.read(math.ceil(len(lengths) / BLOCK))
            described = {**settings, "n_cells": len(vectors), "width": vectors.shape[1]}
            if genes_path is not None and sums is not None:
                write_genes(
                    genes_path, (sums / len(vectors)).astype(np.float32), bundle, settings, len(vectors)
                )
            write_cells(out, vectors, source.obs, settings, bundle.released.title)
            parts.delete()
    took = {"out": out, "seconds": time.monotonic() - started}
    return {**described, **took, **({} if genes_path is None else {"genes_out": genes_path})}


def _survey(source: CellSource, bundle: Bundle, observer: Observer) -> np.ndarray:
    """Return the tokens of each cell, and refuse cells that can't be embedded, before any is."""
    expressed: list[np.ndarray] = []
    for block in source.blocks(0):
        observer.check()
        observer.progress(block.first, len(source.obs), "checking cells")
        assert block.genes is not None
        if not expressed:
            known = place_genes(block.genes, bundle.genes, source.name) >= 0
            observer.message(
                f"{int(known.sum()):,} of its {len(known):,} genes are among the {len(bundle.genes):,} of "
                f"{bundle.name}"
            )
        expressed.append(np.diff(block.matrix[:, known].indptr))
    n_expressed = np.concatenate(expressed)
    check_expressed(n_expressed, source.call)
    limit = bundle.config.get("max_length")
    over = int((n_expressed + 1 > limit).sum()) if limit else 0
    if limit and over:
        observer.message(
            f"{over:,} of {len(n_expressed):,} cells express more genes than {bundle.name} reads of one: "
            f"{limit - 1:,} are drawn in each, by the seed"
        )
    return token_lengths(bundle.config, n_expressed)


class _Within(Observer):
    """Passes the progress of one block on as that of the whole."""

    def __init__(self, outer: Observer, before: int, start: int, total: int, started: float) -> None:
        self._outer, self._before, self._start = outer, before, start
        self._total, self._started = total, started

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Say how many of all cells are done."""
        at = self._start + int(done)
        elapsed = time.monotonic() - self._started
        self._outer.progress(at, self._total, pace(at, self._total, elapsed, self._before))

    def check(self) -> None:
        """Raise when the user asked for the work to stop."""
        self._outer.check()


def _run(
    source: CellSource, parts: Parts, backbone: CellBackbone, decoder: CellBackbone | None, pool: str,
    options: dict[str, Any], observer: Observer,
) -> np.ndarray | None:  # fmt: skip
    """Embed the blocks that are missing; return the sum of the gene embeddings."""
    done = parts.count()
    sums = None
    if decoder is not None:
        empty = np.zeros((decoder.config.n_genes, decoder.config.decoder_width))
        kept = parts.sums(done) if done else None
        done, sums = (0, empty) if kept is None else (done, kept)
    total, started = len(source.obs), time.monotonic()
    before = min(total, done * BLOCK)
    if before:
        observer.message(f"{before:,} of {total:,} cells are done already: going on")
    number = done
    try:
        for number, block in enumerate(source.blocks(done), start=done):
            within = _Within(observer, before, block.first, total, started)
            if decoder is None:
                vectors = embed(block, backbone, pool=pool, observer=within, **options)
            else:
                assert sums is not None
                vectors = embed(block, backbone, pool=pool, **options)
                for end, genes in _decoded(block, decoder, options):
                    sums += genes
                    within.progress(end, BLOCK)
                    observer.check()
            parts.add(number, vectors, sums)
    except (KeyboardInterrupt, Cancelled):
        kept_cells = min(total, parts.count() * BLOCK)
        observer.message(f"stopped: {kept_cells:,} of {total:,} cells are kept; the same command goes on")
        raise
    return sums


def _decoded(block: Any, decoder: CellBackbone, options: dict[str, Any]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield how many cells of a block are decoded, and the sum of the gene embeddings of the last few."""
    for start in range(0, block.matrix.shape[0], _DECODED):
        part = slice(start, start + _DECODED)
        few = replace(block, matrix=block.matrix[part], names=block.names[part], first=block.first + start)
        genes = embed(few, decoder, output="gene", **options)
        yield start + len(genes), genes.sum(0, dtype=np.float64)

"""Readers, one file a family of formats; `open_source` chooses by name and content."""

from pathlib import Path

from sgm_core.cells.read.h5ad import read_h5ad
from sgm_core.cells.read.source import CountSource
from sgm_core.errors import InputError


def open_source(path: Path, scratch: Path, layer: str | None = None) -> CountSource:
    return read_h5ad(path, scratch, layer)

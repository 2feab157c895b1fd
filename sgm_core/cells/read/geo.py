"""Read van Galen's GEO files: pairs of ``*.dem.txt.gz`` (genes x cells) and ``*.anno.txt.gz`` (per cell)."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core.cells.cell_table import read_table
from sgm_core.cells.columns import type_columns
from sgm_core.cells.read.source import CountSource, name_cells
from sgm_core.cells.read.text import number_blocks, read_layout
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError

_FILE = re.compile(r"(GSM\d+_)?(?P<sample>.+)\.(?P<kind>dem|anno)\.txt(\.gz)?")
_TIMEPOINT = re.compile(r"(?P<donor>.+)-(?P<timepoint>D\d+)")
_HEALTHY = re.compile(r"(?P<donor>BM\d+)(-.+)?")


def is_geo(path: Path) -> bool:
    """Say whether `path` is a ``*.dem.txt.gz`` file."""
    match = _FILE.fullmatch(path.name)
    return match is not None and match["kind"] == "dem"


def sample_origin(sample: str) -> tuple[str, str | None]:
    """Return donor and timepoint of a sample: 'AML314-D31' is AML314 at D31; 'BM5-34p' is BM5, healthy.

    Other names (cell lines) are a donor of their own without a timepoint.
    """
    if match := _TIMEPOINT.fullmatch(sample):
        return match["donor"], match["timepoint"]
    if match := _HEALTHY.fullmatch(sample):
        return match["donor"], "healthy"
    return sample, None


def read_geo(path: Path, scratch: Path) -> CountSource:
    """Open one pair (by its dem file) or every pair of a folder as one table of cells.

    Columns sample, donor and timepoint come from the file names, the others from the anno files.
    """
    counts = [path] if path.is_file() else sorted(file for file in path.iterdir() if is_geo(file))
    folder = path.parent if path.is_file() else path
    annotations = {
        match["sample"]: file
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name)) and match["kind"] == "anno"
    }
    layouts = [read_layout(file) for file in counts]
    place: dict[str, int] = {}
    for layout in layouts:
        for gene in layout.left:
            place.setdefault(gene, len(place))
    transposer = Transposer(scratch, sum(len(layout.top) for layout in layouts), len(place))
    tables, before = [], 0
    for file, layout in zip(counts, layouts, strict=True):
        columns = np.array([place[gene] for gene in layout.left])
        for first, values in number_blocks(file, layout, range(1, len(layout.top) + 1)):
            genes, cells = np.nonzero(values)
            transposer.add(cells + before, columns[genes + first], values[genes, cells])
        tables.append(_cells(file, layout.top, annotations))
        before += len(layout.top)
    obs = pd.concat(tables, ignore_index=True)
    return CountSource(
        path,
        f"GEO, {len(counts)} {'pair' if len(counts) == 1 else 'pairs'}",
        "the dem files",
        obs,
        pd.DataFrame({"gene": list(place)}),
        transposer.chunks,
        donor="donor",
        cell_type="CellType" if "CellType" in obs else None,
        timepoint="timepoint",
    )


def _cells(file: Path, names: list[str], annotations: dict[str, Path]) -> pd.DataFrame:
    """Return the cells of one dem file with the annotation of its anno file, joined by name."""
    match = _FILE.fullmatch(file.name)
    if match is None or match["sample"] not in annotations:
        raise InputError(f"{file.name} has no *.anno.txt.gz of the same sample beside it: put it there")
    sample = match["sample"]
    table, _ = read_table(annotations[sample])
    table, _ = type_columns(table.set_index(table.columns[0]), ("CellType", "Cell Type"))
    if table.index.duplicated().any() or not table.index.isin(names).any():
        raise InputError(f"{annotations[sample].name} does not name each cell of {file.name} once")
    donor, timepoint = sample_origin(sample)
    table = table.reindex(names)
    table = table.drop(columns=table.columns.intersection(["sample", "donor", "timepoint"]))
    for i, (column, value) in enumerate((("sample", sample), ("donor", donor), ("timepoint", timepoint))):
        table.insert(i, column, value)
    return name_cells(table, names)

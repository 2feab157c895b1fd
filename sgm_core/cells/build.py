"""Import a file of counts: check, harmonise, filter, and write the dataset in two passes over the file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.by_gene import Step
from sgm_core.cells.cell_table import add_cells
from sgm_core.cells.coordinates import import_coordinates, is_coordinates
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.genes import GeneMap, harmonise, read_aliases, read_gene_list
from sgm_core.cells.labels import check_cells, check_enough, check_roles
from sgm_core.cells.read import CountSource, open_source
from sgm_core.cells.write import plain_table, room, write_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer


@acts("import a dataset", lambda path, name, *_, **__: name)
def import_dataset(
    path: str | Path,
    name: str,
    donor: str | None = None,
    cell_type: str | None = None,
    timepoint: str | None = None,
    unlabelled: Iterable[str] = (),
    genes: str | Path | None = None,
    aliases: str | Path | None = None,
    min_genes: int = 200,
    min_cells: int = 3,
    layer: str | None = None,
    observer: Observer | None = None,
    simulated: bool = False,
    cells: str | Path | None = None,
    note: str = "",
    map_columns: Sequence[str] | None = None,
) -> Dataset:
    """Import a file of raw counts as the dataset `name`.

    Cells with fewer than `min_genes` genes are dropped, then genes found in fewer than `min_cells` of the
    cells that are left, both after symbols have been harmonised. Memory stays flat: the file is read in
    chunks, twice.

    Parameters
    ----------
    path
        h5ad, 10x (.h5 or a folder with matrix.mtx), loom, CSV/TSV, GEO ``*.dem.txt.gz`` or a folder of them;
        or a table of coordinates and labels without counts (parquet, CSV/TSV).
    name
        The dataset's name: letters, digits, ``. _ -``.
    donor, cell_type, timepoint
        Columns of the cells; GEO pairs provide their own.
    unlabelled
        Values of `cell_type` that mean 'no label'; 'nan' for cells without a value.
    genes
        A file with a gene list that the genes are restricted to.
    aliases
        An alias table (HGNC format): a file, or the name of a registered one.
    min_genes, min_cells
        The filters.
    layer
        Where the counts are; found by testing when None.
    observer
        Is told about the progress.
    simulated
        Marks the cells as simulated.
    cells
        A table of cells (CSV, TSV, parquet; by cell name) whose columns are added.
    note
        Kept with the dataset; what the reader assumed or left out is kept in ``source["notes"]``.
    map_columns
        The two columns with the coordinates of a table without counts; found by their names when None.

    Raises
    ------
    InputError
        What is wrong with the file and what to do; nothing is left behind then.
    NotFoundError
        If the file does not exist.
    """
    observer = observer or Observer()
    target = home.folder("datasets") / home.check_name(name, "dataset name")
    if target.exists():
        raise InputError(f"a dataset {name!r} exists already: choose another name or delete {target}")
    path = _file(path)
    if map_columns is not None or is_coordinates(path):
        given = {"--layer": layer, "--genes": genes, "--aliases": aliases, "--cells": cells}
        for option in (option for option, value in given.items() if value is not None):
            raise InputError(f"{path.name} holds coordinates and labels, no counts: leave out {option}")
        with room(target, None):
            return import_coordinates(
                path, name, donor, cell_type, timepoint, unlabelled, map_columns, observer, note
            )
    vocabulary = None if genes is None else read_gene_list(_file(genes))
    table = None if aliases is None else read_aliases(_file(aliases, "aliases"))
    with room(target, None), home.scratch(target) as scratch:
        columns = [column for column in (donor, cell_type, timepoint) if column]
        source = open_source(path, scratch, layer, columns)
        if cells is not None:
            obs = add_cells(source.obs, _file(cells), path.name, source.notes, tuple(columns))
            source = replace(source, obs=obs)
        if "cell_in_file" in source.obs:
            # The reader gave way to the names of the cells; whoever asks for the column means the file's.
            donor, cell_type, timepoint = (
                "cell_in_file" if column == "cell" else column for column in (donor, cell_type, timepoint)
            )
        observer.message(f"{path.name}: {source.format}, counts in {source.where}")
        roles = check_roles(source, donor, cell_type, timepoint)
        obs = plain_table(source.obs, [column for column in roles.values() if column], source.notes)
        obs, declared = check_cells(obs, roles, unlabelled, path.name, source.notes)
        check_enough(obs, roles, declared, path.name)
        gene_map = harmonise(source.var, path.name, vocabulary, table)
        source.notes.extend(gene_map.notes)
        survey = _survey(source, gene_map, min_genes, observer)
        keep_genes = survey.gene_cells >= max(min_cells, 1)
        if not survey.keep.any() or not keep_genes.any():
            raise InputError(
                f"nothing of {path.name} passes the filters: the richest of {len(obs):,} cells has "
                f"{survey.most_genes:,} genes, {min_genes} are asked for (--min-genes), "
                f"and {int(keep_genes.sum()):,} genes are in at least {min_cells} of the cells kept "
                "(--min-cells)"
            )
        kept_obs = obs[survey.keep].reset_index(drop=True)
        check_enough(kept_obs, roles, declared, f"{path.name} (after the filters)")
        colours = _fitting(source.colours, obs, source.notes)
        for said in source.notes:
            observer.message(f"note: {said}")
        final = gene_map.keep(keep_genes)
        report = gene_map.report | {
            "genes_kept": len(final.genes),
            "coverage_counts": survey.counts_mapped / max(survey.counts_in_file, 1),
        }
        dataset = write_dataset(
            name,
            _kept_chunks(source, final, survey.keep, observer),
            kept_obs,
            final.table(),
            roles,
            declared,
            source={
                "path": str(path),
                "format": source.format,
                "counts": source.where,
                "notes": source.notes,
            },
            filters={
                "min_genes": min_genes,
                "min_cells": min_cells,
                "cells_in_file": len(obs),
                "cells_dropped": int((~survey.keep).sum()),
                "genes_dropped": int((~keep_genes).sum()),
            },
            gene_report=report,
            simulated=simulated,
            note=note,
            largest=survey.largest,
            n_stored=int(survey.gene_cells[keep_genes].sum()),
            step=_step(observer, len(obs)),
            maps={name: xy[survey.keep] for name, xy in source.maps.items()},
            colours=colours,
        )
    observer.message(f"dataset {name}: {dataset.n_cells:,} cells x {dataset.n_genes:,} genes")
    return dataset


@dataclass
class _Survey:
    """What the first pass learns."""

    keep: np.ndarray
    gene_cells: np.ndarray
    counts_in_file: int = 0
    counts_mapped: int = 0
    largest: int = 0
    most_genes: int = 0


def _fitting(
    colours: dict[str, dict[str, str]], obs: pd.DataFrame, notes: list[str]
) -> dict[str, dict[str, str]]:
    """Return the colours of columns that still have the file's levels: a table may have replaced them."""
    found = {}
    for column, by_level in colours.items():
        if column in obs and set(obs[column].dropna().unique()) <= set(by_level):
            found[column] = by_level
        else:
            notes.append(f"the file's colours of column {column!r} were left out: its levels are others now")
    return found


def _survey(source: CountSource, gene_map: GeneMap, min_genes: int, observer: Observer) -> _Survey:
    """Read everything once, and learn what the filters keep."""
    n_cells = len(source.obs)
    survey = _Survey(np.zeros(n_cells, bool), np.zeros(len(gene_map.genes), np.int64))
    done = 0
    for chunk in source.chunks():
        observer.check()
        observer.progress(done, 3 * n_cells, "reading counts")
        mapped = gene_map.apply(chunk)
        found = np.diff(mapped.indptr)
        keep = found >= max(min_genes, 1)
        survey.keep[done : done + len(keep)] = keep
        survey.gene_cells += np.bincount(mapped[keep].indices, minlength=len(gene_map.genes))
        survey.counts_in_file += int(chunk.data.sum(dtype=np.float64))
        survey.counts_mapped += int(mapped.data.sum())
        survey.largest = max(survey.largest, int(mapped.data.max(initial=0)))
        survey.most_genes = max(survey.most_genes, int(found.max(initial=0)))
        done += chunk.shape[0]
    return survey


def _kept_chunks(
    source: CountSource, final: GeneMap, keep: np.ndarray, observer: Observer
) -> Iterator[sparse.csr_matrix]:
    """Read everything again and give what is kept."""
    done = 0
    for chunk in source.chunks():
        observer.check()
        observer.progress(len(keep) + done, 3 * len(keep), "writing counts")
        yield final.apply(chunk[keep[done : done + chunk.shape[0]]])
        done += chunk.shape[0]


def _step(observer: Observer, n_cells: int) -> Step:
    """Return what shows the last third of the progress, the copy by gene and what is worked out from it."""

    def step(share: float) -> None:
        observer.check()
        observer.progress((2 + share) * n_cells, 3 * n_cells, "sorting counts by gene")

    return step


def _file(given: str | Path, kind: str | None = None) -> Path:
    """Return the path of a file, or of a registered resource of `kind`."""
    path = Path(given).expanduser()
    if path.exists():
        return path
    if kind:
        from sgm_core.resources.store import resource_path

        return resource_path(kind, str(given))
    raise NotFoundError(f"there is no file {given}")

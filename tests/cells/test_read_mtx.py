"""Matrix Market files and the lists beside them, as several tools write them."""

import gzip
from pathlib import Path

import pytest
from small_files import FILTERS, GENES, N_CELLS, ROLES, small_counts, write_10x_folder, write_cells
from test_bad_input import refused
from test_read import check

from sgm_core.cells.build import import_dataset
from sgm_core.cells.dataset import Dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cells(tmp_path / "cells.csv")
    return write_10x_folder(tmp_path / "filtered", 2)


def lines_of(folder: Path, name: str = "matrix.mtx") -> list[str]:
    return (folder / name).read_text().splitlines()


def write(folder: Path, lines: list[str], name: str = "matrix.mtx", end: str = "\n") -> Path:
    (folder / name).write_bytes((end.join(lines) + end).encode())
    return folder


def imported(folder: Path, name: str = "a") -> Dataset:
    return import_dataset(folder, name, **ROLES, **FILTERS, cells=folder.parent / "cells.csv")


def refuse(folder: Path, message: str) -> None:
    refused(folder, message, cells=folder.parent / "cells.csv")


@pytest.mark.parametrize(
    "header",
    [
        "%%MatrixMarket\tmatrix\tcoordinate\treal\tgeneral",
        "%%MatrixMarket Matrix Coordinate Integer General",
        "%%MATRIXMARKET MATRIX COORDINATE REAL GENERAL",
        "%%MatrixMarket  matrix coordinate double general ",
        "%%MatrixMarket matrix coordinate integer general\n\n% made by hand\n   ",
    ],
)
def test_every_legal_header(folder, header):
    _, _, *rest = lines_of(folder)
    for end in ("\n", "\r\n"):
        ds = imported(write(folder, [*header.split("\n"), *rest, "", ""], end=end), f"a{len(end)}")
        check(ds)


def test_cells_by_genes_and_a_trailing_zero(folder):
    # Alevin writes cells x genes with tabs; Parse ends with an entry of 0 that gives the size.
    rows = [line.split() for line in lines_of(folder)[3:]]
    lines = ["%%MatrixMarket matrix coordinate real general", f"{N_CELLS}\t{len(GENES)}\t{len(rows) + 1}"]
    lines += [f"{cell}\t{gene}\t{value}.000000" for gene, cell, value in rows] + [f"{N_CELLS} {len(GENES)} 0"]
    ds = imported(write(folder, lines))
    check(ds)
    assert ds.meta["source"]["notes"] == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("%%", r"matrix\.mtx is no Matrix Market file: its first line is '%%'"),
        ("%%MatrixMarket matrix coordinate pattern general", "'pattern general', .*where counts are, not"),
        ("%MatrixMarket matrix array integer general", "of the kind 'array', where 'coordinate' is expected"),
        ("%%MatrixMarket matrix coordinate complex general", "'complex general'"),
        ("%%MatrixMarket matrix coordinate integer symmetric", "'integer symmetric'"),
    ],
)  # fmt: skip
def test_headers_of_another_kind(folder, header, message):
    refuse(write(folder, [header, *lines_of(folder)[1:]]), message)


def test_files_that_end_early(folder):
    lines = lines_of(folder)
    refuse(write(folder, lines[:2]), r"matrix\.mtx is cut short after its header")
    refuse(write(folder, lines[:3]), rf"matrix\.mtx is cut short: 0 of {len(lines) - 3:,} entries")
    refuse(write(folder, [*lines, "1 1 1"]), "has more entries than it says")
    refuse(write(folder, [*lines[:2], "40 60"]), "line 3 of matrix.mtx is '40 60', where the numbers of rows")
    (folder / "matrix.mtx").write_text("")
    refuse(folder, r"matrix\.mtx is empty")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("41 1 3", r"names row 41 of 40: nothing was imported"),
        ("1 61 3", r"names column 61 of 60"),
        ("0 1 3", r"names row 0, but Matrix Market counts from 1"),
        ("-1 1 3", r"names row -1 of 40"),
        ("1 1", r"has 2 fields"),
        ("1 1 1 1", r"has 4 fields"),
        ("1 1 many", r"is no row, column and count"),
        ("1 1 nan", r"has no number"),
        ("x 1 1", r"is no row, column and count"),
    ],
)
def test_an_entry_that_is_wrong_is_named_by_its_line(folder, entry, message):
    lines = lines_of(folder)
    lines[103:104] = ["", entry]
    refuse(write(folder, lines), rf"line 105 of matrix\.mtx \('{entry}'\) {message}")


def test_indices_that_count_from_zero(folder):
    # They must not end as counts of the next gene and cell.
    header, entries = lines_of(folder)[:3], [line.split() for line in lines_of(folder)[3:]]
    lines = [*header, *(f"{int(gene) - 1} {int(cell) - 1} {value}" for gene, cell, value in entries)]
    refuse(write(folder, lines), r"counts from 1: the file was written counting from 0")


def test_entries_of_one_place_are_added_up_and_said(folder):
    lines = lines_of(folder)
    gene, cell, _ = lines[50].split()
    lines[2] = f"{len(GENES)} {N_CELLS} {len(lines) - 3 + 1}"
    ds = imported(write(folder, [*lines, f"{gene} {cell} 5"]))
    assert ds.counts().sum() == small_counts().sum() + 5
    assert ds.meta["source"]["notes"] == [
        "1 entries of matrix.mtx repeat a gene and cell: they were added up"
    ]


def features(kind: str) -> list[str]:
    ids = [f"ENSG{i:011d}" for i in range(len(GENES))]
    both = list(zip(ids, GENES, strict=True))
    return {
        "quoted line": [f'"{i}\t{g}\tGene Expression"' for i, g in both],
        "quoted fields": [f'"{i}"\t"{g}"\t"Gene Expression"' for i, g in both],
        "a tab inside": [f"{i}\t{g}\tGene\tExpression" for i, g in both],
        "more columns": [f"{i}\t{g}\t{len(g)}\t+\tprotein_coding" for i, g in both],
        "header": ["ENSEMBL\tSYMBOL\tCHR", *(f"{i}\t{g}\t7" for i, g in both)],
        "symbols first": [f"{g}\t{i}" for i, g in both],
        "byte order mark": ["\ufeff" + "\t".join(both[0]), *map("\t".join, both[1:])],
        "opening quote": [f"{i}\t{chr(34) * (g == 'CD34')}{g}\tGene Expression" for i, g in both],
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        "quoted line", "quoted fields", "a tab inside", "more columns", "header", "symbols first",
        "byte order mark", "opening quote",
    ],
)  # fmt: skip
def test_features_as_people_save_them(folder, kind):
    ds = imported(write(folder, features(kind), "genes.tsv"))
    check(ds)
    assert ds.var["ensembl"].str.startswith("ENSG").all()
    assert any("taken for a header" in note for note in ds.meta["source"]["notes"]) == (kind == "header")


def test_antibodies_in_a_folder_and_names_that_are_not_utf_8(folder):
    lines = [f"id{i}\t{gene}\tGene Expression" for i, gene in enumerate(GENES)]
    lines[-1] = "id39\tCD1\u00b5\tAntibody Capture"
    (folder / "genes.tsv").write_bytes("\n".join(lines).encode("latin-1"))
    ds = imported(folder)
    check(ds, GENES[:-1])
    assert ds.meta["source"]["notes"] == [
        "genes.tsv is not UTF-8 throughout: what is not was read as Windows-1252 (latin-1)",
        "1 features that are no genes were left out (1 Antibody Capture)",
    ]


def test_hidden_files_are_no_data(folder):
    # A Mac leaves ._NAME beside NAME on foreign disks.
    for name in ("matrix.mtx", "genes.tsv", "barcodes.tsv"):
        (folder / name).rename(folder / f"GSM1_{name}")
        (folder / f"._GSM1_{name}").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    check(imported(folder))


def test_lists_that_are_empty_or_cut(folder, tmp_path):
    text = gzip.compress((folder / "genes.tsv").read_bytes())
    (folder / "genes.tsv").unlink()
    (folder / "genes.tsv.gz").write_bytes(text[: len(text) // 2])
    refuse(folder, r"genes\.tsv\.gz is damaged or cut short")
    (folder / "genes.tsv.gz").write_bytes(gzip.compress(b""))
    refuse(folder, r"filtered has no genes")

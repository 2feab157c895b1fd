"""The file of all verdicts, ``$SGM_HOME/reviews.sqlite``: made whole, opened for a moment, only added to."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sgm_core import home
from sgm_core.errors import InputError

FILE = "reviews.sqlite"
WAIT_S = 5.0
_VERSION = 1
# What was said is never changed: not by this program, nor by another that opens the file.
_SCHEMA = f"""
CREATE TABLE steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    ranking TEXT NOT NULL,
    gene TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    verdict TEXT,
    tags TEXT NOT NULL,
    comment TEXT NOT NULL,
    time TEXT NOT NULL,
    statistics_version TEXT NOT NULL,
    undoes TEXT,
    CHECK ((verdict IS NULL) <> (undoes IS NULL))
);
CREATE INDEX steps_by_gene ON steps (run, gene, reviewer);
CREATE INDEX steps_undone ON steps (undoes);
CREATE TRIGGER steps_stay BEFORE UPDATE ON steps BEGIN SELECT RAISE(ABORT, 'the history only grows'); END;
CREATE TRIGGER steps_remain BEFORE DELETE ON steps BEGIN SELECT RAISE(ABORT, 'the history only grows'); END;
PRAGMA user_version = {_VERSION};
"""


def database_path() -> Path:
    """Return where the verdicts are, or would be."""
    return home.home() / FILE


@contextmanager
def reading() -> Iterator[sqlite3.Connection | None]:
    """Give the database to read from; None while there is none. A read-only folder is enough.

    Raises
    ------
    InputError
        If it is damaged, of a newer program, or can't be read.
    """
    path = database_path()
    with _in_one_line(path, "read"):
        if not path.is_file():
            yield None
            return
        with closing(_connect(path, "ro")) as connection:
            _check(connection, path)
            yield connection


@contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    """Give the database within a transaction that nobody else writes in; all of it is kept, or nothing.

    Raises
    ------
    InputError
        If it is locked for longer than `WAIT_S`, the disk is full, nothing can be written there, or as in
        `reading`.
    """
    path = database_path()
    with _in_one_line(path, "written to"):
        if not path.exists():
            _make(path)
        with closing(_connect(path, "rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _check(connection, path)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _make(path: Path) -> None:
    """Make the database beside its place and link it there: it is whole or absent, and never replaced."""
    with home.scratch(path) as folder:
        new = folder / FILE
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        home.sync(new)
        try:
            os.link(new, path)
        except FileExistsError:  # another process was quicker
            return
        home.sync(path.parent)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Without the right to write beside it, a database in WAL mode opens only when told that nobody writes.
    still = mode == "ro" and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    uri = f"{path.as_uri()}?mode={mode}{'&immutable=1' if still else ''}"
    return sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise InputError(f"{path} is of a newer program (format {version}): update this one")
    if version < _VERSION:
        raise InputError(f"{path} is no file of verdicts: move it away, then a new one is made")


@contextmanager
def _in_one_line(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        raise InputError(_reason(path, what, name, str(error))) from error
    except OSError as error:
        raise InputError(
            f"the verdicts in {path} can't be {what} ({error.strerror or error}): nothing was changed"
        ) from error


def _reason(path: Path, what: str, name: str, text: str) -> str:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} has been locked by another program for {WAIT_S:g} s: nothing was changed, try again"
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return f"{path} can't be {what}, the disk is full or fails ({text}): nothing was changed"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return (
            f"{path} can't be {what}, this user has no right to it ({text}): nothing was changed; verdicts "
            "need a home folder (SGM_HOME) that can be written to"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"{path} is damaged ({text}): move it away and import your last export"
    return f"{path} can't be {what} ({text}): nothing was changed"

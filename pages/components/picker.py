"""Choose a file or folder on the server, or upload one; see its columns before it is imported."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import uploads
from sgm_core import home
from sgm_core.cells.coordinates import is_coordinates, read_coordinates
from sgm_core.cells.read import open_source
from sgm_core.errors import InputError, NotFoundError
from sgm_core.escape import escape
from sgm_core.resources.store import resource_path
from sgm_core.roots import allowed_path, allowed_roots

_SUFFIXES = (".h5ad", ".h5", ".hdf5", ".loom", ".csv", ".tsv", ".txt", ".tab", ".mtx", ".gz", ".parquet")
_PEEK_BYTES = 300_000_000
_UP, _HERE = "⬑ one folder up", "✓ this folder itself"
_ROOT = "→ "
_FOLDER, _PATH = "import-folder", "import-path"


@dataclass(frozen=True)
class Peek:
    """What a file says about its cells without being imported."""

    format: str
    n_cells: int
    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    roles: dict[str, str | None]
    has_counts: bool = True


def server_path() -> Path | None:
    """Let the person walk through the server's folders, or paste a path; return what they chose.

    Folders are listed only where the dashboard is bound to this machine, and only those that it may open.

    Raises
    ------
    InputError
        If the path is outside the folders that the dashboard may open.
    NotFoundError
        If there is nothing.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if only_local():
            here = _folder()
            others = [f"{_ROOT}{root}" for root in allowed_roots(True) if root != here]
            st.selectbox(
                f"In {escape(here)}",
                [_UP, _HERE, *_entries(here), *others],
                index=None,
                placeholder="Open a folder or choose a file",
                key=f"import-entry-{here}",
                on_change=_walk,
                args=(here,),
                width=420,
            )
        text = st.text_input("File or folder on this machine", key=_PATH, placeholder="/data/aml.h5ad")
    if not text:
        return None
    return allowed(text)


def allowed(text: str) -> Path:
    """Return a file or folder that the dashboard may open, links resolved.

    Raises
    ------
    InputError
        If the path is outside the folders that the dashboard may open.
    NotFoundError
        If there is nothing.
    """
    path = allowed_path(text, allowed_roots(only_local()))
    if not path.exists():
        raise NotFoundError(f"There is no file or folder {path} on this machine.")
    return path


def checked(text: str, kind: str) -> str:
    """Return the path that a field names, links resolved; the name of a registered table becomes its path.

    Raises
    ------
    InputError
        If it is outside the folders that the dashboard may open.
    NotFoundError
        If there is no such file.
    """
    if not text:
        return ""
    if kind == "aliases" and "/" not in text:
        with contextlib.suppress(NotFoundError):
            return str(resource_path(kind, text))
    path = allowed_path(text, allowed_roots(only_local()))
    if not path.is_file():
        raise NotFoundError(f"There is no file {path} on this machine.")
    return str(path)


def only_local() -> bool:
    """Say whether only this machine reaches the dashboard: bound to localhost, with no proxy before it."""
    bound = st.get_option("server.address") in ("localhost", "127.0.0.1", "::1")
    return bound and not any(name in st.context.headers for name in ("X-Forwarded-For", "Forwarded"))


def _folder() -> Path:
    """Return the folder in view; one that may not be opened gives way to one that may."""
    roots = allowed_roots(only_local())
    for folder in (st.session_state.get(_FOLDER), Path.cwd()):
        if folder is not None:
            with contextlib.suppress(InputError):
                return allowed_path(folder, roots, to_read=False)
    return roots[0]


def _walk(here: Path) -> None:
    if not only_local():
        return
    entry = st.session_state[f"import-entry-{here}"]
    if entry == _UP:
        st.session_state[_FOLDER] = str(here.parent)
    elif entry == _HERE:
        st.session_state[_PATH] = str(here)
    elif entry and entry.startswith(_ROOT):
        st.session_state[_FOLDER] = entry.removeprefix(_ROOT)
    elif entry and entry.endswith("/"):
        st.session_state[_FOLDER] = str(here / entry[:-1])
    elif entry:
        st.session_state[_PATH] = str(here / entry)


def _entries(here: Path) -> list[str]:
    try:
        folder = allowed_path(here, allowed_roots(only_local()), to_read=False)
        items = sorted(folder.iterdir(), key=lambda item: item.name.lower())
    except (OSError, InputError):
        return []
    shown = [item for item in items if not item.name.startswith(".")]
    folders = [f"{item.name}/" for item in shown if item.is_dir()]
    return folders + [item.name for item in shown if item.is_file() and item.name.endswith(_SUFFIXES)]


def uploaded_path() -> Path | None:
    """Take an upload, keep it under ``uploads`` in the home folder, and return where it is."""
    files = uploads.uploader(
        "One file (h5ad, 10x .h5, loom, CSV or TSV, .gz too), or all files of a 10x folder or of GEO pairs",
        accept_multiple_files=True,
        key="import-upload",
    )
    if not files:
        return None
    folder = home.folder("uploads") / "-".join(sorted({file.file_id[:8] for file in files}))[:60]
    for file in files:
        target = folder / _file_name(file.name)
        if not target.exists():
            uploads.save(file, target)
    return folder / _file_name(files[0].name) if len(files) == 1 else folder


def _file_name(given: str) -> str:
    name = Path(given.replace("\\", "/")).name
    if name in ("", "..") or "\0" in name:
        raise InputError("The uploaded file has no name that a file can have: rename it.")
    return name


def peek(path: Path) -> Peek | None:
    """Return what `path` says about its cells, or None where looking would take long.

    Raises
    ------
    InputError
        If it can't be read.
    """
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    total = sum(file.stat().st_size for file in files)
    if total > _PEEK_BYTES and not path.name.endswith((".h5ad", ".loom", ".h5", ".parquet")):
        return None
    return _peek(str(path), max((file.stat().st_mtime for file in files), default=0.0))


@st.cache_data(max_entries=16, show_spinner="Looks at the file")
def _peek(path: str, stamp: float) -> Peek:
    if is_coordinates(Path(path)):
        table = read_coordinates(Path(path))
        obs = table.obs.drop(columns="cell")
        roles = {"donor": None, "cell_type": table.likely_cell_type(), "timepoint": None}
        columns = tuple(map(str, obs.columns))
        return Peek("coordinates and labels, no counts", len(obs), columns, _levels(obs), roles, False)
    with home.scratch(home.folder("uploads") / "peek") as scratch:
        try:
            source = open_source(Path(path), scratch)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{Path(path).name} can't be read: {error}") from error
        obs = source.obs.drop(columns="cell", errors="ignore")
        roles = {"donor": source.donor, "cell_type": source.cell_type, "timepoint": source.timepoint}
        return Peek(source.format, len(obs), tuple(map(str, obs.columns)), _levels(obs), roles)


def _levels(obs: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    levels = {}
    for column in obs.columns:
        values = obs[column]
        if values.nunique() <= 200:
            texts = sorted(map(str, values.dropna().unique()))
            levels[str(column)] = tuple([*texts, "nan"] if values.isna().any() else texts)
    return levels

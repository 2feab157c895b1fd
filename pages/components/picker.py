"""Choose a file or folder on the server, or upload one; see its columns before it is imported."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from sgm_core import home
from sgm_core.cells.read import open_source
from sgm_core.errors import InputError

_SUFFIXES = (".h5ad", ".h5", ".hdf5", ".loom", ".csv", ".tsv", ".txt", ".tab", ".mtx", ".gz")
_PEEK_BYTES = 300_000_000
_UP, _HERE = "⬑ one folder up", "✓ this folder itself"
_FOLDER, _PATH = "import-folder", "import-path"


@dataclass(frozen=True)
class Peek:
    """What a file says about its cells without being imported."""

    format: str
    n_cells: int
    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    roles: dict[str, str | None]


def server_path() -> Path | None:
    """Let the person walk through the server's folders, or paste a path; return what they chose."""
    here = Path(st.session_state.setdefault(_FOLDER, str(Path.cwd())))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            f"In {here}",
            [_UP, _HERE, *_entries(here)],
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
    path = Path(text).expanduser()
    if not path.exists():
        st.warning(f"There is no file or folder {path} on this machine.")
        return None
    return path


def _walk(here: Path) -> None:
    entry = st.session_state[f"import-entry-{here}"]
    if entry == _UP:
        st.session_state[_FOLDER] = str(here.parent)
    elif entry == _HERE:
        st.session_state[_PATH] = str(here)
    elif entry and entry.endswith("/"):
        st.session_state[_FOLDER] = str(here / entry[:-1])
    elif entry:
        st.session_state[_PATH] = str(here / entry)


def _entries(here: Path) -> list[str]:
    try:
        items = sorted(here.iterdir(), key=lambda item: item.name.lower())
    except OSError:
        return []
    shown = [item for item in items if not item.name.startswith(".")]
    folders = [f"{item.name}/" for item in shown if item.is_dir()]
    return folders + [item.name for item in shown if item.is_file() and item.name.endswith(_SUFFIXES)]


def uploaded_path() -> Path | None:
    """Take an upload, keep it under ``uploads`` in the home folder, and return where it is."""
    files = st.file_uploader(
        "One file (h5ad, 10x .h5, loom, CSV or TSV, .gz too), or all files of a 10x folder or of GEO pairs",
        accept_multiple_files=True,
        key="import-upload",
    )
    if not files:
        return None
    folder = home.folder("uploads") / "-".join(sorted({file.file_id[:8] for file in files}))[:60]
    for file in files:
        target = folder / Path(file.name).name
        if not target.exists():
            with home.whole_file(target) as temporary:
                temporary.write_bytes(file.getbuffer())
    return folder / Path(files[0].name).name if len(files) == 1 else folder


def peek(path: Path) -> Peek | None:
    """Return what `path` says about its cells, or None where looking would take long.

    Raises
    ------
    InputError
        If it can't be read.
    """
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    total = sum(file.stat().st_size for file in files)
    if total > _PEEK_BYTES and not path.name.endswith((".h5ad", ".loom", ".h5")):
        return None
    return _peek(str(path), max((file.stat().st_mtime for file in files), default=0.0))


@st.cache_data(max_entries=16, show_spinner="Looks at the file")
def _peek(path: str, stamp: float) -> Peek:
    with home.scratch(home.folder("uploads") / "peek") as scratch:
        try:
            source = open_source(Path(path), scratch)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{Path(path).name} can't be read: {error}") from error
        obs = source.obs.drop(columns="cell", errors="ignore")
        levels = {}
        for column in obs.columns:
            values = obs[column]
            if values.nunique() <= 200:
                texts = sorted(map(str, values.dropna().unique()))
                levels[str(column)] = tuple([*texts, "nan"] if values.isna().any() else texts)
        roles = {"donor": source.donor, "cell_type": source.cell_type, "timepoint": source.timepoint}
        return Peek(source.format, len(obs), tuple(map(str, obs.columns)), levels, roles)

"""Which cells to annotate: a dataset, a file on this machine or an upload; started in a worker."""

import re
import shlex
from pathlib import Path

import streamlit as st

from pages.components import annotate_jobs, frame, permit, picker, state, words
from sgm_core import home
from sgm_core.annotation.kept import check_free
from sgm_core.annotation.store import Model
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.store import create_run

_FROM = ["Dataset", "This machine", "Upload"]


def form(model: Model) -> None:
    """Draw where the cells come from, the name, the button, and the command that does the same."""
    where = st.segmented_control(
        "Cells of", _FROM, default=_FROM[0], key="cells-from", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    try:
        asked = _dataset() if where == _FROM[0] else _file(where)
    except SGMError as error:
        frame.refusal(error)
        return
    if asked is not None:
        _start(model, *asked)


def _dataset() -> tuple[str, str] | None:
    names = [dataset.name for dataset in state.datasets() if dataset.has_counts]
    if not names:
        st.caption("No dataset with counts yet: choose a file instead; it needs no labels and no donors.")
        return None
    current = state.current_dataset()
    first = names.index(current.name) if current is not None and current.name in names else 0
    return "data", st.selectbox("Dataset to annotate", names, index=first, key="annotate-data")


def _file(where: str) -> tuple[str, str] | None:
    path = picker.server_path() if where == "This machine" else picker.uploaded_path()
    if path is None:
        st.caption(
            "Raw counts, no labels and no donors needed: h5ad, 10x (.h5 or folder), loom, CSV/TSV or GEO "
            "pairs. Genes as symbols or Ensembl ids. Uploads stay on this machine."
        )
        return None
    known = picker.peek(path)
    if known is not None:
        st.caption(f"{escape(path.name)}: {escape(known.format)}, {words.count(known.n_cells, 'cell')}")
        if not known.has_counts:
            st.warning(f"{escape(path.name)} has coordinates and labels only: counts are needed.")
            return None
    return "path", str(path)


def _start(model: Model, kind: str, source: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Name of the annotation", _free_name(Path(source).name.split(".")[0], model.name),
            key=f"annotate-name-{source}-{model.name}", width=340,
        )  # fmt: skip
        layer = None
        if kind == "path":
            layer = st.text_input("Layer of the counts", key="annotate-layer", placeholder="found by testing")
        own_map = st.checkbox(
            "Map these cells", True, key="annotate-map",
            help="A UMAP of these cells, in the model's space, beside their placement on the reference.",
        )  # fmt: skip
    problem = None
    try:
        check_free(name)
    except SGMError as error:
        problem = str(error)
        st.warning(escape(problem))
    label = f"Annotate with {escape(model.name)}"
    if permit.button("launch", label, type="primary", icon=":material/label:", disabled=bool(problem)):
        parameters = {kind: source, "model": model.name, "name": name} | ({"layer": layer} if layer else {})
        parameters |= {"own_map": True} if own_map else {}
        annotate_jobs.start(create_run("annotate", model.meta["dataset"]["name"], parameters))
    if not problem:
        text = ["sgm", "annotate", source, "--model", model.name, "--keep", name, "--out", f"{name}.csv"]
        st.caption("Or in a terminal on this machine:")
        text += [*(["--layer", layer] if layer else []), *(["--map"] if own_map else [])]
        st.code(shlex.join(text), "bash", wrap_lines=True)


def _free_name(source: str, model: str) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{source}-by-{model}").strip("-._")[:60] or "annotation"
    folder = home.folder("annotations")
    names = (base if i == 1 else f"{base[:56]}-{i}" for i in range(1, 1000))
    return next(name for name in names if not (folder / name).exists())

"""The library of gene sets of the page Enrichment, and how to bring one's own."""

import re
from pathlib import Path

import streamlit as st

from pages.components import gene_sets, permit, uploads, words
from sgm_core import home
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.resources.store import Resource, add_resource

_ADDED = "library-added"


def choose() -> Resource:
    """Draw the choice of a library, with the box that takes a file; returns the library."""
    libraries = gene_sets.libraries()
    added = st.session_state.pop(_ADDED, None)
    if added in libraries:
        st.session_state["library"] = added
    if st.session_state.get("library") not in libraries:
        st.session_state.pop("library", None)  # a link may name what this machine lacks
    name = st.selectbox("Library", list(libraries), key="library", bind="query-params", width=170)
    with st.popover("Add", icon=":material/library_add:", help="Gene sets of your own"):
        _upload()
    return libraries[name]


def _upload() -> None:
    """Take a GMT file, check it, and keep it under a name for every dataset and run."""
    file = uploads.uploader(
        "Gene sets: GMT (one set a line: name, description, genes) or GMX, .gz too", key="library-file"
    )
    if file is None:
        st.caption(
            "It is checked, copied into the home folder of this machine, and stays there for every run."
        )
        return
    guess = re.sub(r"\.(gmt|gmx|txt|tsv)(\.gz)?$", "", file.name, flags=re.IGNORECASE)
    guess = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", guess)[:64].lstrip("._-") or "mine"
    name = st.text_input("Call it", guess, key=f"library-name-{file.file_id}")
    if not permit.button("add a resource", "Add it", type="primary", key="library-add"):
        return
    safe = re.sub(r"[^\w.+ -]+", "-", Path(file.name).name)[-100:].lstrip(". ") or "sets.gmt"
    try:
        with home.scratch(home.folder("uploads") / "gene-sets") as folder:
            path = folder / safe
            uploads.save(file, path)
            resource = add_resource("genesets", path, name.strip(), description="uploaded")
    except SGMError as error:
        st.error(escape(str(error).replace("(--name)", "above")), icon=":material/info:")
        return
    st.session_state[_ADDED] = resource.name
    st.toast(f"{escape(resource.name)}: {words.count(resource.n_entries, 'term')}")
    st.rerun()

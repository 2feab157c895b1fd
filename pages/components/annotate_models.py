"""Models that come and go as zip files, checked by their hashes."""

import streamlit as st

from pages.components import permit, show, uploads, words
from sgm_core import home
from sgm_core.annotation.store import Model, check_export, export_model, import_model
from sgm_core.errors import SGMError
from sgm_core.escape import escape

TAKEN = "model-imported"
"""Name of a model that was imported just now."""
_MOST_BYTES = 500_000_000


def export(model: Model) -> None:
    """Offer the model as a zip file, or say why there is none."""
    try:
        check_export(model)
    except SGMError as error:
        st.caption(escape(error))
        return
    size = sum((model.path / file).stat().st_size for file in model.files)
    if size > _MOST_BYTES:
        st.caption(f"{words.size(size)}, too much for a browser: `sgm model export` writes it.")
        return
    st.download_button(
        f"Model (zip, {words.size(size)})", lambda: _packed(model), f"{show.plain(model.name)}.zip",
        mime="application/zip", key="model-zip", on_click="ignore", type="tertiary",
        icon=":material/folder_zip:",
    )  # fmt: skip


def _packed(model: Model) -> bytes:
    with home.scratch(home.folder("exports") / "model") as folder:
        return export_model(model.name, folder / "model.zip").read_bytes()


def bring() -> None:
    """Draw the form that imports a model."""
    file = uploads.uploader("A model that was exported (zip)", type="zip", key="model-upload")
    name = st.text_input("Another name for it", key="model-upload-name", placeholder="its own", width=300)
    pressed = permit.button(
        "import a model", "Import the model", icon=":material/upload:", disabled=file is None
    )
    if file is None or not pressed:
        return
    try:
        with home.scratch(home.folder("uploads") / "model") as folder:
            uploads.save(file, folder / "model.zip")
            made = import_model(folder / "model.zip", name.strip() or None)
    except SGMError as error:
        st.error(escape(error), icon=":material/error:")
        return
    st.session_state[TAKEN] = made.name
    st.rerun()

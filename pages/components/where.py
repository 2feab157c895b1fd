"""Where a new run is carried out: in one process, in several of this machine, or on a cluster."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from pages.components import show, words
from sgm_core.configuration import configuration_file
from sgm_core.device import gpus
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.runs.launchers import LAUNCHERS
from sgm_core.runs.launchers.slurm_settings import SlurmSettings, slurm_settings

_HOW = {
    "local": "In one process; one run at a time uses a device, the others wait for their turn.",
    "torchrun": "Each process takes its part of every batch, and all train one model.",
    "slurm": "As a job of the cluster. When its place is wanted or its time is over, it keeps a checkpoint, "
    "is queued again and goes on by itself.",
}
_HOW_COMPARED = {
    "local": "Its tasks share the processors, or the graphics cards.",
    "slurm": "Each task is a job of one array, queued again where its place is wanted; a last job puts the "
    "tables together.",
}


@dataclass(frozen=True)
class Where:
    """What was chosen, and whether it is at hand."""

    launcher: str
    processes: int | None
    ready: bool


def draw(kind: str) -> Where:
    """Draw the choice and what it means."""
    choices = [name for name, one in LAUNCHERS.items() if one.carries(kind)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        launcher = st.segmented_control(
            "Where it runs",
            choices,
            format_func=lambda name: LAUNCHERS[name].label,
            default="local",
            key=f"where-{kind}",
            required=True,
        )
        processes = None
        if launcher != "local" and LAUNCHERS["torchrun"].carries(kind):
            usual = max(2, len(gpus())) if launcher == "torchrun" else 1
            processes = st.number_input(
                "Processes",
                1,
                1024,
                usual,
                key=f"processes-{launcher}",
                width=140,
                help="One a graphics card",
            )
    st.caption((_HOW_COMPARED if kind == "compare" else _HOW)[launcher])
    missing = LAUNCHERS[launcher].missing()
    if missing is not None:
        st.info(escape(f"{LAUNCHERS[launcher].label} can't be used here: {missing}."), icon=":material/lan:")
    elif launcher == "slurm":
        return Where(launcher, processes, _settings())
    return Where(launcher, processes, missing is None)


def _settings() -> bool:
    """Show what a job asks for; return whether that can be."""
    try:
        settings = slurm_settings()
    except InputError as error:
        st.error(escape(str(error)), icon=":material/block:")
        return False
    with st.expander("What a job asks for"):
        show.table(table_of(settings), "slurm-settings")
        file = escape(str(configuration_file()))
        st.caption(
            f"From the table \\[slurm\\] of {file}; the cluster decides the rest. Every node has to "
            "see the home folder under the same path."
        )
    return True


def table_of(settings: SlurmSettings) -> pd.DataFrame:
    """Return the settings that hold, as text."""
    rows = [(name.replace("_", " "), words.value(value)) for name, value in settings.given().items()]
    return pd.DataFrame(rows, columns=["setting", "value"])

"""The form of New run in session state: filled from a run, so that it can be changed and started again."""

from typing import Any

import streamlit as st

from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import CompareConfig
from sgm_core.runs import parameters as run_parameters
from sgm_core.runs.store import Run
from sgm_core.sweeps.config import SweepConfig

KIND = "kind"


def key(kind: str, field: str) -> str:
    """Return the key of a field's control, which is also its name in the link."""
    return f"{kind}.{field}"


def fill_form(run: Run) -> None:
    """Fill the form of New run with the parameters of `run`."""
    fill(run.kind, run.parameters)


def fill(kind: str, values: dict[str, Any]) -> None:
    """Fill the form of New run with the parameters of a kind of run."""
    clear_form()
    st.session_state[KIND] = kind
    config: Any = run_parameters.CONFIGS[kind].from_dict(values)
    parameters = config.to_dict()
    if isinstance(config, CompareConfig | SweepConfig):
        # as the arms have them: the command line leaves text, and a field may need another of its part
        config = config if isinstance(config, CompareConfig) else config.comparison()
        arm = config.arms[0] if config.arms else "uniform"
        for name, part in zip(run_parameters.NESTED, settings(config, arm), strict=True):
            fields = part.to_dict()
            parameters[name] = {field: fields[field] for field in parameters[name]}
    for field, value in run_parameters.flat(parameters).items():
        if field != "data":
            st.session_state[key(kind, field)] = value


def clear_form() -> None:
    """Put every field back to its default."""
    for name in list(st.session_state):
        if isinstance(name, str) and name.split(".")[0] in run_parameters.CONFIGS and "." in name:
            del st.session_state[name]

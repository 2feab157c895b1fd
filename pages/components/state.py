"""What the person looks at (dataset, run, palette): kept in the link and across pages."""

import contextlib

import streamlit as st

from sgm_core.cells.dataset import Dataset, list_datasets, open_dataset
from sgm_core.errors import SGMError
from sgm_core.runs.store import Run, list_runs, open_run

# The keys are the names in the link, so they are short.
DATASET, RUN, SAFE_COLOURS = "dataset", "run", "cb"
_CHOSEN = "chosen"
RESULT_KINDS = ("compare", "pretrain", "finetune")


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(name: str, content_hash: str) -> Dataset:
    """Keep one Dataset object per content, so that its tables are read once for all sessions."""
    return open_dataset(name)


def datasets() -> list[Dataset]:
    """Return all datasets, newest first."""
    found = sorted(list_datasets(), key=lambda dataset: dataset.meta.get("created") or "", reverse=True)
    return [_opened(dataset.name, dataset.content_hash) for dataset in found]


def runs(dataset: str | None = None, kinds: tuple[str, ...] | None = RESULT_KINDS) -> list[Run]:
    """Return runs, newest first; `kinds` None means all, imports and maps too."""
    return [
        run
        for run in list_runs()
        if (kinds is None or run.kind in kinds) and (dataset is None or run.dataset_name == dataset)
    ]


def choose(dataset: str | None = None, run: str | None = None) -> None:
    """Make a dataset or a run the current one from the next drawing of the page on."""
    if run is not None:
        with contextlib.suppress(SGMError):
            dataset = open_run(run).dataset_name
    st.session_state[_CHOSEN] = {DATASET: dataset, RUN: run}


def apply_choice() -> None:
    """Hand what was chosen to the selectors, before they are drawn."""
    for key, value in st.session_state.pop(_CHOSEN, {}).items():
        if value is not None:
            st.session_state[key] = value


def go(page: str, dataset: str | None = None, run: str | None = None) -> None:
    """Open another page, e.g. ``pages/runs.py``, and look at `dataset` or `run` there.

    The query parameters are an empty mapping, since `st.switch_page` without one refuses to leave a page with
    controls that are bound to the link; those of the context bar come back by themselves.
    """
    if dataset is not None or run is not None:
        choose(dataset, run)
    st.switch_page(page, query_params={})


def preferred_dataset(available: list[Dataset]) -> str | None:
    """Return the dataset with the newest result, else the newest dataset."""
    names = {dataset.name for dataset in available}
    with_runs = [run.dataset_name for run in runs() if run.dataset_name in names]
    return next(iter(with_runs), available[0].name if available else None)


def preferred_run(available: list[Run]) -> str | None:
    """Return the newest finished comparison, else the newest finished run, else the newest run."""
    done = [run for run in available if run.state == "done"]
    compared = [run for run in done if run.kind == "compare"]
    return next((run.id for run in [*compared, *done, *available]), None)


def current_dataset() -> Dataset | None:
    """Return the dataset in view, if there is any."""
    available = datasets()
    name = st.session_state.get(DATASET) or preferred_dataset(available)
    return next((dataset for dataset in available if dataset.name == name), None)


def current_run(dataset: Dataset | None) -> Run | None:
    """Return the run in view, if there is any."""
    available = runs(dataset.name) if dataset else []
    name = st.session_state.get(RUN) or preferred_run(available)
    return next((run for run in available if run.id == name), None)

"""The embedded demo: a simulated dataset, and the analysis of it that every page can show."""

from typing import Any

from sgm_core.errors import NotFoundError
from sgm_core.runs.launch import launch
from sgm_core.runs.plain import plain
from sgm_core.runs.store import Run, create_run, list_runs

NAME = "demo"

# Sized so that two cores finish within five minutes.
ANALYSIS: dict[str, Any] = {
    "data": NAME,
    "backbone": "tiny",
    "folds": 3,
    "seeds": 2,
    "pretrain": {"epochs": 2, "n_genes": 600},
    "finetune": {"epochs": 3, "probe_epochs": 30},
}


def demo_run() -> Run:
    """Return the demo's analysis as a run, making the dataset and the run's folder when they are missing."""
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.config import CompareConfig

    try:
        open_dataset(NAME)
    except NotFoundError:
        from sgm_core.cells.simulate import make_demo

        make_demo()
    parameters = CompareConfig.from_dict(ANALYSIS).to_dict()
    return create_run("compare", NAME, parameters, title=f"Compare tiny on {NAME} (SIMULATED)")


def known_run() -> Run | None:
    """Return the newest analysis of the demo that is there, a finished one before others; nothing is made."""
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.config import CompareConfig

    try:
        if not open_dataset(NAME).simulated:
            return None
    except NotFoundError:
        return None
    wanted = plain(CompareConfig.from_dict(ANALYSIS).to_dict())
    found = [run for run in list_runs() if run.dataset_name == NAME and run.parameters == wanted]
    return next((run for run in found if run.state == "done"), found[0] if found else None)


def ensure_demo() -> Run:
    """Return the demo's analysis, started in the background unless it is live, done or was cancelled."""
    run = demo_run()
    if run.state != "cancelled":
        launch(run)
    return run

"""The embedded demo: a simulated dataset, and the analysis of it that every page can show."""

from typing import Any

from sgm_core.errors import NotFoundError
from sgm_core.runs.launch import launch
from sgm_core.runs.store import Run, create_run

NAME = "demo"

# Sized so that two cores finish within five minutes.
ANALYSIS: dict[str, Any] = {
    "data": NAME,
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


def ensure_demo() -> Run:
    """Return the demo's analysis, started in the background unless it is live, done or was cancelled."""
    run = demo_run()
    if run.state != "cancelled":
        launch(run)
    return run

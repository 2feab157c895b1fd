"""How long the list of 500 runs takes: engine, command and page, the first time and again.

Run by ``python benchmarks/many_runs.py`` (``--runs N``, ``--keep FOLDER`` keeps the home folder).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

_STATES = ("done",) * 14 + ("failed", "cancelled", "paused", "lost", "queued", "running")
_EPOCHS = 30
ROOT = Path(__file__).resolve().parents[1]


def make_runs(n_runs: int) -> None:
    """Make runs of every state on a simulated dataset, each with metrics, a log and some with scores."""
    from sgm_core.cells.simulate import make_demo
    from sgm_core.runs.process import identity
    from sgm_core.runs.store import create_run

    make_demo(name="small", n_cells=600)
    rng = np.random.default_rng(0)
    for number in range(n_runs):
        kind = ("pretrain", "finetune", "compare")[number % 3]
        parameters = {
            "data": "small",
            "seed": number,
            "epochs": _EPOCHS,
            "lr_new": 10.0 ** rng.uniform(-4, -2),
        }
        run = create_run(kind, "small", parameters, run_id=f"{kind}-small-{number:04d}")
        phase = "finetune" if kind == "finetune" else "pretrain"
        for fold in range(3 if kind == "compare" else 1):
            for epoch in range(_EPOCHS):
                loss = 0.4 + 0.6 * np.exp(-epoch / 5) + rng.normal(0, 0.02)
                values = {"train_loss": loss, "validation_loss": loss + 0.03, "cells_per_s": 400.0}
                run.metric(phase=phase, arm="self-guided", fold=fold, epoch=epoch + 1, **values)
        if kind != "pretrain":
            scores = {"arm": "self-guided", "scheme": "partial", "fold": range(3)}
            run.table("folds", pd.DataFrame(scores).assign(macro_f1=rng.uniform(0.3, 0.8, 3)))
        for line in range(20):
            run.message(f"line {line}")
        state = _STATES[number % len(_STATES)]
        if state == "running":
            run.begin()
            run.progress(number % 30, 30, "pretraining")
        elif state == "queued":
            run.update(**identity())
        else:
            run.finish(state, "for the benchmark" if state == "failed" else None)


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def page() -> object:
    """Draw the page Runs without a browser, in this process."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.switch_page("pages/runs.py")
    return app.run()


def fresh(code: str) -> float:
    """Return the seconds that `code` takes in a process of its own, after its imports."""
    lines = f"import time; from sgm_core.runs.store import list_runs; t = time.perf_counter(); {code}"
    command = [sys.executable, "-c", f"{lines}; print(time.perf_counter() - t)"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="an empty or new folder to make the runs in, and keep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SGM_HOME"] = str(options.keep or temporary)
        os.chdir(ROOT)
        sys.path.insert(0, str(ROOT))  # pages/ is a package there
        from sgm_core.runs.store import list_runs

        if not list_runs():
            print(f"making {options.runs} runs: {seconds(lambda: make_runs(options.runs)):.0f} s")
        print(f"list_runs, fresh process: {fresh('list_runs()'):.2f} s")
        print(f"list_runs again: {[seconds(list_runs) for _ in range(3)][-1]:.3f} s")
        command = [sys.executable, "-m", "sgm_core.cli", "runs", "list"]
        listed = [
            seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)) for _ in range(2)
        ]
        print(
            "sgm runs list, with the start of Python: " + ", then ".join(f"{each:.2f} s" for each in listed)
        )
        print("page Runs, the server's part: " + ", then ".join(f"{seconds(page):.2f} s" for _ in range(3)))


if __name__ == "__main__":
    main()

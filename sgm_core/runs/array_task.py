"""Work out one task of a comparison in a process of its own: ``python -m sgm_core.runs.array_task ID NAME``.

Several machines may do so at once, for one run. None of them writes to a file that another one appends to.
"""

from __future__ import annotations

import faulthandler
import sys
import traceback

from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import tasks_of
from sgm_core.comparison.tasks import TaskObserver, is_done, run_task, start_worker
from sgm_core.errors import Cancelled, SGMError
from sgm_core.runs.run import Run
from sgm_core.runs.store import open_run
from sgm_core.saved.code import deciding_code


def main(argv: list[str]) -> int:
    """Work out the task of the run that the command line names; returns the exit code."""
    faulthandler.enable()
    run = open_run(argv[0])
    config = CompareConfig.from_dict(run.parameters)
    everything = tasks_of(config)
    task = next(one for one in everything if one.name == argv[1])
    part = run  # until there is one of its own
    start_worker(None, 1)
    try:
        part = run.part(task.name)
        run.check_dataset()
        run.check_corpus()
        if run.state == "queued":
            run.begin()
        part.message(f"{task.name} started")
        run_task(config, task, run.path, deciding_code(), TaskObserver(part, 0))
    except Cancelled as stop:
        part.message(f"{task.name}: {stop}")
        return 1
    except Exception as error:
        part.message(
            f"{task.name} failed: {error if isinstance(error, SGMError) else traceback.format_exc()}"
        )
        return 1
    part.message(f"{task.name} done")
    _say_progress(run, config)
    return 0


def _say_progress(run: Run, config: CompareConfig) -> None:
    everything = tasks_of(config)
    finished = sum(is_done(run.path, one) for one in everything)
    run.progress(finished, len(everything) + bool(config.umap), f"{finished} of {len(everything)} tasks")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

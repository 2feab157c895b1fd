"""Resume a run, with what a person says about checkpoints of other code."""

import shutil

from sgm_core import home
from sgm_core.access import acts
from sgm_core.errors import InputError
from sgm_core.runs.launch import chosen, launch
from sgm_core.runs.run import IN_PARTS, Run
from sgm_core.runs.store import open_run
from sgm_core.saved import ACCEPTED
from sgm_core.saved import FOLDER as STATE
from sgm_core.saved.code import deciding_code


@acts("resume")
def resume_run(
    run_id: str,
    anew: bool = False,
    other_code: bool = False,
    launcher: str | None = None,
    processes: int | None = None,
) -> Run:
    """Start a run again that has ended before it was done; returns at once.

    It goes on from its last checkpoint where it has one. One that other code made is refused, as the run says
    then, unless this is answered here.

    Parameters
    ----------
    run_id
        The run.
    anew
        Forget the checkpoints and start over.
    other_code
        Go on with checkpoints that other code made.
    launcher, processes
        As in `sgm_core.runs.launch.launch`: a run may go on elsewhere than where it began.

    Raises
    ------
    InputError
        If the run is active or done, or `anew` is asked of a comparison or a sweep, whose parts are kept or
        made again by themselves.
    """
    run = open_run(run_id)
    state = run.state
    if state == "done":
        raise InputError(f"run {run.id} is done: there is nothing to resume")
    if anew and run.kind in IN_PARTS:
        raise InputError(f"a {run.kind} run keeps its finished parts: to start over, delete it and ask again")
    if (anew or other_code) and not run.active:
        chosen(run, launcher, processes)  # before anything is deleted
        with run.locked("launch"):
            if anew:
                shutil.rmtree(run.path / STATE, ignore_errors=True)
            if other_code and (run.path / STATE).is_dir():
                home.write_json(run.path / STATE / ACCEPTED, {"code": deciding_code()})
    launch(run, launcher, processes)
    return run

"""Runs as jobs of a real Slurm, of one node on this machine."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from slurm_cluster import Cluster, NoClusterError, start_cluster

from sgm_core import tables
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs.launch import launch
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.log import search_log
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, pause_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.training.config import PretrainConfig

TINY = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "batch_size": 8}
LONG = {"data": "few", "device": "cpu", "fold": 0, "n_folds": 3, **TINY}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Give a running cluster, or say why there is none: an error where SGM_REQUIRE_SLURM=1."""
    place = Path(tempfile.mkdtemp(prefix="sgm-slurm-"))
    place.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])  # put back at the end, and so is SLURM_CONF
        patch.setenv("SLURM_CONF", str(place / "slurm.conf"))
        try:
            started = start_cluster(place)
        except NoClusterError as error:
            if os.environ.get("SGM_REQUIRE_SLURM") == "1":
                pytest.fail(f"no cluster: {error}")
            pytest.skip(f"no cluster: {error}")
        try:
            yield started
        finally:
            started.stop()
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def two_cores(sgm_home: Path) -> None:
    """Let each job have both cores of the node, so that one runs at a time."""
    (sgm_home / "config.toml").write_text("[slurm]\ncpus = 2\ntime = '30'\nsetup = ['export MARK=set']\n")


def until(run: Run, is_so: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        logs = "\n".join(path.read_text() for path in launcher_of(run.status).logs(run))
        assert time.monotonic() < deadline, f"never {what}: {run.status}\n{run.log_tail()}\n{logs}"
        time.sleep(0.2)


def training(epochs: int) -> Run:
    return create_run("pretrain", "few", PretrainConfig(**LONG, epochs=epochs).to_dict())


def works(run: Run) -> bool:
    return run.state == "running" and bool(run.status["progress"])


def test_the_life_of_a_run(cluster: Cluster, few_cells, two_cores) -> None:
    # Long, for it starts a training three times; that one goes on bit for bit is in test_kill_resume.
    run, other = training(500), training(1)
    launch(run, "slurm")
    assert run.state == "queued" and "(job " in launcher_of(run.status).waits_for(run.status)
    until(run, lambda: works(run), "running")
    jobs = run.status["jobs"]
    # one that waits: Slurm's reason is shown, and it is taken back
    launch(other, "slurm")
    until(other, lambda: "Resources" in launcher_of(other.status).waits_for(other.status), "a reason")
    assert pause_run(other.id).state == "paused"
    until(other, lambda: not other.process_alive(), "taken back", 20)
    # its time is nearly over: Slurm says so with this signal
    subprocess.run(["scancel", "--signal=USR2", *jobs], check=True)
    goes_on(run)
    # another takes its place
    subprocess.run(["sbatch", "-p", "high", "-c2", "-o", "/dev/null", "--wrap", "sleep 1"], check=True)
    goes_on(run)
    assert run.status["jobs"] == jobs, "the same job, queued again"
    log = run.log_tail()
    assert log.count("is queued again and goes on by itself") == 2
    assert log.count("pretraining goes on from its checkpoint") == 2 and log.count("started on cpu") == 3
    # cancelled by somebody, anywhere
    subprocess.run(["scancel", *jobs], check=True)
    until(run, lambda: run.state == "cancelled", "cancelled")
    assert run.status["error"] == "cancelled in Slurm" and run.checkpoint is not None
    assert (run.path / ".slurm").stat().st_mode & 0o077 == 0, "a job carries out what lies there"


def goes_on(run: Run) -> None:
    """Wait until the run was sent away and works again."""
    until(run, lambda: run.state == "queued", "queued again")
    until(run, lambda: begin_now(run.status["jobs"][0]), "queued again by Slurm")
    until(run, lambda: works(run), "running again")


def begin_now(job: str) -> bool:
    """Let Slurm not wait the two minutes that it gives a node after a job was queued again."""
    command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
    return "PENDING" in said("squeue", "-h", "-o", "%T", "-j", job) and not subprocess.run(command).returncode


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


FIELDS = {"data": "few", "folds": 2, "seeds": 1, "arms": ("uniform+summary",), "schemes": ("linear-probe",)}
FIELDS |= {"pretrain": {**TINY, "epochs": 1}, "finetune": {"probe_epochs": 2}, "umap": False, "device": "cpu"}


def test_a_comparison_is_an_array_and_its_tables_are_those_of_a_local_run(
    cluster: Cluster, few_cells, sgm_home: Path
) -> None:
    config = CompareConfig.from_dict(FIELDS).to_dict()
    array, local = (create_run("compare", "few", config, run_id=name) for name in ("array", "local"))
    launch(array, "slurm")
    run_in_foreground(local, Observer(), processes=1)
    until(array, lambda: array.state not in ("queued", "running"), "done")
    assert array.state == "done", array.log_tail()
    assert len(array.status["jobs"]) == 2 and array.status["progress"]["done"] == 4
    assert array.tables() == local.tables()
    for name in local.tables():
        one, other = (run.read_table(name).drop(columns="seconds", errors="ignore") for run in (array, local))
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    one, other = (tables.table_path(run.path, "masks") for run in (array, local))
    for part in sorted(other.iterdir()):
        assert part.read_bytes() == (one / part.name).read_bytes(), part.name
    assert len(array.metrics()) == len(local.metrics()), "metrics of all jobs"
    assert "uniform+summary.fold1.seed0 done" in array.log_tail() and "fold 0 tested" in array.log_tail()
    assert search_log(array, "fold1.seed0 done").n_fit == 1, "the logs of its jobs are searched, too"


def test_what_slurm_refuses_is_said(cluster: Cluster, few_cells, sgm_home: Path) -> None:
    (sgm_home / "config.toml").write_text('[slurm]\npartition = "nowhere"\n')
    run = training(1)
    with pytest.raises(InputError, match=r"Slurm refuses the job .*invalid partition"):
        launch(run, "slurm")
    assert run.state == "failed" and "invalid partition" in run.status["error"]

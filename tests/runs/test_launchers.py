"""Launchers without a cluster: what is refused, what is missing, what becomes of a job's end."""

import multiprocessing
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgm_core import device
from sgm_core.api import pretrain
from sgm_core.comparison import killed, tasks
from sgm_core.comparison.arms import cards_for, process_count
from sgm_core.comparison.config import CompareConfig
from sgm_core.device import Gpu, Memory
from sgm_core.errors import InputError, Stopped
from sgm_core.estimate.fit import in_job
from sgm_core.estimate.run import estimate_run
from sgm_core.progress import Observer
from sgm_core.runs import worker
from sgm_core.runs.launch import enqueue, launch, turn
from sgm_core.runs.launchers import LAUNCHERS, check_launcher, launcher_of, slurm_queue
from sgm_core.runs.launchers.slurm_settings import slurm_settings
from sgm_core.runs.resume import resume_run
from sgm_core.runs.room import require_room
from sgm_core.runs.run import PAUSE, STOP, Run, now
from sgm_core.runs.store import create_run, list_runs
from sgm_core.training.config import PretrainConfig


@pytest.fixture
def run(demo_dataset) -> Run:
    return create_run("pretrain", "small", {"data": "small"})


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer of another test's Slurm hold here."""
    monkeypatch.setattr(slurm_queue, "_answers", slurm_queue._Answers())


@pytest.fixture
def slurm_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let commands of Slurm that print `text`, and end with `code`, be the first in the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def say(text: str, code: int = 0) -> None:
        slurm_queue._answers.when.clear()
        for name in ("squeue", "sacct", "scancel", "scontrol", "sbatch", "srun"):
            script = folder / name
            shown = text if name == "squeue" else ""
            script.write_text(
                f"#!/bin/sh\ncat <<'E'\n{shown}\nE\necho {name} \"$@\" >> {folder}/asked\nexit {code}\n"
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)

    say.asked = folder / "asked"  # type: ignore[attr-defined]
    return say


@pytest.mark.parametrize(
    ("name", "processes", "kind", "words"),
    [
        ("mpi", None, "pretrain", "unknown launcher 'mpi': the launchers are local, torchrun, slurm"),
        ("torchrun", 2, "compare", "--launcher local --processes N works on N at once"),
        ("slurm", None, "umap", "can't be launched by slurm"),
        ("local", 2, "pretrain", "train one model under --launcher torchrun, or slurm"),
        ("local", 0, "compare", "it takes one at least"),
        ("slurm", 4, "compare", "has one process a job under Slurm"),
        ("torchrun", 2, "pretrain", "compat=official lets a cell's numbers depend on the cells beside it"),
    ],
)
def test_what_does_not_go_together_is_refused(name, processes, kind, words) -> None:
    with pytest.raises(InputError) as refused:
        check_launcher(name, processes, kind, {"data": "small", "compat": "official"})
    assert words in str(refused.value)


def test_what_is_missing_is_one_line_and_the_run_stays_as_it_is(run: Run, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        with pytest.raises(InputError, match="sbatch is not on this machine: launch from a login node"):
            launch(run, "slurm")
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert LAUNCHERS["slurm"].missing() == 'the launcher slurm needs submitit: pip install "submitit>=1.5.4"'
    assert run.state == "queued" and "launcher" not in run.status


def test_settings_are_checked(sgm_home: Path) -> None:
    file = sgm_home / "config.toml"
    assert slurm_settings().given() == {"cpus": 1, "parallel": 256, "warning": 120}, "without a file"
    file.write_text('[slurm]\nmemory = "4G"\ntime = "1-00:00:00"\nsetup = ["module load cuda"]\n')
    assert slurm_settings().memory_bytes == 4 * 2**30 and slurm_settings().setup == ("module load cuda",)
    for line, words in {
        "partitions = 'x'": "unknown setting 'partitions': the settings are partition, account",
        "memory = 'lots'": "memory is 'lots': write it as for sbatch, such as \"32G\"",
        "time = 'soon'": "time is 'soon'",
        "cpus = 0": "cpus is 0: give a whole number from 1 up",
        "account = 7": "account is 7: give text in quotes",
        "options = { signal = 'KILL' }": "the program sets that option itself",
        "options = { 'a\\nb' = 1 }": "options is",
        "partition = 'a\\nb'": "partition is",
    }.items():
        file.write_text(f"[slurm]\n{line}\n".replace("'", '"'))
        with pytest.raises(InputError) as refused:
            slurm_settings()
        assert words in str(refused.value)


def test_a_job_is_judged_by_its_own_memory(demo_dataset, sgm_home: Path) -> None:
    config = CompareConfig.from_dict({"data": "small"})
    here = estimate_run(config, demo_dataset)
    job = in_job(here, None)
    assert job.memory_bytes == here.memory_bytes // here.processes and job.machine.whose == "a job"
    assert job.seconds == pytest.approx(here.seconds * here.processes), "tasks one after the other"
    (sgm_home / "config.toml").write_text('[slurm]\nmemory = "100M"\n')
    with pytest.raises(InputError, match=r"a job has 0.1 GB; raise memory in \[slurm\] of"):
        require_room(PretrainConfig(data="small"), demo_dataset, "slurm")
    (sgm_home / "config.toml").unlink()
    assert require_room(PretrainConfig(data="small"), demo_dataset, "slurm").machine == Memory(
        sys.maxsize, sys.maxsize, here.machine.what, "a job"
    )


def test_each_process_has_weights_of_its_own_and_a_part_of_the_batch(demo_dataset) -> None:
    config = PretrainConfig(data="small", device="cpu")
    one, four = (require_room(config, demo_dataset, "torchrun", n) for n in (1, 4))
    same = sum(one.memory.values()) - one.memory["activations"]
    assert four.memory_bytes == one.memory_bytes + int(3 * same) and four.processes == 4
    assert require_room(config, demo_dataset, "torchrun").processes == max(2, len(device.gpus()))
    with pytest.raises(InputError, match="would not fit"):
        require_room(config, demo_dataset, "torchrun", 10_000)
    compared = CompareConfig.from_dict({"data": "small", "device": "cpu"})
    two, three = (require_room(compared, demo_dataset, "local", n).memory_bytes for n in (2, 3))
    assert two < three


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ("7|PENDING|Priority", "queued", None),
        ("7|RUNNING|None", "running", None),
        ("7|COMPLETING|None", "running", None),
        ("7|CANCELLED|None", "cancelled", "cancelled in Slurm"),
        ("7|TIMEOUT|None", "paused", "time limit"),
        ("7|OUT_OF_MEMORY|None", "lost", "raise memory in [slurm] of config.toml"),
        ("7|NODE_FAIL|None", "lost", "its node failed"),
        ("7|FAILED|NonZeroExitCode", "lost", "ended without a word: Segmentation fault"),
        ("", "lost", "Slurm does not know its job 7 any more"),
        ("7|FAILED|None\n7|RUNNING|None", "running", None),
        ("7|COMPLETED|None\n7|PENDING|Resources", "queued", None),
    ],
)
def test_the_state_of_a_job_is_the_state_of_its_run(run: Run, slurm_says, said, state, words) -> None:
    slurm_says(said)
    run.update(state="running", launcher="slurm", jobs=["7"], queued=now())
    (run.path / ".slurm").mkdir()
    (run.path / ".slurm" / "7_0_log.err").write_text("starting\nSegmentation fault\n")
    status = run.status
    assert status["state"] == state
    if words:
        assert words in status["error"]
    if state == "queued":
        assert launcher_of(status).waits_for(status) == f"Slurm: {said.rpartition('|')[2]} (job 7)"


def test_a_slurm_that_does_not_answer_ends_no_run(run: Run, slurm_says) -> None:
    slurm_says("slurm_load_jobs error: Unable to contact slurm controller", 1)
    run.update(state="queued", launcher="slurm", jobs=["7"], queued="2026-01-01T00:00:00.000Z")
    assert run.state == "queued"
    assert launcher_of(run.status).waits_for(run.status) == "Slurm, which does not answer just now (job 7)"
    assert slurm_says.asked.read_text().count("squeue") == 1, "it is left alone for a while"


def test_jobs_are_asked_for_at_once_and_seldom(run: Run, slurm_says) -> None:
    slurm_says("7|RUNNING|None\n8|PENDING|Priority")
    other = create_run("pretrain", "small", {"data": "small"})
    for number, one in (("7", run), ("8", other)):
        one.update(state="running", launcher="slurm", jobs=[number])
        slurm_queue.parts_of([number])
    slurm_says.asked.unlink()
    slurm_queue._answers.when.clear()
    for _ in range(50):
        assert (run.state, other.state) == ("running", "queued")
    assert slurm_says.asked.read_text().splitlines()[0].endswith("-j 7,8")
    assert slurm_says.asked.read_text().count("squeue") == 2, "once more before a run that began waits again"


def test_what_slurm_said_before_a_run_began_does_not_make_it_wait(run: Run, slurm_says) -> None:
    slurm_says("7|PENDING|None")
    run.update(state="queued", launcher="slurm", jobs=["7"], queued=now())
    assert run.state == "queued" and launcher_of(run.status).waits_for(run.status)
    before = dict(slurm_queue._answers.when)
    slurm_says("7|RUNNING|None")
    slurm_queue._answers.when |= before
    run.update(state="running", started=now())
    assert run.state == "running" and run.status["started"]


def test_a_paused_array_is_paused_when_its_last_task_has_ended(run: Run, slurm_says) -> None:
    slurm_says("7|CANCELLED|None\n7|COMPLETED|None")
    run.update(state="running", launcher="slurm", jobs=["7"])
    run.ask(PAUSE)
    assert run.state == "paused" and run.status["error"].startswith("paused; resuming")


def test_a_run_goes_on_elsewhere_than_it_began(run: Run, slurm_says) -> None:
    slurm_says("7|COMPLETED|None")
    run.update(state="lost", launcher="slurm", jobs=["7"], processes=4)
    resume_run(run.id, launcher="local")
    status = run.status
    assert (status["launcher"], status["processes"], status["jobs"]) == ("local", None, None)
    assert status["pid"], "a process of this machine"


def test_parts_of_a_run_have_logs_and_metrics_of_their_own(run: Run) -> None:
    run.message("first")
    for name in ("one", "two"):
        time.sleep(0.002)  # the log's times are in milliseconds
        part = run.part(name)
        part.message(f"{name} starts\nsecond line")
        part.metric(phase="pretrain", arm=name, fold=0, seed=0, epoch=1, train_loss=1.0)
    time.sleep(0.002)
    run.message("last")
    told = [line.partition(" ")[2] for line in run.log_tail().splitlines()]
    assert told == ["first", "one starts", "second line", "two starts", "second line", "last"]
    assert sorted(run.metrics()["arm"]) == ["one", "two"]
    assert not (run.path / "metrics.jsonl").exists()


def test_a_run_on_several_graphics_cards_waits_for_each(demo_dataset, monkeypatch) -> None:
    monkeypatch.setattr("sgm_core.runs.launchers.torchrun.gpus", lambda: (Gpu("A", 1, 1), Gpu("B", 1, 1)))
    on_one, on_both = (
        create_run("pretrain", "small", {"data": "small", "device": name}) for name in ("cuda:1", "cuda")
    )
    enqueue(on_one)
    enqueue(on_both, "torchrun", 2)
    order: list[str] = []

    def wait_for_both() -> None:
        with turn(on_both, Observer()):
            order.append("both")

    waiting = threading.Thread(target=wait_for_both)
    with turn(on_one, Observer()):
        waiting.start()
        waiting.join(1)
        order.append("one")
    waiting.join(30)
    assert order == ["one", "both"]


def test_of_several_graphics_cards_each_process_of_a_comparison_sees_one(monkeypatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: (Gpu("A", 1, 1), Gpu("B", 1, 1)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    config = CompareConfig.from_dict({"data": "small"})
    assert cards_for(config) == ["3", "5"] and process_count(config, 9) == 2 and process_count(config, 1) == 1
    assert cards_for(CompareConfig.from_dict({"data": "small", "device": "cuda:1"})) == []
    monkeypatch.setattr(killed, "start_worker", lambda *_: None)
    seen = []
    for number in (4, 5):  # a pool's processes have numbers that follow each other, not from 1 in each pool
        here = SimpleNamespace(name=f"SpawnProcess-{number}")
        monkeypatch.setattr(multiprocessing, "current_process", lambda here=here: here)
        killed.start_noting([], [], 2, ["3", "5"])
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen) == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert cards_for(config) == ["0", "1"]


def test_a_stop_that_is_told_twice_is_one(run: Run, monkeypatch) -> None:
    # Slurm tells every process of a job, and who started them passes it on.
    with worker._terminable(run):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert run.asked(STOP) is not None, "seen after the step"
        monkeypatch.setattr(worker, "_TWICE_S", 0.0)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    heard: list[int] = []
    monkeypatch.setattr(tasks, "_asked_to_end", None)
    monkeypatch.setattr(tasks.os, "_exit", heard.append)
    monkeypatch.setattr(tasks.threading, "Timer", lambda *_: SimpleNamespace(start=lambda: None))
    for _ in range(2):
        tasks._end_after_step()
    assert not heard and tasks._asked_to_end is not None
    monkeypatch.setattr(tasks, "_TWICE_S", 0.0)
    tasks._end_after_step()
    assert heard == [128 + signal.SIGTERM]


def test_torchrun_is_followed_to_its_end(few_cells) -> None:
    # Long, for it starts three processes with torch.
    heard: list[str] = []
    listener = Observer()
    listener.message = heard.append  # type: ignore[method-assign]
    fields = {"n_genes": 60, "latents": 4, "latent_width": 8, "epochs": 1, "fold": 0, "n_folds": 3}
    run = pretrain(few_cells, observer=listener, launcher="torchrun", processes=2, device="cpu", **fields)
    assert run.state == "done" and run.status["processes"] == 2
    assert any(line.startswith("2 processes train together") for line in heard) and "done" in heard
    assert launcher_of(run.status).named(run.status) == "2 processes"


def test_a_run_that_was_never_submitted_is_lost_and_hides_no_other(run: Run) -> None:
    run.update(launcher="slurm", jobs=None, queued="2026-01-01T00:00:00.000Z")
    assert [each.id for each in list_runs()] == [run.id]
    assert run.state == "lost" and run.status["error"].startswith("it was not submitted")


def test_where_a_run_can_not_go_on_its_checkpoint_is_not_deleted(run: Run) -> None:
    run.finish("paused")
    (run.path / "state").mkdir()
    with pytest.raises(InputError, match="processes is 0"):
        resume_run(run.id, anew=True, launcher="torchrun", processes=0)
    assert (run.path / "state").is_dir()

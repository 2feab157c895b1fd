"""Kill a training at random moments, resume it until it is done, and compare with one that was left alone.

``python benchmarks/kill_resume.py [--kills 100] [--epochs 4] [--seed 0] [--cost 40]``

Makes its own home folder and a small simulated dataset. An attempt is killed (SIGKILL) after a random time,
or as it is about to do a random one of the steps that make a checkpoint safe: within the writing of the
tensors, before a file is flushed, before a folder gets its name, while old ones are deleted. Runs are
repeated until there were so many kills. Then the hashes of weights, metrics and mask tables must be those of
the run that was left alone; times are left out. Attempts are forked from one warm process, for starting
Python takes longer than the training. Last, a training of ``--cost`` epochs with a checkpoint every five
minutes and at ends of epochs, as by default: what share of its time they took.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

QUICK = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "device": "cpu", "batch_size": 16}
QUICK |= {"fold": 0, "n_folds": 3, "dropout": 0.1, "accumulation": 2, "patience": 9, "redraw_interval": 2}
TIMES = ("time", "worked", "cells_per_s")


def attempt(run_id: str, after: int | None) -> None:
    """Work on the run in this process; die at step `after` of those that write a checkpoint."""
    from sgm_core.progress import Observer
    from sgm_core.runs.store import open_run
    from sgm_core.runs.worker import run_in_foreground

    if after is not None:
        die_within_a_checkpoint(after)
    run_in_foreground(open_run(run_id), Observer())


def die_within_a_checkpoint(after: int) -> None:
    """Make this process kill itself at the step number `after` of writing checkpoints."""
    from sgm_core import home
    from sgm_core.saved import keeper, state

    left = after

    def step(before: Any) -> Any:
        def do(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(*args, **kwargs)

        return do

    written = state.save_file

    def half(tensors: Any, path: Path) -> None:
        nonlocal left
        written(tensors, path)
        left -= 1
        if left <= 0:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    write = keeper.write_state

    def write_state(*args: Any) -> None:
        home.sync = step(home_sync)
        Path.replace = step(replace)  # type: ignore[method-assign]
        try:
            write(*args)
        finally:
            home.sync, Path.replace = home_sync, replace  # type: ignore[method-assign]

    home_sync, replace = home.sync, Path.replace
    state.save_file = half
    keeper.write_state = write_state
    keeper.shutil.rmtree = step(shutil.rmtree)  # type: ignore[assignment]


def forked(run_id: str, after: int | None, seconds: float | None) -> bool:
    """Attempt the run in a fork, which is killed after `seconds`; returns whether it ended by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            attempt(run_id, after)
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "an attempt failed"
            return os.WIFEXITED(status)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.005)


def made(run_id: str) -> dict[str, str]:
    """Return hashes of what the run made: weights, metrics, tables."""
    import pandas as pd

    from sgm_core.runs.store import open_run
    from sgm_core.runs.sweep import sweep

    run = open_run(run_id)
    assert run.state == "done", run.log_tail()
    sweep()  # as every worker does: the last kill may have been while the checkpoints were deleted
    assert not (run.path / "state").exists(), "a run that is done keeps no checkpoints"
    weights = (run.path / "checkpoint" / "weights.safetensors").read_bytes()
    hashes = {"weights": hashlib.sha256(weights).hexdigest()}
    tables = {name: run.read_table(name) for name in run.tables()} | {"metrics": run.metrics()}
    for name, table in tables.items():
        assert table is not None
        plain = table.drop(columns=[column for column in TIMES if column in table])
        hashes[name] = hashlib.sha256(
            pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes()
        ).hexdigest()
        hashes[name] += f" {len(plain)} rows"
    return hashes


def new_run(data: str, **fields: Any) -> str:
    """Make a pretraining; returns its ID."""
    from sgm_core.runs.store import create_run
    from sgm_core.training.config import PretrainConfig

    config = PretrainConfig.from_dict({"data": data, "masker": "self-guided", **QUICK, **fields})
    return create_run("pretrain", data, config.to_dict()).id


def kill_and_compare(data: str, kills: int, epochs: int, seed: int) -> dict[str, Any]:
    """Kill `kills` times in all, and compare every run that came to its end; returns what happened."""
    rng = random.Random(seed)
    attempt(new_run(data, epochs=1), None)  # here, so that the forks find all imported
    alone = new_run(data, epochs=epochs, checkpoint_minutes=1440.0)
    started = time.monotonic()
    attempt(alone, None)
    length = time.monotonic() - started
    expected, done, timed, within, runs = made(alone), 0, 0, 0, 0
    while done < kills:
        run_id = new_run(data, epochs=epochs, checkpoint_minutes=0.0)
        runs += 1
        while True:
            seconds = after = None
            if done < kills:
                if rng.random() < 0.5:
                    after = rng.randint(1, 40)
                else:
                    seconds = rng.uniform(0.1, 0.9) * length
            if forked(run_id, after, seconds):
                break
            done += 1
            timed, within = timed + (seconds is not None), within + (after is not None)
        found = made(run_id)
        differing = [name for name in expected | found if expected.get(name) != found.get(name)]
        assert not differing, f"{run_id} differs in {differing} after {done} kills"
        shutil.rmtree(Path(os.environ["SGM_HOME"]) / "runs" / run_id)
    return {
        "kills": done,
        "timed": timed,
        "within a checkpoint": within,
        "runs": runs,
        "seconds alone": length,
        "compared": expected,
    }


def cost(data: str, epochs: int) -> dict[str, Any]:
    """Return what checkpoints at the defaults take of the time of a training that nobody stops."""
    from sgm_core.saved.keeper import Keeper
    from sgm_core.training import loop

    keepers: list[Keeper] = []
    shares: list[float] = []
    say = Keeper.say_cost

    def noted(self: Keeper) -> None:
        keepers.append(self)
        shares.append(self.share())
        say(self)

    loop.Keeper.say_cost = noted  # type: ignore[method-assign]
    attempt(new_run(data, epochs=epochs, n_genes=400, batch_size=64, checkpoint_minutes=5.0), None)
    return {"checkpoints": keepers[0].written, "seconds": keepers[0].seconds, "share": round(shares[0], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cost", type=int, default=40, metavar="EPOCHS", help="0 = don't measure it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SGM_HOME"] = folder
        import torch

        from sgm_core.cells.simulate import make_demo

        torch.set_num_threads(1)
        make_demo(name="small", n_cells=200)
        found = kill_and_compare("small", args.kills, args.epochs, args.seed)
        if args.cost:
            found["cost at the defaults"] = cost("small", args.cost)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

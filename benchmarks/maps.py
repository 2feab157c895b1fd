"""Maps with UMAP: time, memory, quality, how well the time left is foretold, and how soon a cancel works.

``python benchmarks/maps.py NAME... [--seeds none 0] [--old NAME...] [--cancel NAME] [--out FILE.md]``

NAMEs are datasets in ``$SGM_HOME``; an atlas of any size comes from ``benchmarks/atlas_file.py``. Every map
is a process of its own. Memory is the peak of all its processes together (what they map of the dataset's
files counted in). Quality: trustworthiness (sklearn, 15 neighbours) of the map of 3,000 random cells against
the 50 principal components, and the share of their 15 map neighbours among all cells that are of the cell's
own type. ``--old`` maps as it was done before (the whole matrix, UMAP's own class); ``--cancel`` starts runs
of that dataset and cancels one in each step. About 12 minutes for 345,897 cells with both seeds on 2 cores.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from sgm_core.analysis.embedding import dataset_umap
from sgm_core.analysis.expression import expression_pca
from sgm_core.analysis.pca import fit_pca, most_detected
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.progress import Observer
from sgm_core.runs.launch import launch
from sgm_core.runs.provenance import code_version, hardware
from sgm_core.runs.run import ACTIVE
from sgm_core.runs.store import cancel_run, create_run

_SAMPLE, _K = 3000, 15


class Clock(Observer):
    """Keeps when each share was reached, and when each step began."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shares: list[tuple[float, float]] = []
        self.steps: dict[str, float] = {}

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Keep it."""
        now = time.monotonic() - self.began
        self.shares.append((now, done / total))
        self.steps.setdefault(what.split(":")[0].split(" of ")[0], now)


def new_way(name: str, seed: int | None, target: Path) -> dict[str, Any]:
    """Map a dataset as the program does."""
    clock = Clock()
    dataset_umap(open_dataset(name), seed, clock).to_parquet(target)
    wall = time.monotonic() - clock.began
    foretold = {}
    for share in (0.25, 0.5, 0.75):
        at, reached = next(pair for pair in clock.shares if pair[1] >= share)
        foretold[f"{share:.0%}"] = at * (1 - reached) / reached / (wall - at)
    ends = [*list(clock.steps.values())[1:], wall]
    steps = {step: end - at for (step, at), end in zip(clock.steps.items(), ends, strict=True)}
    return {"wall": wall, "steps": steps, "left": foretold}


def old_way(name: str, seed: int | None, target: Path) -> dict[str, Any]:
    """Map a dataset as it was done at commit e2ba373: one matrix, one call."""
    from sklearn.neighbors import NearestNeighbors
    from umap import UMAP

    began = time.monotonic()
    x = open_dataset(name).lognorm()
    x = x[:, most_detected(x)]
    mean, components = fit_pca(x)
    vectors = np.asarray(x @ components.T - components @ mean, dtype=np.float32)
    known: dict[str, Any] = {}
    if len(vectors) <= 50_000:
        distances, near = NearestNeighbors(algorithm="brute").fit(vectors).kneighbors(n_neighbors=14)
        itself = np.arange(len(vectors))[:, None]
        distances = np.hstack([np.zeros((len(vectors), 1)), distances]).astype(np.float32)
        known = {"precomputed_knn": (np.hstack([itself, near]), distances)}
    xy = UMAP(
        n_neighbors=15, min_dist=0.3, n_epochs=200, random_state=seed, n_jobs=1,
        force_approximation_algorithm=True, **known,
    ).fit_transform(vectors)  # fmt: skip
    pd.DataFrame({"cell": np.arange(len(xy)), "x": xy[:, 0], "y": xy[:, 1]}).to_parquet(target)
    return {"wall": time.monotonic() - began}


def quality(dataset: Dataset, vectors: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """Return a map's trustworthiness and the share of map neighbours of the cell's own type."""
    from scipy.spatial import KDTree
    from sklearn.manifold import trustworthiness

    some = np.random.default_rng(0).choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False)
    xy, types = table[["x", "y"]].to_numpy(), dataset.labels().to_numpy()
    near = KDTree(xy).query(xy[some], k=_K + 1)[1][:, 1:]
    labelled = np.array([kind is not None for kind in types[some]])
    own = (types[near] == types[some][:, None])[labelled].mean()
    return {
        "trustworthiness": float(trustworthiness(vectors[some], xy[some], n_neighbors=_K)),
        "own type": float(own),
    }


def measured(name: str, way: str, seed: int | None, target: Path) -> dict[str, Any]:
    """Map in a process of its own, watched: its seconds, the processor's, and bytes at the most."""
    command = [sys.executable, __file__, name, "--one", way, str(seed), str(target)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watched, peak, cpu = psutil.Process(child.pid), 0, {}
    while child.poll() is None:
        total = 0
        for process in (watched, *_below(watched)):
            try:
                total += process.memory_info().rss
                times = process.cpu_times()
                cpu[process.pid] = times.user + times.system
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.05)
    if child.returncode or child.stdout is None:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return json.loads(child.stdout.read().splitlines()[-1]) | {"cpu": sum(cpu.values()), "peak": peak}


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def cancel_seconds(name: str, step: str) -> tuple[float, str]:
    """Start a run, cancel it when the step has begun; return how long it then lives, and its last words."""
    run = create_run("umap", name, {"data": name})
    launch(run)
    while step not in str((run.status["progress"] or {}).get("what")):
        if not run.active:
            raise SystemExit(f"run {run.id} ended in state {run.state} before {step!r}")
        time.sleep(0.05)
    said = run.status["progress"]["what"]
    began = time.monotonic()
    cancel_run(run.id)
    while run.state in ACTIVE or run.process_alive():
        time.sleep(0.02)
    assert run.state == "cancelled", run.status
    return time.monotonic() - began, said


def _row(name: str, dataset: Dataset, way: str, seed: int | None, found: dict[str, Any]) -> str:
    left = " / ".join(f"{ratio:.2f}" for ratio in found.get("left", {}).values()) or "nothing told"
    shown = "none" if seed is None else seed
    return (
        f"| {name} | {dataset.n_cells:,} | {way} | {shown} | {found['wall']:,.0f} | "
        f"{found['cpu']:,.0f} | {found['peak'] / 1e9:.2f} | {found['trustworthiness']:.4f} | "
        f"{found['own type']:.3f} | {left} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--seeds", nargs="+", default=["none", "0"], metavar="SEED")
    parser.add_argument("--old", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--cancel", metavar="NAME")
    parser.add_argument("--out", type=Path, metavar="FILE.md")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way, seed, target = args.one
        work = {"new": new_way, "old": old_way}[way]
        print(json.dumps(work(args.names[0], None if seed == "None" else int(seed), Path(target))))
        return
    machine = hardware()
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"Code {code_version()}, {machine['cpu']}, {machine['cores']} cores; load before: {load}.",
        "",
        "| data | cells | way | seed | wall s | cpu s | peak GB | trustworthiness | own type | "
        "time left foretold at 25 / 50 / 75 %, of the true one |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    steps: list[str] = []
    seeds = [None if seed == "none" else int(seed) for seed in args.seeds]
    target = Path(os.environ.get("TMPDIR", "/tmp")) / f"umap-{os.getpid()}.parquet"
    for name in dict.fromkeys([*args.names, *args.old]):
        dataset = open_dataset(name)
        vectors = expression_pca(dataset, None, lambda share, what: None)
        ways = [("new", seed) for seed in seeds if name in args.names]
        for way, seed in ways + [("old", 0)] * (name in args.old):
            found = measured(name, way, seed, target)
            found |= quality(dataset, vectors, pd.read_parquet(target))
            lines.append(_row(name, dataset, way, seed, found))
            print(lines[-1], flush=True)
            if way == "new":
                shown = ", ".join(f"{step} {took:.0f}" for step, took in found["steps"].items())
                steps.append(f"{name}, seed {'none' if seed is None else seed}: {shown} s.")
    target.unlink(missing_ok=True)
    lines += ["", *steps]
    if args.cancel:
        for step in ("genes' variation", "principal components", "nearest neighbours", "graph", "layout"):
            took, said = cancel_seconds(args.cancel, step)
            lines.append(f"Cancelled {args.cancel} at '{said}': its processes were gone after {took:.1f} s.")
    print("\n".join(lines[lines.index("", 3) :]))
    if args.out:
        args.out.write_text("# Maps\n\n" + f"`python {' '.join(sys.argv)}`\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Speed and memory of scGPT and scBERT at their released sizes, against the plain ways to run them.

``python benchmarks/backbones.py [--models scgpt,scbert] [--cells N] [--rounds N] [--device cuda]
[--batch N] [--out FILE.md]``

Random weights of the released sizes; synthetic cells of 300 to 2,400 expressed genes, of which scGPT reads
at most 1,199. Runs alternate in one go, each in a process of its own, so that memory is a peak of that run
alone; their numbers are held against each other. On a CPU the time is the processor's, so that other programs
count little. A pretraining step is codes, mask, forward, backward and
Adam, `--batch` cells an update, whichever way they are shared out.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from reference_others import PlainScBERT, PlainScGPT

from sgm_core.model.build import build_backbone
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import pack
from sgm_core.runs.provenance import code_version, hardware
from sgm_core.training.memory import keep_freed_memory

SIZES: dict[str, dict[str, Any]] = {
    "scgpt": {
        "n_genes": 60694,
        "width": 512,
        "depth": 12,
        "heads": 8,
        "ff": 1.0,
        "bins": 51,
        "max_length": 1200,
        "pool": ("cls",),
    },
    "scbert": {
        "n_genes": 16906,
        "width": 200,
        "depth": 6,
        "heads": 10,
        "head_dim": 64,
        "ff": 4.0,
        "bins": 6,
        "pool": ("mean",),
    },
}
RATIOS = {"scgpt": 0.4, "scbert": 0.15}
PATHS = {
    "encode": ("reference", "ours"),
    "pretrain": ("reference", "reference-undropped", "ours", "recompute"),
}


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    shape = {"value_scaling": False, "cell_context": False, "kind": kind, "compat": "official", **SIZES[kind]}
    return build_backbone(BackboneConfig(**shape))


def cells(kind: str, count: int, device: str) -> Tensor:
    """Return values (n, L) of cells of 300 to 2,400 expressed genes."""
    generator = torch.Generator().manual_seed(0)
    n_genes = SIZES[kind]["n_genes"]
    x = torch.zeros(count, n_genes + 1)
    for i, row in enumerate(x):
        expressed = int(300 + 2100 * (i + 0.5) / count)
        at = torch.randperm(n_genes, generator=generator)[:expressed]
        row[at] = torch.rand(expressed, generator=generator) * 3 + 0.5
    return x[torch.randperm(count, generator=generator)].to(device)


def hide(model: Any, codes: Tensor, ratio: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(codes.shape, generator=generator).to(codes.device) < ratio
    return drawn & model.maskable(codes) & (codes > 0)


def clock(device: str) -> float:
    """Return the seconds of the clock when all is done on a GPU, of the processor otherwise."""
    if device != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one part in this process."""
    kind, what, path = options.part.split(":")
    if path in ("ours", "recompute"):
        keep_freed_memory()
    model = model_of(kind).to(options.device)
    x = cells(kind, options.cells, options.device)
    dropout = 0.2 if path == "reference" and what == "pretrain" else 0.0
    plain = PlainScGPT(model, dropout) if kind == "scgpt" else PlainScBERT(model)
    plain.to(options.device)
    run = (
        _encoder(model, plain, path, options)
        if what == "encode"
        else _step(kind, model, plain, path, options)
    )
    check = run(x[:1])  # also warms up
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = clock(options.device)
    run(x)
    taken = clock(options.device) - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_allocated() if options.device == "cuda" else peak
    return {"cells_per_s": len(x) / taken, "gb": peak / 1e9, "check": check}


def _encoder(
    model: Any, plain: Any, path: str, options: argparse.Namespace
) -> Callable[[Tensor], list[float]]:
    model.eval(), plain.eval()
    size = options.encoded if model.config.kind == "scgpt" or options.device == "cuda" else 1

    @torch.no_grad()
    def run(x: Tensor) -> list[float]:
        made = []
        for part in x.split(size):
            codes = model.codes(part)
            if path == "reference":
                made.append(plain.cells(codes))
            else:
                made.append(model.pool(model.encode(codes, model.shown(codes)), part))
        return torch.cat(made)[:2, :4].flatten().tolist()

    return run


def _step(
    kind: str, model: Any, plain: Any, path: str, options: argparse.Namespace
) -> Callable[[Tensor], list]:
    model.train(), plain.train()
    model.recompute = path == "recompute"
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    size = options.batch if kind == "scgpt" else 1

    def run(x: Tensor) -> list[float]:
        losses = []
        for update in x.split(options.batch):
            optimiser.zero_grad()
            for part in update.split(size):
                codes = model.codes(part)
                hidden = hide(model, codes, RATIOS[kind])
                if path.startswith("reference"):
                    loss = plain.loss(codes, hidden)
                else:
                    at, real = pack(hidden)
                    encoded = model.encode(codes, model.shown(codes) & ~hidden, None, hidden)
                    loss = model.score(encoded, hidden, at, real, codes).loss
                (loss * len(part) / len(update)).backward()
                losses.append(float(loss.detach()))
            optimiser.step()
        return losses[:1]

    return run


def part(name: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", name]
    for option in ("cells", "batch", "encoded", "device"):
        command += [f"--{option}", str(getattr(options, option))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:80]}
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="scgpt,scbert")
    parser.add_argument("--parts", default="encode,pretrain")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4, help="cells of an update")
    parser.add_argument("--encoded", type=int, default=8, help="cells encoded at once")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options)))
        return
    lines = [
        "| model | what | path | cells/s | ratio | peak memory | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in options.models.split(","):
        for what in options.parts.split(","):
            lines += table(kind, what, options)
    text = "\n".join(lines)
    print(f"{code_version()}, {hardware()}, torch {torch.__version__}\n\n{text}")
    if options.out:
        options.out.write_text(text + "\n")


def table(kind: str, what: str, options: argparse.Namespace) -> list[str]:
    """Return the lines of one part: each path in turn, round after round."""
    found: dict[str, list[dict[str, Any]]] = {path: [] for path in PATHS[what]}
    for _ in range(options.rounds):
        for path, results in found.items():
            results.append(part(f"{kind}:{what}:{path}", options))
            print(kind, what, path, results[-1], file=sys.stderr, flush=True)
    lines = []
    base = found["reference"]
    for path, results in found.items():
        bad = next((one["failed"] for one in (*results, *base) if "failed" in one), None)
        if bad:
            lines.append(f"| {kind} | {what} | {path} | {bad} | | | |")
            continue
        if path != "reference-undropped" or what == "encode":
            for ours, theirs in zip(results[0]["check"], found[_alike(what, kind)][0]["check"], strict=True):
                assert path == "reference" or abs(ours - theirs) <= 2e-3 * max(1.0, abs(theirs)), (
                    ours,
                    theirs,
                )
        speed, memory = (statistics.median(one[name] for one in results) for name in ("cells_per_s", "gb"))
        speed_0, memory_0 = (statistics.median(one[name] for one in base) for name in ("cells_per_s", "gb"))
        rates = [one["cells_per_s"] for one in results]
        spread = f" ({min(rates):.3g} to {max(rates):.3g})" if len(rates) > 1 else ""
        taken = (
            f"{speed:.3g}{spread} | **{speed / speed_0:.2f}x** | {memory:.1f} GB | {memory / memory_0:.2f}x"
        )
        lines.append(f"| {kind} | {what} | {path} | {taken} |")
    return lines


def _alike(what: str, kind: str) -> str:
    """Return the path without dropout, whose numbers ours must be."""
    return "reference-undropped" if what == "pretrain" else "reference"


if __name__ == "__main__":
    main()

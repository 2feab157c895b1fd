"""Speed and memory of the full-size backbone, against the plain way to run it (`reference.py`).

``python benchmarks/backbone.py [--data NAME] [--genes GENE_LIST] [--cells N] [--rounds N] [--device cuda]
[--batch N] [--out FILE.md]``

Random weights of the released size (119 M parameters). Synthetic cells have 2,000 expressed genes; with an
imported dataset and the backbone's gene list its real cells are measured as well. Every figure is a ratio
of runs that alternate in one go, each in a process of its own, so that memory is a peak of that run alone.
About 35 minutes on 2 cores with ``--cells 2 --rounds 2``.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from reference import Reference

from sgm_core.model.backbone import Backbone
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import cell_noise, draw_masks
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.runs.provenance import code_version, hardware
from sgm_core.training.config import FinetuneConfig, pretrain_config
from sgm_core.training.memory import keep_freed_memory

N_GENES, EXPRESSED, UPDATE = 19264, 2000, 4  # UPDATE: cells a pretraining update, on both paths
FULL = BackboneConfig(
    N_GENES,
    width=768,
    depth=12,
    heads=12,
    decoder_width=512,
    decoder_depth=6,
    decoder_heads=8,
    decoder_head_dim=64,
    bins=100,
    value_scaling=False,
    cell_context=False,
    depth_tokens=True,
    pool=("max",),
)


def backbone() -> Backbone:
    """Random weights of the released size, with values of the size that trained ones have."""
    torch.manual_seed(0)
    model = Backbone(FULL)
    with torch.no_grad():
        model.positions.weight.mul_(0.02)
        model.values.table.mul_(0.02)
    return model


def masked_model(preset: str, masker: str, summary: str) -> MaskedModel:
    config = pretrain_config(preset, masker=masker, summary=summary, mask_basis="strata")
    eligible = torch.arange(N_GENES + 2) < N_GENES
    return MaskedModel(backbone(), config.to_dict(), eligible)


def cells(options: argparse.Namespace) -> Tensor:
    """Return the cells (n, L) to measure with: synthetic, or real ones spread over all lengths."""
    return _cells(options).to(options.device)


def _cells(options: argparse.Namespace) -> Tensor:
    if options.real:
        from sgm_core.cells.dataset import open_dataset
        from sgm_core.model.gene_list import check_genes
        from sgm_core.training.data import VocabularyValues

        dataset, genes = open_dataset(options.data), check_genes(options.genes, N_GENES)
        values = VocabularyValues(dataset, genes, torch.device("cpu"), "a0")
        order = np.argsort(values.lengths, kind="stable")
        share = (np.arange(options.cells) + 0.5) / options.cells
        rows = order[(share * len(order)).astype(int)]
        return values.batch(np.random.default_rng(0).permutation(rows))
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(options.cells, N_GENES + 2)
    for row in x:
        at = torch.randperm(N_GENES, generator=generator)[:EXPRESSED]
        row[at] = torch.rand(EXPRESSED, generator=generator) * 3 + 0.3
    x[:, -2:] = 4.0
    return x


def clock() -> float:
    """Return the time when everything asked for is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], object]) -> float:
    started = clock()
    work()
    return clock() - started


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one part in this process."""
    what, _, variant = options.part.partition(":")
    if not variant.startswith("reference") and variant not in ("plain", "no-heap"):
        keep_freed_memory()
    return PARTS[what](options, variant)


def encode(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Encode all cells: one by one on the reference path, packed on ours."""
    model, x = backbone().to(options.device).eval(), cells(options)
    reference = Reference(model).eval()
    torch.backends.mha.set_fastpath_enabled(variant != "reference-unfused")

    @torch.no_grad()
    def run(x: Tensor) -> Tensor:
        if variant.startswith("reference"):
            return torch.stack([reference.encode(one[None], one[None] > 0)[0].amax((0, 1)) for one in x])
        out = []
        with torch.autocast(options.device, torch.bfloat16, enabled=variant == "bf16"):
            for part in x.split(options.batch):
                out.append(model.pool(model.encode(part, model.shown(part)), part).float())
        return torch.cat(out)

    run(x[:1])
    taken = seconds(lambda: run(x))
    return {"cells_per_s": len(x) / taken, "check": run(x[:2])[:, :8].tolist()}


def step(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Pretrain: draw masks, forward, backward, and an update of Adam every four cells."""
    if variant.startswith("reference"):
        model: torch.nn.Module = Reference(backbone(), 0.0 if variant == "reference-undropped" else 0.1)
    else:
        preset, masker, summary = {
            "guided": ("sgm", "self-guided", "both"),
            "guided-paper": ("paper", "self-guided", "both"),
        }.get(variant, ("sgm", "uniform", "none"))
        model = masked_model(preset, masker, summary)
        model.backbone.recompute = variant == "recompute"
    model.to(options.device).train()
    size = 1 if variant.startswith("reference") else options.batch
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)
    x = cells(options)
    noise = cell_noise(0, 0, 0, np.arange(len(x)), N_GENES + 2).to(x.device)
    eligible = torch.arange(N_GENES + 2, device=x.device) < N_GENES
    subset = torch.zeros(len(x), 2, dtype=torch.int64, device=x.device)
    losses: list[float] = []
    drawing = 0.0

    def run(x: Tensor) -> None:
        nonlocal drawing
        for i in range(0, len(x), size):
            one = slice(i, i + size)
            if isinstance(model, Reference):
                log_importance = torch.zeros_like(x[one])
                loss = model.loss(
                    x[one], draw_masks(log_importance, noise[one], x[one], eligible, "strata", 0.3, 0.03)
                )
            else:
                with torch.autocast(options.device, torch.bfloat16, enabled=variant == "bf16"):
                    started = clock()
                    drawn = model.draw(x[one], noise[one], subset[one])
                    drawing += clock() - started
                    loss = model(x[one], drawn.masked).loss
            (loss * size / UPDATE).backward()
            losses.append(float(loss.detach()))
            if (i + size) % UPDATE == 0 or i + size >= len(x):
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)

    run(x[:1])
    drawing, losses[:] = 0.0, []
    taken = seconds(lambda: run(x))
    return {"cells_per_s": len(x) / taken, "draw_share": drawing / taken, "check": losses[:1]}


def packing(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Encode ragged cells in batches of four, packed or padded to the longest."""
    model, x = backbone().to(options.device).eval(), cells(options)
    reference = Reference(model).eval()
    torch.backends.mha.set_fastpath_enabled(False)

    @torch.no_grad()
    def run(x: Tensor) -> None:
        for part in x.split(4):
            if variant == "padded":
                reference.encode(part, part > 0)
            else:
                model.encode(part, model.shown(part))

    run(x[:1])
    return {"cells_per_s": len(x) / seconds(lambda: run(x))}


def features(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """One layer's linear attention, forward and backward, over all 19,266 positions."""
    from reference import _attention

    layer = backbone().to(options.device).decoder[0].attention
    x = torch.randn(1, N_GENES + 2, FULL.decoder_width, device=options.device, requires_grad=True)

    def run() -> None:
        out = _attention(layer, x) if variant == "plain" else layer(x)
        out.square().mean().backward()

    run()
    return {"cells_per_s": 3 / seconds(lambda: [run() for _ in range(3)])}


def compiled(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """One decoder layer's feed-forward part, forward and backward, eager or by torch.compile."""
    block = backbone().to(options.device).decoder[0]
    x = torch.randn(1, N_GENES + 2, FULL.decoder_width, device=options.device, requires_grad=True)

    def feed_forward(x: Tensor) -> Tensor:
        return x + block.ff2(torch.nn.functional.gelu(block.ff1(block.norm2(x))))

    work = torch.compile(feed_forward) if variant == "compiled" else feed_forward

    def run() -> None:
        work(x).square().mean().backward()

    run()
    return {"cells_per_s": 3 / seconds(lambda: [run() for _ in range(3)])}


def last_block(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """An epoch of finetuning the last block and the head, with the blocks before it cached or not."""
    from sgm_core.model.head import Head

    model, x = backbone().to(options.device), cells(options)
    model.requires_grad_(False)
    model.blocks[-1].requires_grad_(True)
    head = Head(FULL.pooled_width, 17).to(options.device)
    optimiser = torch.optim.Adam([*model.blocks[-1].parameters(), *head.parameters()], 1e-4)
    before, last = FULL.depth - 1, FULL.depth
    y = torch.arange(len(x), device=x.device) % 17

    def prefix(part: Tensor) -> Any:
        with torch.no_grad():
            return model.through(model.embed_tokens(part, model.shown(part)), 0, before)

    kept = [prefix(part) for part in x.split(4)] if variant == "cached" else None

    def epoch() -> None:
        for number, part in enumerate(x.split(4)):
            start = kept[number] if kept is not None else prefix(part)
            pooled = model.pool(model.through(start, before, last), part)
            loss = torch.nn.functional.cross_entropy(head(pooled), y[number * 4 : number * 4 + len(part)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    epoch()
    return {"cells_per_s": len(x) / seconds(epoch)}


def linear_probe(options: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Train the head on the cached vectors of 10,000 cells, for 5 folds of 2,000 test cells."""
    from sgm_core.training.probe import probe

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 17, 10_000)
    centres = rng.normal(size=(17, FULL.pooled_width))
    x = (centres[codes] + rng.normal(size=(10_000, FULL.pooled_width))).astype(np.float32)
    fold = np.arange(10_000) % 5
    config = FinetuneConfig(run="benchmark")

    def run() -> None:
        for k in range(5):
            chosen_by, train = fold == (k + 1) % 5, ~np.isin(fold, (k, (k + 1) % 5))
            probe(x[train], codes[train], x[chosen_by], codes[chosen_by], x[fold == k], 17, config)

    return {"seconds_per_fold": seconds(run) / 5}


PARTS: dict[str, Callable[[argparse.Namespace, str], dict[str, Any]]] = {
    "encode": encode,
    "step": step,
    "packing": packing,
    "features": features,
    "compile": compiled,
    "last-block": last_block,
    "linear-probe": linear_probe,
}


def child(part: str, options: argparse.Namespace, real: bool, n_cells: int) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--cells", str(n_cells)]
    if real:
        command += ["--real", "--data", options.data, "--genes", str(options.genes)]
    command += ["--device", options.device, "--batch", str(options.batch)]
    print(f"{part} {'real' if real else 'synthetic'} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{part} failed:\n{done.stderr}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def compare(
    name: str, parts: tuple[str, ...], options: argparse.Namespace, real: bool, n_cells: int, rounds: int = 0
) -> list[str]:
    """Alternate the parts and return one table row for each, as ratios to the first."""
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in parts}
    for _ in range(rounds or options.rounds):
        for part in parts:
            found[part].append(child(part, options, real, n_cells))

    def middle(part: str, key: str) -> float:
        return statistics.median(result[key] for result in found[part])

    base, rows = parts[0], []
    for part in parts:
        speed, memory = middle(part, "cells_per_s"), middle(part, "peak_gb")
        ratio, share = speed / middle(base, "cells_per_s"), memory / middle(base, "peak_gb")
        spread = [result["cells_per_s"] for result in found[part]]
        draw = found[part][0].get("draw_share")
        rows.append(
            f"| {name} | {part.partition(':')[2]} | {speed:.3f} ({min(spread):.3f} to {max(spread):.3f}) | "
            f"**{ratio:.2f}x** | {memory:.1f} GB | {share:.2f}x | "
            f"{'' if draw is None else f'{draw:.1%}'} |"
        )
    checks = [found[part][0]["check"] for part in parts if "check" in found[part][0] and "bf16" not in part]
    for check in checks[1:]:
        if "step" not in base and not np.allclose(check, checks[0], atol=1e-4):
            raise SystemExit(f"{name}: the paths disagree")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="an imported dataset, for its real cells")
    parser.add_argument("--genes", type=Path, help="OS_scRNA_gene_index.19264.tsv")
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=1, help="cells a step on our path")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--real", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        result = measure(options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if options.device != "cpu":
            peak = torch.cuda.max_memory_allocated()
        print(json.dumps({**result, "peak_gb": peak / 1e9}))
        return
    encoders = ("encode:reference", "encode:reference-unfused", "encode:ours", "encode:bf16")
    steps = ("step:reference", "step:ours")
    names = ("ours", "reference-undropped", "no-heap", "recompute", "bf16", "guided", "guided-paper")
    variants = tuple(f"step:{name}" for name in names)
    n = options.cells
    rows = compare("encoder, 2,000 genes", encoders, options, False, 2 * n)
    rows += compare("pretraining, 2,000 genes", steps, options, False, n)
    rows += compare("variants of pretraining", variants, options, False, n, rounds=1)
    rows += compare("linear attention, a layer", ("features:plain", "features:chunked"), options, False, 1)
    rows += compare("feed-forward, a layer", ("compile:eager", "compile:compiled"), options, False, 1)
    rows += compare("last block", ("last-block:uncached", "last-block:cached"), options, False, 2 * n)
    if options.data:
        rows += compare("encoder, real cells", encoders[:3], options, True, 8 * n)
        rows += compare("batches of 4 real cells", ("packing:padded", "packing:packed"), options, True, 8 * n)
        rows += compare("pretraining, real cells", steps, options, True, n)
    fold = child("linear-probe", options, False, 1)["seconds_per_fold"]
    machine = hardware()
    text = [
        f"`python benchmarks/backbone.py {' '.join(sys.argv[1:])}`, code {code_version()}, "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, torch {machine['torch']}; "
        f"median (and range) of {options.rounds} alternating rounds.",
        "",
        "| what | path | cells/s | ratio | peak memory | ratio | drawing masks |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Linear probe on 10,000 cached vectors of width {FULL.pooled_width}: {fold:.1f} s a fold.",
    ]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()

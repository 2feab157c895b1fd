"""What a run will take: tokens, parameters, memory, time; and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from other_bundles import KINDS, other_bundle

from sgm_core import device as machine
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate import fit, formula, run
from sgm_core.estimate.run import Estimate, estimate_run
from sgm_core.estimate.text import report
from sgm_core.model.backbone import BackboneConfig
from sgm_core.model.build import build_backbone
from sgm_core.model.bundle import open_bundle
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.sizes import SIZES, parameters, shape_fields
from sgm_core.runs.store import create_run
from sgm_core.training.backbones import default_arms
from sgm_core.training.config import FinetuneConfig, PretrainConfig, pretrain_config
from sgm_core.training.tokens import Tokens, informative_tokens, vocabulary_tokens

GB = 10**9
RELEASED = {
    **{"n_genes": 19264, "depth_tokens": True, "width": 768, "depth": 12, "heads": 12, "ff": 4},
    **{"decoder_width": 512, "decoder_depth": 6, "decoder_heads": 8, "decoder_head_dim": 64},
    **{"bins": 100, "cell_context": False, "pool": ("max",), "attention_dropout": 0.0},
}

SCGPT = {"n_genes": 60694, "width": 512, "depth": 12, "heads": 8, "ff": 1.0, "bins": 51, "kind": "scgpt"}
SCBERT = {
    **{"n_genes": 16906, "width": 200, "depth": 6, "heads": 10, "head_dim": 64, "ff": 4.0, "bins": 6},
    "kind": "scbert",
}


@pytest.fixture
def a_machine(monkeypatch: pytest.MonkeyPatch):
    """Let this machine have so much memory."""

    def have(total: float, free: float | None = None) -> None:
        there = machine.Memory(int(total), int(free if free is not None else total), "memory")
        monkeypatch.setattr(machine, "memory", lambda device: there)

    return have


@pytest.mark.parametrize("shape", [*(shape_fields(size, 2000) for size in SIZES), RELEASED])
def test_the_parameters_are_those_of_what_is_built(shape: dict) -> None:
    import torch

    from sgm_core.model.build import build_backbone
    from sgm_core.model.interface import BackboneConfig

    with torch.device("meta"):
        backbone = build_backbone(BackboneConfig(**shape))
    counted = parameters(shape)
    assert sum(counted) == pytest.approx(sum(p.numel() for p in backbone.parameters()), rel=0.03)
    if shape.get("kind") == "dense":
        return
    for blocks, number in ((backbone.blocks, counted.encoder), (backbone.decoder, counted.decoder)):
        assert number == pytest.approx(sum(p.numel() for p in blocks.parameters()), rel=0.1)


def test_the_formula_gives_what_was_measured(demo_dataset: Dataset) -> None:
    """Figures of benchmarks/results/backbone.md, two cores; a factor of 2 is promised."""
    config = PretrainConfig(data="small", masker="uniform", summary="none", batch_size=1, device="cpu")
    tokens = Tokens(np.array([2002]), 19266, exact=True)
    assert formula.train_seconds(config, RELEASED, tokens, 2) == pytest.approx(1 / 0.057, rel=0.3)
    assert formula.pass_seconds(config, RELEASED, tokens, 2) == pytest.approx(1 / 0.479, rel=0.5)
    in_step = formula.activations(config, RELEASED, np.array([0.7 * 2002]), decodes=19266)
    parts = formula.memory(config, RELEASED, tokens, sum(parameters(RELEASED)), in_step)
    assert sum(parts.values()) == pytest.approx(6.2 * GB, rel=0.2)
    assert sum(parts.values()) - parts["optimiser"] == pytest.approx(4.9 * GB, rel=0.2)
    less = PretrainConfig.from_dict({**config.to_dict(), "recompute": True})
    in_step = formula.activations(less, RELEASED, np.array([0.7 * 2002]), decodes=19266)
    parts = formula.memory(less, RELEASED, tokens, sum(parameters(RELEASED)), in_step)
    assert sum(parts.values()) == pytest.approx(5.0 * GB, rel=0.3)


def test_the_formula_gives_what_was_measured_of_scgpt() -> None:
    """Figures of benchmarks/results/backbones.md, one core: four cells of 562 to 1,200 tokens."""
    config = PretrainConfig(data="small", masker="uniform", summary="none", batch_size=4, device="cpu")
    shape = {**SCGPT, "decoder_width": 32, "decoder_depth": 1, "attention_dropout": 0.0, "pool": ("cls",)}
    tokens = Tokens(np.array([563, 1088, 1200, 1200]), 60694, exact=True)
    assert formula.pass_seconds(config, shape, tokens, 1) == pytest.approx(1 / 1.2, rel=0.5)
    assert formula.train_seconds(config, shape, tokens, 1) == pytest.approx(1 / 0.337, rel=0.5)
    in_step = formula.activations(config, shape, tokens.counts.astype(float), decodes=1600)
    parts = formula.memory(config, shape, tokens, sum(parameters(shape)), in_step)
    assert sum(parts.values()) == pytest.approx(2.6 * GB, rel=0.3)


def test_tokens_of_a_vocabulary_are_exact(demo_dataset: Dataset) -> None:
    half = (*map(str, demo_dataset.genes[::2]), "NOT-A-GENE")
    tokens = vocabulary_tokens(demo_dataset, half, {"depth_tokens": True})
    expected = np.asarray((demo_dataset.counts()[:, ::2] > 0).sum(1)).ravel() + 2
    assert np.array_equal(tokens.counts, expected)
    assert tokens.exact and tokens.longest == expected.max()
    assert tokens.over(int(np.median(expected))) == (expected > np.median(expected)).sum()
    with pytest.raises(InputError, match="vocabulary"):
        vocabulary_tokens(demo_dataset, ("A", "B"), {})


def test_tokens_of_informative_genes_are_close_to_those_trained_on(demo_dataset: Dataset) -> None:
    from sgm_core.training.data import informative_genes

    genes = informative_genes(demo_dataset, np.arange(demo_dataset.n_cells), 200)
    real = np.asarray((demo_dataset.counts()[:, genes] > 0).sum(1)).ravel()
    assert informative_tokens(demo_dataset, 200).mean == pytest.approx(real.mean(), rel=0.1)


def test_estimates_grow_with_the_work(demo_dataset: Dataset) -> None:
    def estimate(**fields) -> Estimate:
        config = PretrainConfig(data="small", device="cpu", **{"backbone": "tiny", **fields})
        return estimate_run(config, demo_dataset)

    one, three, small = estimate(epochs=1), estimate(epochs=3), estimate(epochs=1, backbone="small")
    assert one.seconds < three.seconds and one.seconds < small.seconds
    assert three.seconds_per_epoch == one.seconds_per_epoch
    assert estimate(batch_size=64).memory_bytes > estimate(batch_size=8).memory_bytes
    kept, large = "activations", {"backbone": "small", "n_genes": 1000, "batch_size": 64}
    whole = estimate(**large).memory[kept]
    assert estimate(**large, recompute=True).memory[kept] < 0.7 * whole
    assert estimate(**large, attention_dropout=0.1).memory[kept] > whole
    assert estimate(patience=2).memory["weights"] == 2 * estimate().memory["weights"]
    assert estimate(amsgrad=True).memory["optimiser"] == 1.5 * estimate().memory["optimiser"]


def test_memory_does_not_go_with_the_counts_and_time_not_with_all_cells(demo_dataset: Dataset) -> None:
    """Seen: every process held all counts three times over, 11 GB at 345,897 cells."""
    counts = replace(demo_dataset, meta={**demo_dataset.meta, "n_cells": 600_000})
    small, large = (formula.cell_bytes(dataset) for dataset in (demo_dataset, counts))
    assert large - small < 0.3e9
    config = PretrainConfig(data="small", device="cpu", n_genes=60, fold=0)
    whole, part = (estimate_run(replace(config, train_cells=n), demo_dataset) for n in (None, 40))
    assert part.cells == 40 and part.seconds_per_epoch < whole.seconds_per_epoch / 3
    comparison = CompareConfig(data="small", folds=3, pretrain={"n_genes": 60}, device="cpu")
    whole, part = (estimate_run(replace(comparison, train_cells=n), demo_dataset) for n in (None, 40))
    assert part.seconds < whole.seconds


def test_a_comparison_counts_folds_seeds_and_processes(
    demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimate(**fields) -> Estimate:
        return estimate_run(CompareConfig(data="small", device="cpu", **fields), demo_dataset)

    some, more = estimate(folds=3), estimate(folds=5)
    assert some.seconds < more.seconds and (some.folds, more.folds) == (3, 5)
    assert (estimate(seeds=1).pretrainings, some.pretrainings) == (20, 24)
    assert estimate(split="holdout").pretrainings == 8
    for part in ("tokens per cell", "memory", "an epoch", "in all", "rests on"):
        assert part in report(some)
    # seen: 64 processes were counted where there are four tasks, and the run refused
    few = {"folds": 2, "arms": ("uniform",), "umap": False}
    gathers = 10**9
    for cores, processes in ((1, 1), (3, 3), (64, 4)):
        monkeypatch.setattr("sgm_core.comparison.arms.usable_cores", lambda cores=cores: cores)
        found = estimate(**few)
        assert found.processes == processes
        one = sum(found.memory.values())
        assert found.memory_bytes == pytest.approx(processes * one + gathers, rel=1e-6)


def test_schemes_of_finetuning_differ_as_they_do(demo_dataset: Dataset) -> None:
    source = PretrainConfig(data="small", backbone="small", device="cpu")
    run = create_run("pretrain", "small", source.to_dict())

    def estimate(scheme: str, **fields) -> Estimate:
        config = FinetuneConfig(run=run.id, scheme=scheme, device="cpu", epochs=50, **fields)
        return estimate_run(config, demo_dataset)

    probe, partial, last, official = map(estimate, ("linear-probe", "partial", "last-block", "official"))
    assert probe.seconds < last.seconds < official.seconds < partial.seconds
    assert estimate("partial", fold=1).seconds < partial.seconds / 3
    disk = 2 * SIZES["small"]["width"] * last.tokens.mean * last.cells
    assert last.disk_bytes == official.disk_bytes == pytest.approx(disk, rel=1e-6)
    assert probe.disk_bytes == partial.disk_bytes == 0


def test_measured_steps_take_the_place_of_the_formula(demo_dataset: Dataset) -> None:
    config = PretrainConfig(data="small", epochs=2, device="cpu")
    step = {"cell_s": 2.0, "peak_bytes": 5 * GB, "steps": 3, "batch_size": 32, "asked": 32, "device": "a GPU"}
    step["setup_s"] = 1.0
    counted = estimate_run(config, demo_dataset)
    parts = {"pretrain": step, "encode": {**step, "cell_s": 0.5}}
    found = estimate_run(config, demo_dataset, parts)
    assert found.memory_bytes == 5 * GB and found.measured and not counted.measured
    assert found.seconds_per_epoch == pytest.approx(found.cells * 2 + 30 * 0.8)
    own = 2 * found.seconds_per_epoch + demo_dataset.n_cells * 0.5 + 1
    assert own + 30 * 0.8 < found.seconds < own + 30 * 0.8 + 5, "the check reconstructs the same 30 cells"
    assert "3 steps of 32 cells measured on a GPU" in found.basis
    more = estimate_run(config, demo_dataset, {"pretrain": {**step, "batch_size": 16}}).memory_bytes
    assert more - 5 * GB == pytest.approx(counted.memory["activations"] / 2, rel=0.01)
    compare = CompareConfig(data="small", device="cpu")
    all_ = estimate_run(compare, demo_dataset, parts)
    assert all_.memory_bytes == all_.processes * 5 * GB + GB


def test_what_cannot_fit_is_refused_with_what_would(demo_dataset: Dataset, a_machine) -> None:
    config = PretrainConfig(data="small", backbone="small", batch_size=500, device="cpu")
    needed = estimate_run(config, demo_dataset).memory_bytes
    a_machine(needed / 3)
    with pytest.raises(InputError, match=r"this would fit: --set recompute=true") as refused:
        fit.require_fit(config, demo_dataset)
    text = str(refused.value)
    assert f"{needed / 1e9:,.1f} GB" in text and "this machine has" in text
    changes = fit.suggestion(config, demo_dataset, estimate_run(config, demo_dataset))
    assert changes is not None
    assert fit.problem(estimate_run(fit.with_changes(config, changes), demo_dataset)) is None
    if "accumulation" in changes:
        assert changes["batch_size"] * changes["accumulation"] == pytest.approx(500, rel=0.05)


def test_the_search_ends_at_a_smaller_backbone_and_says_when_nothing_fits(
    demo_dataset: Dataset, a_machine
) -> None:
    fields = {"data": "small", "batch_size": 1, "recompute": True, "device": "cpu"}
    config = PretrainConfig(backbone="small", **fields)
    a_machine(estimate_run(PretrainConfig(**fields), demo_dataset).memory_bytes * 1.06)
    assert fit.suggestion(config, demo_dataset, estimate_run(config, demo_dataset)) == {"backbone": "tiny"}
    assert fit.as_options(config, {"backbone": "tiny"}) == "--backbone tiny"
    a_machine(1e6)
    with pytest.raises(InputError, match="nothing smaller fits"):
        fit.require_fit(config, demo_dataset)


def test_advice_for_a_comparison_names_the_fields_of_its_parts(demo_dataset: Dataset, a_machine) -> None:
    config = CompareConfig(data="small", device="cpu", backbone="small", pretrain={"batch_size": 512})
    a_machine(estimate_run(config, demo_dataset).memory_bytes / 2)
    with pytest.raises(InputError, match=r"pretrain\.recompute=true"):
        fit.require_fit(config, demo_dataset)


def test_memory_that_others_use_is_a_warning_only(demo_dataset: Dataset, a_machine) -> None:
    a_machine(1000 * GB, 1e6)
    estimate = fit.require_fit(PretrainConfig(data="small", device="cpu"), demo_dataset)
    assert "free now" in fit.warnings(estimate)[0] and "free now: other" in report(estimate)
    a_machine(1000 * GB)
    assert fit.warnings(fit.require_fit(PretrainConfig(data="small", device="cpu"), demo_dataset)) == []


def test_cells_that_are_too_long_are_counted(demo_dataset: Dataset, a_machine) -> None:
    a_machine(1000 * GB)
    config = PretrainConfig(data="small", device="cpu", max_tokens=100)
    estimate = estimate_run(config, demo_dataset)
    tokens = estimate.tokens
    assert 0 < tokens.over <= demo_dataset.n_cells
    with pytest.raises(InputError, match=rf"{tokens.over} cells .* the longest {tokens.longest}"):
        fit.require_fit(config, demo_dataset)
    assert fit.suggestion(config, demo_dataset, estimate) == {"max_tokens": tokens.longest}


def test_imported_weights_that_cannot_fit(demo_dataset: Dataset, bundle: str, a_machine) -> None:
    """A size can stand in for them in a comparison, though not for what is finetuned as it is."""
    a_machine(1e6)
    compare = CompareConfig.from_dict({"data": "small", "backbone": bundle, "device": "cpu"})
    assert "original" in compare.arms
    finetune = FinetuneConfig(backbone=bundle, data="small", device="cpu")
    for config in (compare, finetune):
        with pytest.raises(InputError, match=r"would not fit: it needs .*nothing smaller fits"):
            fit.require_fit(config, demo_dataset)
    smaller = fit.with_changes(compare, {"backbone": "tiny"})
    assert isinstance(smaller, CompareConfig) and smaller.arms == default_arms("tiny")
    assert not any("backbone" in changes for changes in fit._candidates(finetune))


def test_smaller_batches_start_from_the_run_s_own(bundle: str) -> None:
    own = {"batch_size": 4, "accumulation": 2}
    for config in (
        CompareConfig.from_dict({"data": "small", "backbone": bundle, "pretrain": own}),
        PretrainConfig(data="small", backbone=bundle, batch_size=4, accumulation=2),
    ):
        tried = [changes for changes in fit._candidates(config) if "batch_size" in changes]
        assert (tried[0]["batch_size"], tried[0]["accumulation"]) == (2, 4)
        assert tried[-1]["batch_size"] == 1


def test_finetuning_has_a_limit_of_its_own(demo_dataset: Dataset, bundle: str, a_machine) -> None:
    a_machine(1000 * GB)
    longest = vocabulary_tokens(demo_dataset, open_bundle(bundle).genes, open_bundle(bundle).config).longest
    config = FinetuneConfig(backbone=bundle, data="small", max_tokens=longest - 1, device="cpu")
    with pytest.raises(InputError, match=rf"--set max_tokens={longest} "):
        fit.require_fit(config, demo_dataset)
    fit.require_fit(fit.with_changes(config, {"max_tokens": longest}), demo_dataset)


def test_the_check_that_ends_a_pretraining_is_counted(demo_dataset: Dataset, a_machine) -> None:
    """Seen: 4 s of each pretraining with 2,000 genes and 36 s with 19,264 were in no estimate."""
    a_machine(64 * GB)
    tokens = {n: Tokens(np.full(40_000, 100), n, exact=True) for n in (2000, 19_264)}
    config = PretrainConfig(data="small", masker="uniform", summary="none", epochs=1, device="cpu")
    fast = {"cell_s": 1e-9, "peak_bytes": GB, "steps": 3, "batch_size": 32, "asked": 32, "device": "a GPU"}
    measured = {"pretrain": {**fast, "setup_s": 0.0}}
    for n_genes, seconds in ((2000, 4), (19_264, 36)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(formula, "tokens_of", lambda *_, n=n_genes: tokens[n])
            patch.setattr(run, "_own_cells", lambda *_: (8000, 1500))
            patch.setattr(run, "_encode_seconds", lambda *_: 0.0)
            assert estimate_run(config, demo_dataset, measured).seconds == pytest.approx(seconds, rel=0.3)


def test_few_labels_cost_time_and_no_further_pretraining(demo_dataset: Dataset, a_machine) -> None:
    fields = {"data": demo_dataset.name, "folds": 2, "seeds": 1, "device": "cpu"}
    whole, few, twice = (
        estimate_run(CompareConfig.from_dict({**fields, **more}), demo_dataset)
        for more in ({}, {"labels": ["10"], "label_draws": 1}, {"labels": ["10"], "label_draws": 2})
    )
    assert whole.pretrainings == few.pretrainings == twice.pretrainings
    assert few.seconds > whole.seconds
    assert twice.seconds - whole.seconds == pytest.approx(2 * (few.seconds - whole.seconds))
    assert few.memory_bytes == whole.memory_bytes


def test_latents_are_counted_where_a_strategy_needs_them() -> None:
    for masker, summary, expected in (
        ("uniform", "none", False),
        ("expression", "none", False),
        ("uniform", "both", True),
        ("self-guided", "none", True),
        ("sma", "none", True),
    ):
        config = PretrainConfig(masker=masker, summary=summary)
        assert formula.has_latents(config) == expected
        model = MaskedModel(BackboneConfig(9, width=8), config.to_dict(), torch.ones(9, dtype=torch.bool))
        assert (model.latents is not None) == expected, "the estimate says what the model does"


@pytest.mark.parametrize("kind", KINDS)
def test_other_models_limit_their_tokens_themselves(
    demo_dataset: Dataset, shared: Path, tmp_path: Path, kind: str, a_machine
) -> None:
    genes = list(map(str, demo_dataset.genes))
    other_bundle(kind, genes, shared, tmp_path, max_seq_len=60)
    config = pretrain_config(data="small", backbone=kind, device="cpu", max_tokens=20)
    estimate = estimate_run(config, demo_dataset)
    assert estimate.tokens.longest == {"scgpt": 60, "scbert": len(genes) + 1}[kind]
    assert fit.problem(estimate) is None, "no cell is too long"
    # hidden genes are tokens too, so that a smaller share of them spares nothing in the encoder
    fewer = estimate_run(replace(config, mask_ratio=0.01), demo_dataset)
    assert fewer.seconds_per_epoch == pytest.approx(estimate.seconds_per_epoch, rel=0.3)


def test_the_parameters_of_the_other_released_models() -> None:
    for shape in (SCGPT, SCBERT):
        with torch.device("meta"):
            backbone = build_backbone(BackboneConfig(**shape, pool=("mean",)))
        built = sum(parameter.numel() for parameter in backbone.parameters())
        assert sum(parameters(shape)) == pytest.approx(built, rel=0.03)

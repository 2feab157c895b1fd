"""What a run will take, counted: tokens, parameters, memory, time; and what is refused."""

import numpy as np
import pytest

from sgm_core import device as machine
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate import cost, fit
from sgm_core.estimate.run import estimate, estimate_compare, estimate_finetune
from sgm_core.estimate.text import report
from sgm_core.model.bundle import open_bundle
from sgm_core.model.sizes import SIZES, backbone_config, shape_fields
from sgm_core.training.backbones import default_arms
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.tokens import informative_tokens, vocabulary_tokens

GB = 10**9


@pytest.fixture
def a_machine(monkeypatch: pytest.MonkeyPatch):
    """Let this machine have so much memory."""

    def have(total: float, free: float | None = None) -> None:
        there = machine.Memory(int(total), int(free if free is not None else total), "memory")
        monkeypatch.setattr(machine, "memory", lambda device: there)

    return have


@pytest.mark.parametrize("size", SIZES)
def test_the_table_of_sizes_is_what_is_built(size: str) -> None:
    from sgm_core.model.backbone import Backbone

    shape = shape_fields(size, 300)
    built = backbone_config(size, 300)
    assert {name: getattr(built, name) for name in shape} == shape
    counted, real = cost.parameter_count(shape), sum(p.numel() for p in Backbone(built).parameters())
    assert counted == pytest.approx(real, rel=0.01)


def test_the_released_model_is_counted_to_its_119_million_parameters() -> None:
    shape = {
        **{"n_genes": 19264, "depth_tokens": True, "width": 768, "depth": 12, "heads": 12, "ff": 4},
        **{"decoder_width": 512, "decoder_depth": 6, "decoder_heads": 8, "decoder_head_dim": 64},
        **{"bins": 100, "cell_context": False, "pool": ("max",)},
    }
    assert cost.parameter_count(shape) == pytest.approx(119_252_285, rel=0.002)
    # scfoundation.md section 13: 6.8 CPU-seconds for 2,002 tokens, and the decoder is 60 % of a step
    encoder = cost.encoder_work(shape, 2002, 2002**2)
    assert encoder == pytest.approx(2.4e11, rel=0.1)
    decoder = cost.decoder_work(shape, 19266, 2002)
    assert 0.5 < decoder / (decoder + encoder) < 0.7

    kept = cost.encoder_activations(shape, 0.7 * 2002) + cost.decoder_activations(shape)
    # a step without optimiser was measured at 4.9 GB, 1.2 GB of which are the process, weights and gradients
    assert cost.activation_bytes(kept, "fp32") == pytest.approx(3.7e9, rel=0.3)


def test_tokens_of_a_vocabulary_are_exact(demo_dataset: Dataset) -> None:
    half = (*map(str, demo_dataset.genes[::2]), "NOT-A-GENE")
    tokens = vocabulary_tokens(demo_dataset, half)
    expected = np.asarray((demo_dataset.counts()[:, ::2] > 0).sum(1)).ravel() + 2
    assert np.array_equal(tokens.counts, expected)
    assert tokens.exact and tokens.longest == expected.max()
    assert tokens.over(int(np.median(expected))) == (expected > np.median(expected)).sum()
    with pytest.raises(InputError, match="vocabulary"):
        vocabulary_tokens(demo_dataset, ("A", "B"))


def test_tokens_of_informative_genes_are_close_to_those_trained_on(demo_dataset: Dataset) -> None:
    from sgm_core.training.data import informative_genes

    genes = informative_genes(demo_dataset, np.arange(demo_dataset.n_cells), 200)
    real = np.asarray((demo_dataset.counts()[:, genes] > 0).sum(1)).ravel()
    assert informative_tokens(demo_dataset, 200).mean == pytest.approx(real.mean(), rel=0.1)


def test_estimates_grow_with_the_work(demo_dataset: Dataset) -> None:
    def guess(**fields):
        return estimate(PretrainConfig(data="small", device="cpu", **fields), demo_dataset)

    one, three, small = guess(epochs=1), guess(epochs=3), guess(epochs=1, backbone="small")
    assert one["seconds"] < three["seconds"] and one["seconds"] < small["seconds"]
    assert three["seconds_per_epoch"] == one["seconds_per_epoch"]
    assert guess(batch_size=64)["memory_bytes"] > guess(batch_size=8)["memory_bytes"]
    kept = "activations"
    assert guess(backbone="small", recompute=True)["memory"][kept] < guess(backbone="small")["memory"][kept]
    assert guess(patience=2)["memory"]["weights"] == 2 * guess()["memory"]["weights"]
    large = {"backbone": "small", "n_genes": 1000, "batch_size": 4}
    tokens = guess(**large)["tokens"]["longest"]
    more = guess(**large, attention_dropout=0.1)["memory"][kept] - guess(**large)["memory"][kept]
    assert more == pytest.approx(4 * 2.25 * 4 * 4 * 8 * (0.7 * tokens) ** 2 * 1.15, rel=0.3)
    assert guess(amsgrad=True)["memory"]["optimiser"] == 1.5 * guess()["memory"]["optimiser"]
    some = estimate_compare(CompareConfig(data="small", folds=3, device="cpu"), demo_dataset)
    more = estimate_compare(CompareConfig(data="small", folds=5, device="cpu"), demo_dataset)
    assert some["seconds"] < more["seconds"]
    for part in ("tokens per cell", "memory", "an epoch", "in all", "rests on"):
        assert part in report(some)


def test_schemes_of_finetuning_differ_as_they_do(demo_dataset: Dataset) -> None:
    source = PretrainConfig(data="small", backbone="small", device="cpu")

    def guess(scheme: str) -> dict:
        config = FinetuneConfig(scheme=scheme, device="cpu", epochs=5)
        return estimate_finetune(config, demo_dataset, None, source)

    probe, partial, last = guess("linear-probe"), guess("partial"), guess("last-block")
    assert probe["seconds"] < last["seconds"] < partial["seconds"]
    width, cells = SIZES["small"]["width"], last["cells"]
    assert last["disk_bytes"] == pytest.approx(2 * width * last["tokens"]["mean"] * cells, rel=1e-6)
    assert probe["disk_bytes"] == partial["disk_bytes"] == 0


def test_measured_steps_take_the_place_of_what_is_counted(demo_dataset: Dataset) -> None:
    config = PretrainConfig(data="small", epochs=2, device="cpu")
    step = {"cell_s": 2.0, "peak_bytes": 5 * GB, "steps": 3, "batch_size": 32, "device": "a GPU"}
    step["setup_s"] = 1.0
    counted = estimate(config, demo_dataset)
    guess = estimate(config, demo_dataset, {"pretrain": step, "encode": {**step, "cell_s": 0.5}})
    assert guess["memory_bytes"] == 5 * GB and guess["measured"] and not counted["measured"]
    assert guess["seconds_per_epoch"] == pytest.approx(guess["cells"] * 2 + 30 * 0.8)
    assert guess["seconds"] == pytest.approx(2 * guess["seconds_per_epoch"] + demo_dataset.n_cells * 0.5 + 1)
    assert "3 steps of 32 cells measured on a GPU" in guess["basis"]
    smaller = {"pretrain": {**step, "batch_size": 16}}
    more = estimate(config, demo_dataset, smaller)["memory_bytes"] - 5 * GB
    assert more == pytest.approx(counted["memory"]["activations"] / 2, rel=0.01)


def test_what_cannot_fit_is_refused_with_what_would(demo_dataset: Dataset, a_machine) -> None:
    config = PretrainConfig(data="small", backbone="small", batch_size=500, device="cpu")
    needed = estimate(config, demo_dataset)["memory_bytes"]
    a_machine(needed / 3)
    with pytest.raises(InputError, match=r"this would fit: --set recompute=true") as refused:
        fit.require_fit(config, demo_dataset)
    text = str(refused.value)
    assert f"{needed / 1e9:,.1f} GB" in text and "this machine has" in text
    changes = fit.what_would_fit(config, demo_dataset)
    assert changes is not None
    changed = fit.with_changes(config, changes)
    assert fit.problem(estimate(changed, demo_dataset)) is None
    if "accumulation" in changes:
        assert changes["batch_size"] * changes["accumulation"] == pytest.approx(500, rel=0.05)


def test_the_search_ends_at_a_smaller_backbone_and_says_when_nothing_fits(
    demo_dataset: Dataset, a_machine
) -> None:
    config = PretrainConfig(data="small", backbone="small", batch_size=1, precision="bf16", device="cpu")
    tiny = estimate(PretrainConfig(data="small", batch_size=1, precision="bf16", device="cpu"), demo_dataset)
    a_machine(tiny["memory_bytes"] * 1.06)
    assert fit.what_would_fit(config, demo_dataset) == {"backbone": "tiny"}
    assert fit.as_options(config, {"backbone": "tiny"}) == "--backbone tiny"
    a_machine(1e6)
    with pytest.raises(InputError, match="nothing smaller fits"):
        fit.require_fit(config, demo_dataset)


def test_a_comparison_is_told_the_fields_of_its_parts(demo_dataset: Dataset, a_machine) -> None:
    config = CompareConfig(data="small", device="cpu", backbone="small", pretrain={"batch_size": 512})
    a_machine(estimate_compare(config, demo_dataset)["memory_bytes"] / 2)
    with pytest.raises(InputError, match=r"pretrain\.recompute=true"):
        fit.require_fit(config, demo_dataset)


def test_memory_that_others_use_is_a_warning_only(demo_dataset: Dataset, a_machine) -> None:
    a_machine(1000 * GB, 1e6)
    guess = fit.require_fit(PretrainConfig(data="small", device="cpu"), demo_dataset)
    assert "free now" in fit.warnings(guess)[0]
    a_machine(1000 * GB)
    assert fit.warnings(fit.require_fit(PretrainConfig(data="small", device="cpu"), demo_dataset)) == []


def test_cells_that_are_too_long_are_counted(demo_dataset: Dataset, a_machine) -> None:
    a_machine(1000 * GB)
    config = PretrainConfig(data="small", device="cpu", max_tokens=100)
    tokens = estimate(config, demo_dataset)["tokens"]
    assert 0 < tokens["over"] <= demo_dataset.n_cells
    with pytest.raises(InputError, match=rf"{tokens['over']} cells .* the longest {tokens['longest']}"):
        fit.require_fit(config, demo_dataset)
    assert fit.what_would_fit(config, demo_dataset) == {"max_tokens": tokens["longest"]}


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
    longest = vocabulary_tokens(demo_dataset, open_bundle(bundle).genes).longest
    config = FinetuneConfig(backbone=bundle, data="small", max_tokens=longest - 1, device="cpu")
    with pytest.raises(InputError, match=rf"--set max_tokens={longest} "):
        fit.require_fit(config, demo_dataset)
    fit.require_fit(fit.with_changes(config, {"max_tokens": longest}), demo_dataset)

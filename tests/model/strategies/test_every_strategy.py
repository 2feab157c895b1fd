"""What all masking strategies have in common: budgets, keys by cell, no leak, a warm-up."""

import pytest
import torch
from strategy_models import model_of, toy_cells, toy_numbers

from sgm_core.comparison.config import ARMS
from sgm_core.errors import InputError
from sgm_core.model.strategies import strategy_class, strategy_names
from sgm_core.model.strategies.base import Strategy
from sgm_core.training.config import MASKERS

NAMES = strategy_names()
BASES = ("strata", "all")


def test_every_file_is_a_strategy_and_an_arm() -> None:
    assert MASKERS == NAMES and NAMES[:3] == ("uniform", "expression", "self-guided")
    arms = {fields["masker"] for fields in ARMS.values() if fields}
    for name in NAMES:
        assert issubclass(strategy_class(name), Strategy) and name in arms
        assert (strategy_class(name).__doc__ or "").count("\n") > 1, f"{name} says its equation and source"
    with pytest.raises(InputError, match="masker is 'best': choose one of uniform"):
        strategy_class("best")


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("name", NAMES)
def test_a_cells_mask_depends_on_the_cell_alone(name: str, basis: str) -> None:
    model, values = model_of(name, mask_basis=basis), toy_cells(8)
    noise, subset = toy_numbers(8)
    together = model.draw(values, noise, subset)
    again = model.draw(values, noise, subset)
    assert torch.equal(together.masked, again.masked)
    alone = model.draw(values[3:4], noise[3:4], subset[3:4])
    assert torch.equal(alone.masked[0], together.masked[3])
    assert torch.allclose(alone.effective_share[0], together.effective_share[3], atol=1e-5)
    assert ((together.effective_share > 0) & (together.effective_share < 1 + 1e-5)).all()


@pytest.mark.cuda
@pytest.mark.parametrize("name", NAMES)
def test_the_same_noise_gives_the_same_masks_on_a_gpu(name: str) -> None:
    model, values = model_of(name), toy_cells(64)
    noise, subset = toy_numbers(64)
    masked = model.draw(values, noise, subset).masked
    on_gpu = model.cuda().draw(values.cuda(), noise.cuda(), subset.cuda()).masked
    assert torch.equal(masked, on_gpu.cpu())


@pytest.mark.parametrize("summary", ["both", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_no_strategy_leaks_what_it_hides(name: str, summary: str) -> None:
    """With the mask and the visible values held fixed, whatever hides under the mask reaches nothing."""
    model, values = model_of(name, summary=summary).eval(), toy_cells()
    masked = model.draw(values, *toy_numbers(5)).masked
    changed = torch.where(masked, toy_cells(seed=5) * 2 + 0.1, values)
    assert not torch.equal(values, changed)
    with torch.no_grad():
        assert torch.equal(model.predict(values, masked), model.predict(changed, masked))


@pytest.mark.parametrize("name", NAMES)
def test_a_warm_up_starts_uniform(name: str) -> None:
    values, (noise, subset) = toy_cells(64), toy_numbers(64)
    model = model_of(name, mask_warmup=0.5)
    uniform = model_of("random-ratio" if name == "random-ratio" else "uniform")
    model.strategy.progress = 0.0
    start = model.draw(values, noise, subset)
    assert torch.equal(start.masked, uniform.draw(values, noise, subset).masked)
    assert torch.allclose(start.effective_share, torch.ones(64), atol=1e-4)
    full = model_of(name).draw(values, noise, subset)
    for progress in (0.5, 1.0):
        if name == "sma" and progress < 1:
            continue  # its own schedule goes on to the end
        model.strategy.progress = progress
        assert torch.equal(model.draw(values, noise, subset).masked, full.masked)


@pytest.mark.parametrize("name", ("expression", "inverse-expression", "self-guided"))
def test_half_a_warm_up_is_the_root_of_the_importance(name: str) -> None:
    values, (noise, subset) = toy_cells(64), toy_numbers(64)
    warming = model_of(name, mask_warmup=0.8)
    warming.strategy.progress = 0.4
    rooted = model_of(name, temperature=2.0)
    assert torch.equal(warming.draw(values, noise, subset).masked, rooted.draw(values, noise, subset).masked)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random-ratio"])
def test_all_hide_the_same_numbers_of_nonzero_and_of_zero_genes(name: str) -> None:
    values, (noise, subset) = toy_cells(200), toy_numbers(200)
    for fields in ({}, {"mask_ratio": 0.5, "zero_ratio": 0.3, "mask_warmup": 0.7}):
        model = model_of(name, **fields)
        model.strategy.progress = 0.5
        masked = model.draw(values, noise, subset).masked
        expected = model_of("uniform", **fields).draw(values, noise, subset).masked
        for stratum in (values > 0, values <= 0):
            assert torch.equal((masked & stratum).sum(1), (expected & stratum).sum(1))


def test_random_ratios_hide_the_same_number_on_average() -> None:
    values, (noise, subset) = toy_cells(4000), toy_numbers(4000)
    models = [model_of(name, zero_ratio=0.25) for name in ("random-ratio", "uniform")]
    masks = [model.draw(values, noise, subset).masked for model in models]
    for stratum in (values > 0, values <= 0):
        random, uniform = ((mask & stratum).sum(1).double() for mask in masks)
        assert random.std() > 2 * uniform.std()
        # rounding and the guard shift the mean by less than a tenth of a gene
        assert (random - uniform).mean().abs() < 0.1 + 4.5 * (random - uniform).std() / 4000**0.5


@pytest.mark.parametrize("name", NAMES)
def test_under_all_positions_every_strategy_hides_its_share(name: str) -> None:
    if name == "random-ratio":
        return
    masked = model_of(name, mask_basis="all").draw(toy_cells(50), *toy_numbers(50)).masked
    assert (masked.sum(1) == 12).all()

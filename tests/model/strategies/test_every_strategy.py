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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
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

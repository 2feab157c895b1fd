"""Strategies that learn from the reconstruction: their losses, what they learn, and that it stays apart."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from strategy_models import model_of, seen_of, toy_cells, toy_numbers

from sgm_core.analysis.noise_floor import sampling_noise
from sgm_core.analysis.predictors import HiddenShares
from sgm_core.model.masking import pack
from sgm_core.model.poisson_noise import count_scale, nonzero_noise
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.strategies.adios import SPARSITY
from sgm_core.model.strategies.base import Errors
from sgm_core.model.strategies.self_guided import share_loss
from sgm_core.training.config import PretrainConfig

LEARNED = ("error-guided", "reducible-error", "adios")


def errors_of(model: MaskedModel, values: torch.Tensor, squared: torch.Tensor, seed: int = 0) -> Errors:
    """Return errors (B, L) as a batch with uniformly hidden positions has them; predictions are 0.5."""
    noise, _ = toy_numbers(len(values), values.shape[1], seed)
    hidden = noise < noise.median(1, keepdim=True).values
    at, real = pack(hidden)
    found = squared.gather(1, at)
    facts = (at, real, torch.full_like(found, 0.5), found)
    return Errors(model.backbone, values, values, model.eligible, *facts, model.latents)


def taught(model: MaskedModel, values: torch.Tensor, squared: torch.Tensor, steps: int = 250) -> None:
    """Let the strategy learn errors (B, L) that never change."""
    for parameter in model.strategy.parameters():
        torch.nn.init.normal_(parameter, std=1e-2)
    optimiser = torch.optim.Adam(model.strategy.parameters(), 0.03)
    batches = [errors_of(model, values, squared, seed) for seed in range(8)]
    for step in range(steps):
        loss = model.strategy.learn(batches[step % 8])
        assert loss is not None
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def drawn_by(model: MaskedModel, values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.strategy.log_importance(seen_of(model, values, *toy_numbers(len(values))))


@pytest.mark.parametrize("name", LEARNED)
def test_masks_start_uniform(name: str) -> None:
    torch.manual_seed(0)
    shape = model_of("uniform").backbone.config
    model = MaskedModel(shape, PretrainConfig(masker=name).to_dict(), torch.ones(40, dtype=torch.bool))
    values = toy_cells(30)
    noise, subset = toy_numbers(30)
    uniform = model_of("uniform").draw(values, noise, subset)
    assert torch.equal(model.draw(values, noise, subset[:, :2]).masked, uniform.masked)


@pytest.mark.parametrize("name", LEARNED)
def test_what_a_strategy_learns_never_trains_the_model(name: str) -> None:
    """The model's gradients are those of uniform masking, number by number."""
    values, (noise, subset) = toy_cells(6), toy_numbers(6)
    own, uniform = model_of(name), model_of("uniform")
    uniform.load_state_dict(own.state_dict(), strict=False)
    masked = uniform.draw(values, noise, subset).masked
    for model in (own, uniform):
        model(values, masked).loss.backward()
    for key, parameter in uniform.named_parameters():
        other = own.get_parameter(key).grad
        assert (parameter.grad is None) == (other is None), key
        assert parameter.grad is None or torch.equal(parameter.grad, other), key
    assert all(parameter.grad.abs().max() > 0 for parameter in own.strategy.parameters())
    assert own(values, masked).error.item() == uniform(values, masked).error.item()
    assert {id(p) for p in own.strategy.parameters()} <= {id(p) for p in own.new_parameters()}


def planted(values: torch.Tensor) -> torch.Tensor:
    """Return errors (B, L): large at the first ten genes where they are expressed."""
    first = (torch.arange(values.shape[1]) < 10).expand_as(values)
    return torch.where(first & (values > 0), 2.0, torch.where(values > 0, 0.5, 0.1))


def test_errors_are_predicted_by_gene_and_stratum() -> None:
    values, model = toy_cells(200), model_of("error-guided")
    expected = planted(values)
    taught(model, values, expected)
    predicted = drawn_by(model, values).exp()
    for level in (2.0, 0.5, 0.1):
        assert predicted[expected == level].mean() == pytest.approx(level, rel=0.1)


def test_errors_are_predicted_by_the_cells_content() -> None:
    """Half the cells express other genes, and are reconstructed worse."""
    values = toy_cells(300)
    kind = torch.arange(300) < 150
    values[:150, :20] = 0
    values[150:, 20:] = 0
    model, expected = model_of("error-guided"), torch.where(kind, 1.5, 0.3).unsqueeze(1).expand_as(values)
    taught(model, values, expected)
    zeros = values == 0
    predicted = drawn_by(model, values).exp()
    assert predicted[kind][zeros[kind]].mean() > 3 * predicted[~kind][zeros[~kind]].mean()


def test_noise_alone_is_no_reason_to_hide_a_gene() -> None:
    """Expressed genes all err alike; in the first ten it is what sampling leaves, in the others more."""
    values, model = toy_cells(200), model_of("reducible-error")
    values[:, 0] = 0.1  # a single count
    scale = count_scale(values, model.eligible)
    noise = nonzero_noise(torch.full_like(values, 0.5), scale, 0.3, 0.03)
    first = (torch.arange(40) < 10).expand_as(values)
    errors = torch.where(first, noise, 4 * noise)
    taught(model, values, errors)
    weights, nonzero = drawn_by(model, values).exp(), values > 0
    ratio = weights[nonzero & first].mean() / weights[nonzero & ~first].mean()
    assert ratio < 0.15, "0.05 n against 3 n"


@pytest.mark.parametrize("zero_ratio", [0.3, 0.03])
@pytest.mark.parametrize("total", [800, 5000])
def test_the_noise_is_that_of_the_reconstruction_check(total: int, zero_ratio: float) -> None:
    scale = 1e4 / total
    predicted = np.linspace(0.01, np.log1p(scale * 300), 50)
    expected = sampling_noise(predicted, total, HiddenShares(0.3, zero_ratio)).nonzero
    found = nonzero_noise(torch.from_numpy(predicted)[None], torch.tensor([scale]), 0.3, zero_ratio)
    assert found[0].numpy() == pytest.approx(expected, rel=0.02, abs=2e-3)


def test_the_smallest_value_of_a_cell_is_a_single_count() -> None:
    values = torch.tensor([[0.0, 2.0, 0.7, 0.1], [0.0, 0.0, 0.0, 0.5]])
    found = count_scale(values, torch.tensor([True, True, True, False]))
    assert found.tolist() == pytest.approx([np.expm1(0.7), np.expm1(1.0)])


def test_the_adversarys_loss_is_the_equation() -> None:
    model, values = model_of("adios"), toy_cells(4)
    squared = planted(values) + 0.1
    errors = errors_of(model, values, squared)
    soft = 1 / (1 + np.exp(-drawn_by(model, values).double().numpy()))
    expected = []
    for cell in range(4):
        hidden = errors.at[cell][errors.real[cell]].numpy()
        m, e = soft[cell, hidden], squared[cell, hidden].numpy()
        expected.append(-(m * e).sum() / m.sum() + SPARSITY / np.sin(np.pi * soft[cell].mean()))
    assert model.strategy.learn(errors).item() == pytest.approx(np.mean(expected), abs=1e-5)


def test_the_adversary_hides_what_is_reconstructed_worst() -> None:
    values, model = toy_cells(200), model_of("adios")
    errors = planted(values)
    taught(model, values, errors)
    odds = drawn_by(model, values)
    assert odds[errors == 2.0].mean() > odds[errors == 0.5].mean() + 1
    assert 0.02 < odds.sigmoid().mean() < 0.98, "the penalty keeps the mask from all and from nothing"


@pytest.mark.parametrize("make", (lambda m, x: m.strategy.errors, lambda m, x: m.strategy.noise))
def test_scores_are_the_equation(make: Callable) -> None:
    model, values = model_of("reducible-error"), toy_cells(3)
    scores = make(model, values)
    bias = scores.bias.detach().numpy()
    rows = model.backbone.positions.weight[:-1].detach().double().numpy()
    found = scores(model.backbone, values, model.eligible).detach().numpy()
    x = values.double().numpy()
    w, b = scores.cell.weight.detach().double().numpy(), scores.cell.bias.detach().double().numpy()
    v = rows @ scores.gene.weight.detach().double().numpy().T + scores.gene.bias.detach().numpy()
    for cell in range(3):
        content = x[cell] @ rows
        content = (content - content.mean()) / np.sqrt(content.var() + 1e-5)
        u = (w @ content + b).reshape(2, -1)
        for j in range(40):
            z = int(x[cell, j] > 0)
            expected = bias[z, j] + u[z] @ v[j] / np.sqrt(len(u[z]))
            assert found[cell, j] == pytest.approx(expected, abs=1e-4)


def test_masks_that_errors_guide_learn_their_shares() -> None:
    """Within a stratum of a cell the importance is in proportion to the error, whatever it started from."""
    values, found = toy_cells(80), []
    expected = planted(values)
    for seed in (1, 2):
        model = model_of("self-guided", guide="error")
        assert model.latents is not None
        torch.manual_seed(seed)
        learned = [*model.latents.parameters(), *model.strategy.parameters()]
        for parameter in learned:
            torch.nn.init.normal_(parameter, std=0.2 if parameter.shape != (2, 40) else 0.02)
        optimiser = torch.optim.Adam(learned, 0.03)
        batches = [errors_of(model, values, expected, number) for number in range(8)]
        for step in range(150):
            loss = model.strategy.learn(batches[step % 8])
            assert loss is not None
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        every = torch.arange(6).expand(len(values), -1)
        with torch.no_grad():
            seen = seen_of(model, values, toy_numbers(len(values))[0], every)
            found.append(model.strategy.log_importance(seen).exp())
    nonzero, large = values > 0, expected == 2.0
    for weights in found:
        assert weights[large].mean() / weights[nonzero & ~large].mean() == pytest.approx(4, rel=0.25)
        of_zeros = weights.masked_fill(nonzero, torch.nan)
        off = of_zeros / of_zeros.nanmean(1, keepdim=True) - 1
        assert off[~nonzero].std() < 0.3, "a cell's zeros err alike"
    pair = torch.stack([weights[nonzero].log() for weights in found])
    assert torch.corrcoef(pair)[0, 1] > 0.9, "each seed learns the same"


def test_the_loss_of_shares_is_a_cross_entropy_over_the_chosen() -> None:
    generator = np.random.default_rng(0)
    squared, importance = generator.random((2, 5)), generator.random((2, 5))
    chosen = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
    p = squared[0, chosen[0]] / squared[0, chosen[0]].sum()
    q = importance[0, chosen[0]] / importance[0, chosen[0]].sum()
    parts = (torch.from_numpy(importance).log(), torch.from_numpy(squared), torch.from_numpy(chosen))
    assert share_loss(*parts).item() == pytest.approx(-(p * np.log(q)).sum()), "a cell without any counts not"
    assert share_loss(parts[0], parts[1], torch.zeros_like(parts[2])).item() == 0


def test_without_a_guide_self_guided_masks_learn_by_the_summary_alone() -> None:
    values = toy_cells(20)
    model = model_of("self-guided")
    assert model.strategy.learn(errors_of(model, values, planted(values))) is None
    masking = {name: value for name, value in model.masking.items() if name != "guide"}
    before_the_field = MaskedModel(model.backbone.config, masking, model.eligible)
    before_the_field.load_state_dict(model.state_dict())
    assert before_the_field.strategy.learn(errors_of(before_the_field, values, planted(values))) is None

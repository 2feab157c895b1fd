"""The preset `authors` does what their code does wrong, each fault by what it does; `paper` does not.

Each test reads the field from the preset, so that a preset that lost its fault would fail here.
"""

import numpy as np
import pytest
import torch

from sgm_core.cells.dataset import Dataset
from sgm_core.model.backbone import BackboneConfig
from sgm_core.model.masking import cell_noise
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.config import PretrainConfig, pretrain_config
from sgm_core.training.config.pretrain import FAULTS
from sgm_core.training.draws import random_numbers
from sgm_core.training.loop import Loop
from sgm_core.training.pretrain import Pretraining, parameter_groups, validation_loss
from sgm_core.training.start import initial_state
from sgm_core.training.train_cells import every_cell

N_GENES, CPU = 500, torch.device("cpu")
PRESETS = ("authors", "paper")
TESTED = {
    "keys": "test_no_gene_is_preferred_beyond_its_value",
    "mask_ratio": "test_a_tenth_of_what_the_text_says_is_hidden",
    "subset": "test_three_latents_score_a_cell",
    "subset_per": "test_all_cells_of_a_batch_are_scored_by_the_same_latents",
    "summary_sees": "test_hidden_values_reach_the_prediction",
    "validation_masks": "test_validation_masks_change_with_the_epoch",
    "lr_new": "test_new_layers_learn_as_slowly_as_the_backbone",
    "clip": "test_gradients_are_not_clipped",
}


def test_every_named_fault_has_a_test() -> None:
    assert set(TESTED) == set(FAULTS) and set(TESTED.values()) <= set(globals())


def model_of(preset: str) -> MaskedModel:
    torch.manual_seed(0)
    shape = BackboneConfig(N_GENES, width=16, depth=1, heads=2, decoder_width=8, decoder_heads=2, bins=5)
    options = pretrain_config(preset).to_dict()
    return MaskedModel(shape, options, torch.ones(N_GENES, dtype=torch.bool)).eval()


def toy_cells(batch: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(batch, N_GENES, generator=generator) * 3 + 0.2
    return values * (torch.rand(batch, N_GENES, generator=generator) < 0.3)


def numbers(preset: str, batch: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return random_numbers(pretrain_config(preset), 0, 0, np.arange(batch), N_GENES, CPU)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_gene_is_preferred_beyond_its_value(preset: str) -> None:
    """Moving a cell's values to other genes moves its importance with them, and nothing else."""
    model, values, moved = model_of(preset), toy_cells(), torch.randperm(N_GENES)
    _, subset = numbers(preset)
    assert model.latents is not None
    with torch.no_grad():
        before = model.latents.log_importance(model.backbone, values, model.eligible, subset)
        after = model.latents.log_importance(model.backbone, values[:, moved], model.eligible, subset)
    assert torch.allclose(before[:, moved], after, atol=1e-4) == (preset == "authors")
    spread = before[0][values[0] == 0].std()
    assert (spread < 1e-5) == (preset == "authors"), "all zeros of a cell are the same to them"


@pytest.mark.parametrize(("preset", "hidden"), [("authors", 12), ("paper", 150)])
def test_a_tenth_of_what_the_text_says_is_hidden(preset: str, hidden: int) -> None:
    masked = model_of(preset).draw(toy_cells(), *numbers(preset)).masked
    assert (masked.sum(1) == hidden).all(), "of 500 positions"


@pytest.mark.parametrize(("preset", "count"), [("authors", 3), ("paper", 38)])
def test_three_latents_score_a_cell(preset: str, count: int) -> None:
    _, subset = numbers(preset)
    assert subset.shape == (6, count)
    assert model_of(preset).latents.latents.shape == (128, 256)
    assert all(len(set(row.tolist())) == count for row in subset)


@pytest.mark.parametrize("preset", PRESETS)
def test_all_cells_of_a_batch_are_scored_by_the_same_latents(preset: str) -> None:
    _, subset = numbers(preset)
    own = {tuple(sorted(row.tolist())) for row in subset}
    assert len(own) == (1 if preset == "authors" else 6)
    alone = random_numbers(pretrain_config(preset), 0, 0, np.array([3]), N_GENES, CPU)[1]
    assert torch.equal(alone[0], subset[3]) == (preset == "paper"), "so a cell's masks depend on its batch"


@pytest.mark.parametrize("preset", PRESETS)
def test_hidden_values_reach_the_prediction(preset: str) -> None:
    model, values = model_of(preset), toy_cells()
    masked = model.draw(values, *numbers(preset)).masked
    changed = torch.where(masked, values * 2 + 1, values)
    with torch.no_grad():
        before, after = model.predict(values, masked), model.predict(changed, masked)
    assert torch.equal(before, after) == (preset == "paper")


def small(preset: str) -> PretrainConfig:
    """Return a preset with a small model, and nothing of masking or optimisation changed but the latents."""
    sizes = {"latents": 40, "latent_width": 16, "n_genes": 60, "dropout": 0.0, "device": "cpu"}
    return pretrain_config(preset, data="few", epochs=1, **sizes)


@pytest.mark.parametrize("preset", PRESETS)
def test_validation_masks_change_with_the_epoch(
    preset: str, few_cells: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, rows = small(preset), np.arange(20)
    start = initial_state(few_cells, config, np.arange(few_cells.n_cells), CPU)
    masks, draw = [], start.model.draw

    def watched(*args):
        masks.append(draw(*args))
        return masks[-1]

    monkeypatch.setattr(start.model, "draw", watched)
    losses = [validation_loss(start.model, start.values, rows, config, epoch) for epoch in (0, 1)]
    one, other = (torch.cat([each.masked for each in half]) for half in (masks[:1], masks[1:]))
    assert len(masks) == 2
    assert torch.equal(one, other) == (preset == "paper")
    assert (losses[0] == losses[1]) == (preset == "paper"), "a model that did not change is judged anew"


@pytest.mark.parametrize(("preset", "rate"), [("authors", 1e-5), ("paper", 1e-4)])
def test_new_layers_learn_as_slowly_as_the_backbone(preset: str, rate: float) -> None:
    """Adam's first step is as long as its rate."""
    model = model_of(preset)
    optimiser = torch.optim.Adam(parameter_groups(model, pretrain_config(preset)))
    assert model.latents is not None
    for module, expected in ((model.latents, rate), (model.to_encoder, rate), (model.backbone, 1e-5)):
        parameter = next(module.parameters())
        before = parameter.detach().clone()
        parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        moved = (parameter - before).abs().median().item()
        assert moved == pytest.approx(expected, rel=0.05)
        optimiser.zero_grad()


@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_not_clipped(preset: str, few_cells: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    config, rows = small(preset), np.arange(few_cells.n_cells)
    start = initial_state(few_cells, config, rows, CPU)
    task = Pretraining(config, start, every_cell(rows[:10]), rows[10:20], -1, Observer())
    loop = Loop(task, config)
    norms = []

    def measure(*_):
        grads = [parameter.grad.norm() for parameter in loop.parameters if parameter.grad is not None]
        norms.append(torch.stack(grads).norm().item())

    loop.optimiser.register_step_pre_hook(measure)
    plain = task.loss
    monkeypatch.setattr(task, "loss", lambda batch: plain(batch) * 1e3)
    loop.steps(task.start_epoch(0))
    assert len(norms) == 2, "ten cells, five an update"
    assert (max(norms) > 10) == (preset == "authors")
    assert preset == "authors" or norms == pytest.approx([1, 1], rel=1e-3)


def test_noise_is_each_cells_own_in_both() -> None:
    """Not a fault: what is common to both presets, so that the tests above compare the fields alone."""
    noise, _ = numbers("authors")
    assert torch.equal(noise, numbers("paper")[0])
    assert torch.equal(noise[2], cell_noise(0, 0, 0, np.array([2]), N_GENES + 128)[0, :N_GENES])

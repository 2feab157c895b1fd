"""The dense backbone: no leak, its unit of error, and that it learns."""

import numpy as np
import pytest
import torch

from sgm_core.analysis.reconstruction import NOTHING, reconstruction_line
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.model.build import build_backbone
from sgm_core.model.checkpoint import load_model, save_model
from sgm_core.model.dense import DenseBackbone
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.sizes import SIZES, backbone_config
from sgm_core.training.config import pretrain_config
from sgm_core.training.pretrain import pretrain
from sgm_core.training.schemes import scheme


def model_of(size: str, summary: str = "both", genes: int = 30) -> MaskedModel:
    torch.manual_seed(1)
    config = pretrain_config(backbone=size, masker="uniform", summary=summary, key_init="random")
    model = MaskedModel(backbone_config(size, genes), config.to_dict(), torch.ones(genes, dtype=torch.bool))
    if size == "dense":  # whose prediction starts at the mean, whatever it sees
        torch.nn.init.normal_(model.backbone.output.weight)
    return model.eval()


def cells(n: int = 6, genes: int = 30) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(n, genes, generator=generator) * 3
    return values * (torch.rand(n, genes, generator=generator) < 0.4)


@pytest.mark.parametrize("size", SIZES)
def test_no_hidden_value_reaches_the_prediction(size: str) -> None:
    """Nor through the part of the vector that is the genes, which heads read of whole cells alone."""
    model, values = model_of(size), cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    other = torch.where(masked & (values > 0), values + 1.7, values)
    with torch.no_grad():
        assert torch.equal(model.predict(values, masked), model.predict(other, masked))
        assert not torch.equal(model.predict(values, ~masked), model.predict(other, ~masked))


def test_errors_are_measured_in_each_genes_spread() -> None:
    model, values = model_of("dense", "none"), cells()
    backbone = model.backbone
    assert isinstance(backbone, DenseBackbone)
    backbone.standardise(values.mean(0), values.var(0))
    masked = torch.zeros_like(values, dtype=torch.bool)
    masked[:, 4:9] = True
    with torch.no_grad():
        off = (model.predict(values, masked) - values) / backbone.spread
        assert model(values, masked).error == pytest.approx(float(off[:, 4:9].square().mean()), rel=1e-5)


def test_the_errors_of_a_whole_cell_are_added_while_it_is_trained() -> None:
    values = cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    model = model_of("dense", "none")
    model.eligible[:4] = False
    model.backbone.standardise(values.mean(0), values.var(0))
    hidden = model(values, masked)
    model.masking["whole_cell"] = 0.5
    added = float((model(values, masked).loss - hidden.loss).detach())
    with torch.no_grad():
        spread = torch.where(values.std(0) > 0, values.std(0), 1.0)
        off = ((model.predict(values, masked) - values) / spread).square()
        seen = ~masked & model.eligible
        assert added == pytest.approx(0.5 * float(off[seen].mean()), rel=1e-5)
        assert torch.equal(model(values, masked).loss, hidden.loss), "what an epoch is judged by stays"
    assert torch.equal(model(values, masked).error, hidden.error)


def test_a_hidden_gene_is_its_mean_and_the_visible_are_scaled_up() -> None:
    model, values = model_of("dense", "none"), cells()
    backbone = model.backbone
    assert isinstance(backbone, DenseBackbone)
    backbone.standardise(values.mean(0), values.var(0))
    visible = torch.ones_like(values, dtype=torch.bool)
    visible[:, 10:] = False
    z = ((values - values.mean(0)) / values.var(0).sqrt())[:, :10] * 3
    expected = torch.selu(z @ backbone.positions.weight[:10] + backbone.bias)
    encoded = backbone.encode(values, visible)
    assert torch.allclose(encoded.tokens, expected, atol=1e-4), "blocks start as the identity"
    assert encoded.lengths == [1] * len(values)


def test_kept_tokens_are_those_of_the_cells() -> None:
    backbone = build_backbone(backbone_config("dense", 30))
    values = cells()
    encoded = backbone.encode(values, backbone.shown(values))
    kept = backbone.packed(encoded.tokens, backbone.shown(values))
    assert torch.equal(kept.tokens, encoded.tokens) and kept.lengths == encoded.lengths
    assert (backbone.token_counts(np.array([3, 9])) == 1).all()


def test_partial_finetuning_trains_the_first_layer_and_the_last_block() -> None:
    backbone = build_backbone(backbone_config("dense", 30))
    trained = scheme("partial", backbone).modules(backbone)
    assert backbone.positions in trained and backbone.blocks[-1] in trained


def test_a_checkpoint_comes_back(tmp_path) -> None:
    model = model_of("dense")
    save_model(tmp_path, model, np.array([f"G{i}" for i in range(30)]), "uniform+summary")
    again, _, _ = load_model(tmp_path)
    values = cells()
    masked = values > 1
    assert torch.equal(model.predict(values, masked), again.eval().predict(values, masked))


def test_training_beats_the_genes_mean_and_an_untrained_model_does_not(demo_dataset: Dataset) -> None:
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    lines = []
    for epochs, rate in ((1, 1e-9), (20, 1e-3)):
        config = pretrain_config(
            data=demo_dataset.name,
            backbone="dense",
            masker="uniform",
            summary="none",
            n_genes=150,
            variable_genes=0,
            epochs=epochs,
            lr_backbone=rate,
            batch_size=64,
            dropout=0.3,
            device="cpu",
        )
        lines.append(reconstruction_line(pretrain(demo_dataset, config, fold).reconstruction))
    assert lines[0].startswith(NOTHING)
    assert lines[1].startswith("is better than each gene's mean")

"""Masks are what they were: a run that is repeated, or goes on, hides the same genes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sgm_core.comparison.config import ARMS
from sgm_core.model.checkpoint import load_model
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import cell_noise
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.training.config import PretrainConfig

WRITTEN = {
    ("uniform", "strata"): "c75f7383b9ca31f3",
    ("uniform", "all"): "3e00f4015f42342f",
    ("expression+summary", "strata"): "71a4c9a3eb637aab",
    ("expression+summary", "all"): "24cd227b65a9049f",
    ("self-guided", "strata"): "e4afd251a51e62af",
    ("self-guided", "all"): "a99864e798c2b932",
}
"""Digests of the masks as they were drawn before strategies had files of their own."""


@pytest.mark.parametrize(("arm", "basis"), list(WRITTEN))
def test_masks_are_those_of_earlier_versions(arm: str, basis: str) -> None:
    torch.manual_seed(0)
    fields = {"latents": 6, "latent_width": 16, "key_init": "random", "mask_basis": basis}
    config = PretrainConfig(**{**ARMS[arm], **fields})
    shape = BackboneConfig(40, width=16, depth=1, heads=2, decoder_width=8, decoder_heads=2, bins=5)
    model = MaskedModel(shape, config.to_dict(), torch.arange(40) < 37)
    rng = np.random.default_rng(1)
    values = torch.from_numpy((rng.random((50, 40)) * 3 * (rng.random((50, 40)) < 0.4)).astype(np.float32))
    noise = cell_noise(5, 0, 1, np.arange(50), 46)
    subset = noise[:, 40:].topk(2, dim=1).indices
    masked = model.draw(values, noise[:, :40], subset).masked
    digest = hashlib.sha256(np.packbits(masked.numpy()).tobytes()).hexdigest()[:16]
    assert digest == WRITTEN[arm, basis]


def test_a_checkpoint_from_before_strategies_had_files_loads() -> None:
    model, genes, arm = load_model(Path(__file__).parent / "before_strategies")
    assert arm == "self-guided" and list(genes) == [f"G{i}" for i in range(6)]
    values = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.5, 3.0]])
    hidden = torch.tensor([[True, False, False, False, True, False]])
    with torch.no_grad():
        predicted = model.eval().predict(values, hidden)[0]
    assert predicted.tolist() == pytest.approx(
        [-1.1100, -1.1539, -1.0568, -0.6238, -0.7934, -0.4793], abs=1e-3
    )

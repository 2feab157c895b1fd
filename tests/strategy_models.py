"""Toy models and cells for the tests of masking strategies."""

import numpy as np
import torch
from torch import Tensor

from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import cell_noise, strata_of
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.strategies.base import Seen
from sgm_core.resources.names import DEMO_GENE_SETS
from sgm_core.resources.store import read_gmt, resource_path
from sgm_core.training.config import PretrainConfig

N_GENES = 40


def programme_genes(n_genes: int = N_GENES) -> tuple[str, ...]:
    """Return genes of the demo's gene sets."""
    terms = read_gmt(resource_path("genesets", DEMO_GENE_SETS))
    return tuple(dict.fromkeys(gene for members in terms.values() for gene in members))[:n_genes]


def model_of(masker: str, n_genes: int = N_GENES, **fields: object) -> MaskedModel:
    """Return a small model of a strategy, with random numbers in place of what it would learn."""
    torch.manual_seed(0)
    own = {"masker": masker, "key_init": "random", "latents": 6, "latent_width": 16, "latent_heads": 2}
    config = PretrainConfig(**{**own, **fields})
    shape = BackboneConfig(n_genes, width=16, depth=1, heads=2, decoder_width=8, decoder_heads=2, bins=5)
    model = MaskedModel(shape, config.to_dict(), torch.ones(n_genes, dtype=torch.bool))
    model.strategy.genes = programme_genes(n_genes)
    with torch.no_grad():
        for parameter in model.strategy.parameters():
            parameter.normal_(std=0.3)
    return model


def toy_cells(batch: int = 5, n_genes: int = N_GENES, seed: int = 0) -> Tensor:
    """Return normalised values (B, L), four in ten not zero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, n_genes, generator=generator) * 3 + 0.2
    return values * (torch.rand(batch, n_genes, generator=generator) < 0.4)


def toy_numbers(batch: int, n_genes: int = N_GENES, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return noise (B, L) and subsets (B, 3)."""
    noise = cell_noise(seed, 0, 0, np.arange(batch), n_genes + 6)
    return noise[:, :n_genes], noise[:, n_genes:].topk(3, dim=1).indices


def seen_of(model: MaskedModel, values: Tensor, noise: Tensor, subset: Tensor) -> Seen:
    """Return what `MaskedModel.draw` shows a strategy."""
    ratios = model.strategy.ratios(noise)
    strata = strata_of(values, model.eligible, model.masking["mask_basis"], *ratios)
    return Seen(
        model.backbone,
        values,
        model.backbone.codes(values),
        noise,
        model.eligible,
        subset,
        model.latents,
        strata,
    )

"""What a training starts from: imported weights or random ones, and the values that go with them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from sgm_core.cells.dataset import Dataset
from sgm_core.model.build import build_backbone
from sgm_core.model.bundle import open_bundle
from sgm_core.model.dense import DenseBackbone
from sgm_core.model.interface import BackboneConfig, CellBackbone
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.weights import load_backbone
from sgm_core.training.backbones import is_bundle, shape_of_size
from sgm_core.training.config import PretrainConfig
from sgm_core.training.corpus import Member, corpus_columns, corpus_datasets, corpus_members, training
from sgm_core.training.data import (
    CorpusValues,
    PlacedValues,
    Values,
    VocabularyValues,
    chosen_genes,
    refuse_long_cells,
)
from sgm_core.training.tokens import moments_of


@dataclass(frozen=True)
class Start:
    """A model before its training.

    Parameters
    ----------
    model : on its device
    values : what it reads of the dataset
    genes : columns of the dataset that it reads
    names : symbols of all its genes, those that the dataset lacks among them
    members : the datasets of its corpus, none where that is the dataset alone
    informative : number of genes that were chosen on the training cells; None = a vocabulary
    """

    model: MaskedModel
    values: Values
    genes: np.ndarray
    names: np.ndarray
    members: tuple[Member, ...] = ()
    informative: int | None = None


def initial_state(
    dataset: Dataset,
    config: PretrainConfig,
    rows: np.ndarray,
    device: torch.device,
    shape: BackboneConfig | None = None,
    random: bool = False,
) -> Start:
    """Make the model and its values.

    Parameters
    ----------
    dataset : the cells
    config : every choice
    rows : the training cells, which a size chooses its genes on
    device : where both go
    shape : the backbone's shape, by default that of ``config.backbone``
    random : random weights also where ``config.backbone`` is imported

    Raises
    ------
    InputError
        If the dataset does not fit the vocabulary, a cell has more than ``config.max_tokens`` tokens, or the
        datasets of the corpus don't fit together.
    NotFoundError
        If the imported weights or their key, or a dataset of the corpus, are not there.
    """
    members: list[Member] = []
    informative = None
    if config.corpus:
        members = corpus_members(dataset, corpus_datasets(dataset, config.corpus), rows)
    others = training(members)[1:]
    if shape is None and is_bundle(config.backbone):
        bundle = open_bundle(config.backbone)
        source = f"dataset {dataset.name!r}"
        values: Values = VocabularyValues(dataset, bundle.genes, device, config.target_depth, bundle.config)
        refuse_long_cells(values.lengths, config.max_tokens, source, bundle.config)
        if random:
            torch.manual_seed(config.seed)
            shape = BackboneConfig.from_dict(bundle.config | {"compat": config.compat})
            backbone: CellBackbone = build_backbone(shape)
        else:
            backbone = load_backbone(config.backbone, config.weights_key, config.compat)
        backbone.genes = bundle.genes
        names = np.array(bundle.genes)
        genes = np.flatnonzero(np.isin(dataset.genes, names))
    else:
        genes = chosen_genes(dataset, rows, config.n_genes, config.variable_genes)
        informative = len(genes)
        genes = corpus_columns(dataset, genes, [one.dataset for one in others], config.corpus_genes)
        values = Values(dataset, genes, device, config.target_depth if config.depth_tokens else None)
        refuse_long_cells(values.lengths, config.max_tokens, f"dataset {dataset.name!r}")
        shape = shape or BackboneConfig(**shape_of_size(config, len(genes)))
        torch.manual_seed(config.seed)
        backbone = build_backbone(shape)
        names = dataset.genes[genes]
        if isinstance(backbone, DenseBackbone):
            moments = moments_of(dataset, rows)
            backbone.standardise(*(torch.from_numpy(one[genes]) for one in (moments.mean, moments.variance)))
    set_dropout(backbone, config.dropout, config.attention_dropout)
    backbone.recompute = config.recompute
    if backbone.genes is not None:
        torch.manual_seed(config.seed)  # the weights came without random numbers; the masker's need some
    model = MaskedModel(backbone, config.to_dict(), torch.from_numpy(values.measured))
    model.strategy.genes = tuple(map(str, names))
    return Start(model.to(device), values, genes, names, tuple(members), informative)


def with_corpus(start: Start, config: PretrainConfig) -> Start:
    """Return a start whose values are those of all datasets of the corpus; the model is the same.

    Parameters
    ----------
    start : as `initial_state` makes it
    config : every choice

    Raises
    ------
    InputError
        If a dataset does not fit the vocabulary, or one of its cells is too long.
    """
    values, device = start.values, start.values.device
    depths = values.n_positions - len(start.names)
    shape = start.model.backbone.config.to_dict()
    parts, members = [values], [start.members[0]]
    for member in start.members[1:]:
        if not len(member.rows):
            members.append(member)
            continue
        if start.model.backbone.genes is not None:
            genes = start.model.backbone.genes
            own: Values = VocabularyValues(member.dataset, genes, device, config.target_depth, shape)
        else:
            depth = config.target_depth if depths else None
            own = PlacedValues(member.dataset, start.names, device, depth)
        source = f"dataset {member.dataset.name!r}"
        refuse_long_cells(own.lengths[member.rows], config.max_tokens, source, shape)
        parts.append(own)
        # a cell that expresses none of the genes has nothing to learn from
        seen = own.expressed[member.rows] > 0
        members.append(replace(member, rows=member.rows[seen], silent=int((~seen).sum())))
    joined = CorpusValues(parts, config.corpus_genes == "union")
    start.model.eligible.copy_(torch.from_numpy(joined.measured))
    return replace(start, values=joined, members=tuple(members))


def original(weights: str, key: str) -> MaskedModel:
    """Return imported weights as they are, in the form that finetuning takes."""
    backbone = load_backbone(weights, key)
    config = PretrainConfig(backbone=weights, weights_key=key, masker="uniform", summary="none")
    return MaskedModel(backbone, config.to_dict(), torch.ones(backbone.config.n_positions, dtype=torch.bool))


def set_dropout(backbone: CellBackbone, dropout: float, attention_dropout: float) -> None:
    """Set the dropout of a backbone that was built with another."""
    backbone.config = replace(backbone.config, dropout=dropout, attention_dropout=attention_dropout)
    for part in (backbone, *backbone.blocks):
        if isinstance(getattr(part, "dropout", None), nn.Dropout):
            part.dropout.p = dropout  # type: ignore[union-attr]
    for block in backbone.blocks:
        block.attention_dropout = attention_dropout  # type: ignore[assignment]


def set_pool(backbone: CellBackbone, pool: str | None) -> None:
    """Let a classifier read other parts of the cells' vectors than the backbone was trained with.

    Its decoder can't run after that where it reads the vector too.
    """
    if pool is not None:
        backbone.config = replace(backbone.config, pool=tuple(pool.split("+")))

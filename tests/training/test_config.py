"""What a configuration refuses, and that presets set what the method's tables say."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgm_core.comparison.arms import settings as arm_settings
from sgm_core.comparison.config import DECIDED, CompareConfig
from sgm_core.errors import InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.interface import BackboneConfig
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.backbones import shape_of_size
from sgm_core.training.classifier import class_weights
from sgm_core.training.config import (
    FINETUNE_PRESETS,
    PRESETS,
    FinetuneConfig,
    PretrainConfig,
    finetune_config,
    pretrain_config,
)
from sgm_core.training.config.pretrain import FAULTS
from sgm_core.training.config.settings import Range
from sgm_core.training.schemes import scheme

KINDS = (PretrainConfig, FinetuneConfig, CompareConfig, SweepConfig)
NUMBERS = [
    (kind, field)
    for kind in KINDS
    for field in dataclasses.fields(kind)
    if str(getattr(field.type, "__name__", field.type)).startswith(("int", "float"))
]


def inside(value: float, span: Range) -> bool:
    """Say the same as `Range` in other words."""
    if math.isnan(value) or value < span.low or value > span.high:
        return False
    return not (span.open_low and value == span.low) and not (span.open_high and value == span.high)


@pytest.mark.parametrize(
    ("kind", "field"), NUMBERS, ids=[f"{kind.__name__}.{field.name}" for kind, field in NUMBERS]
)
@given(data=st.data())
def test_a_number_outside_its_range_is_refused_by_name(kind: Any, field: Any, data: Any) -> None:
    span = field.metadata["range"]
    assert isinstance(span, Range), "every number has a range"
    assert math.isfinite(span.low) and math.isfinite(span.high)
    whole = str(getattr(field.type, "__name__", field.type)).startswith("int")
    ends = [span.low - 1, span.high + 1, *([span.low] if span.open_low else [])]
    odd: Any = st.sampled_from([*ends, math.nan, math.inf, -math.inf])
    value = data.draw(odd | (st.integers() if whole else st.floats()))
    if not inside(value, span):
        for wrong in (value, str(value)):  # as Python has it, and as `--set` has it
            with pytest.raises(InputError, match=f"^{field.name} is "):
                kind.from_dict({field.name: wrong})
        with pytest.raises(InputError, match=f"^{field.name} is "):
            kind(**{field.name: value})


def test_defaults_and_presets_pass() -> None:
    for kind in KINDS:
        assert kind.from_dict(kind().to_dict()) == kind()
    for preset in PRESETS:
        config = pretrain_config(preset)
        assert PretrainConfig.from_dict(config.to_dict()) == config
    for preset in FINETUNE_PRESETS:
        config = finetune_config("", preset)
        assert FinetuneConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask_ratio": 1.5}, "mask_ratio is 1.5: it must be above 0 and below 1"),
        ({"lr_new": "nan"}, "lr_new is nan: it must be above 0 and at most 1"),
        ({"latents": 0}, "latents is 0: it must be at least 1"),
        ({"n_genes": 0}, "n_genes is 0: it must be at least 2"),
        ({"epochs": 0}, "epochs is 0: it must be at least 1"),
        ({"latent_heads": 3}, "latent_heads is 3: it must divide latent_width, which is 32"),
        ({"subset": 9}, "subset is 9: it is drawn from the latents, of which there are 4"),
        ({"fold": 5}, "fold is 5: with 5 folds it is 0 to 4"),
        ({"split": "holdout", "fold": 1}, "fold is 1: the split 'holdout' has fold 0 alone"),
        ({"epochs": True}, "epochs is True: a value of type int is needed"),
        ({"device": "gpu"}, "device is 'gpu': choose auto, cpu, cuda or cuda:N"),
        ({"seed": -1}, "seed is -1: it must be at least 0"),
        ({"pool": "median"}, "pool is 'median': choose one of max"),
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        pretrain_config(**fields)
    assert str(refused.value).startswith(message)
    nested = {name: value for name, value in fields.items() if name not in DECIDED}
    if nested:
        with pytest.raises(InputError) as refused:
            CompareConfig(pretrain=nested)
        assert str(refused.value).startswith(f"pretrain: {message}")


def test_visible_genes_are_decoded_by_dense_alone() -> None:
    words = "whole_cell is 0.1: 'tiny' decodes a visible gene from its own token"
    with pytest.raises(InputError) as refused:
        pretrain_config(backbone="tiny", whole_cell=0.1)
    assert str(refused.value).startswith(words)
    with pytest.raises(InputError) as refused:
        CompareConfig(backbone="tiny", pretrain={"whole_cell": 0.1})
    assert str(refused.value).startswith(f"pretrain: {words}")


def test_a_comparison_refuses_what_it_would_not_do() -> None:
    with pytest.raises(InputError, match=r"^finetune: lr is 7: it must be above 0"):
        CompareConfig(finetune={"lr": 7.0})
    with pytest.raises(InputError, match=r"^pretrain\.masker can't be set"):
        CompareConfig(pretrain={"masker": "uniform"})
    with pytest.raises(InputError, match=r"^finetune\.seed can't be set"):
        CompareConfig(finetune={"seed": 3})
    with pytest.raises(InputError, match=r"^arms has 'uniform' twice"):
        CompareConfig(arms=("uniform", "uniform"))
    with pytest.raises(InputError, match=r"^schemes is empty"):
        CompareConfig(schemes=())


# method.md, section 2: the paper's numbers; section 3: what its authors' code does
TEXT = {
    "latents": 128, "latent_width": 256, "latent_heads": 8, "lr_new": 1e-4, "lr_backbone": 1e-5,
    "weight_decay": 5e-4, "clip": 1.0, "batch_size": 1, "accumulation": 5, "penalty_weight": 1e-5,
    "patience": 5, "epochs": 10, "amsgrad": True, "schedule": "constant", "mask_ratio": 0.3,
    "mask_basis": "all", "penalty": "output-norm", "summary": "both", "pool": "max", "cell_context": False,
    "value_scaling": False, "depth_tokens": True, "key_init": "random", "guide": "summary",
    "subset": int(128 * 0.3),
}  # fmt: skip
SILENT = {
    "keys": "value+gene", "subset_per": "cell", "summary_sees": "masked", "validation_masks": "fixed",
}  # fmt: skip
THEIRS = {
    "keys": "value", "mask_ratio": 0.3 * 0.08, "subset": int(128 * 0.024), "subset_per": "batch",
    "summary_sees": "all", "validation_masks": "redrawn", "lr_new": 1e-5, "clip": 0.0,
}  # fmt: skip
ALL = {"train_cells": None}
CLASSIFIER = {
    "lr": 1e-4, "weight_decay": 5e-4, "clip": 1.0, "batch_size": 1, "probe_batch_size": 8, "accumulation": 5,
    "patience": 5, "epochs": 10, "probe_epochs": 10, "head_hidden": 256, "pool": "max", "dropout": 0.0,
    "class_weights": True, "class_weighting": "authors", "amsgrad": True, "schedule": "constant",
    "keep_summary": True, "trained_block": "last", "choose_decay": False, "train_cells": None, "head": "mlp",
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "table"),
    [
        (pretrain_config("paper"), TEXT | SILENT | ALL),
        (pretrain_config("authors"), TEXT | THEIRS | ALL),
        (finetune_config("", "paper"), CLASSIFIER),
        (finetune_config("", "authors"), CLASSIFIER | {"trained_block": "second-to-last", "clip": 0.0}),
    ],
    ids=["pretrain-paper", "pretrain-authors", "finetune-paper", "finetune-authors"],
)
def test_a_preset_is_what_the_method_says(config: Any, table: dict[str, Any]) -> None:
    assert {name: getattr(config, name) for name in table} == pytest.approx(table)
    presets = PRESETS if isinstance(config, PretrainConfig) else FINETUNE_PRESETS
    assert set(presets[config.preset]) == {*table, "preset"}, "and sets nothing that no table names"


def test_the_named_faults_are_what_tells_the_authors_from_the_paper() -> None:
    different = {name for name in PRESETS["paper"] if PRESETS["paper"][name] != PRESETS["authors"][name]}
    assert different - {"preset"} == set(FAULTS)


def test_a_preset_sets_the_architecture_of_a_size() -> None:
    paper = Backbone(BackboneConfig(**shape_of_size(pretrain_config("paper"), 20)))
    assert paper.config.pool == ("max",) and paper.context is None
    assert not paper.config.value_scaling and paper.config.depth_tokens
    assert pretrain_config("authors").backbone == "tiny" and pretrain_config().backbone == "dense"
    ours = BackboneConfig(**shape_of_size(pretrain_config(backbone="tiny"), 20))
    assert ours.pool == ("max", "mean", "weighted", "genes") and ours.cell_context and ours.value_scaling


def test_imported_weights_keep_their_shape(bundle: str) -> None:
    assert pretrain_config("paper", backbone=bundle).pool is None
    with pytest.raises(InputError, match=r"pool is 'max': the imported weights .* have a shape of their own"):
        pretrain_config("paper", backbone=bundle, pool="max")


def test_the_authors_class_weights_are_flat_below_an_imbalance_of_fifty() -> None:
    mild = np.repeat([0, 1, 2], [490, 100, 10])
    assert np.allclose(class_weights(mild, 3, "authors"), 1)
    strong = np.repeat([0, 1, 2], [1000, 21, 5])
    weights = class_weights(strong, 3, "authors").numpy()
    assert weights[0] == weights[1] and weights[2] / weights[0] == pytest.approx(200 / 50)
    assert weights[strong].mean() == pytest.approx(1)


def test_the_trained_block_can_be_the_second_to_last() -> None:
    deep = Backbone(BackboneConfig(20, width=16, depth=3, heads=2))
    assert [scheme("partial", deep, block).block for block in ("last", "second-to-last")] == [2, 1]
    assert scheme("partial", deep, "second-to-last").embeddings
    flat = Backbone(BackboneConfig(20, width=16, depth=1, heads=2))
    with pytest.raises(InputError, match="this backbone has one block"):
        scheme("last-block", flat, "second-to-last")


@pytest.mark.parametrize("preset", ["paper", "authors"])
def test_a_comparison_takes_both_halves_of_a_preset(preset: str) -> None:
    config = CompareConfig(backbone="small", pretrain={"preset": preset}, finetune={"preset": preset})
    pretraining, finetuning = arm_settings(config, "self-guided", 2)
    assert pretraining == pretrain_config(
        preset, backbone="small", fold=2, masker="self-guided", summary="both"
    )
    assert finetuning == finetune_config("", preset, fold=2)

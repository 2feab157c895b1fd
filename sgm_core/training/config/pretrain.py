"""Every choice of a masked pretraining: one object for the page, the command line and JSON.

Every field says in its metadata what it means (`help`), to which group of the form it belongs (`group`),
and what the paper used (`paper`, where the text or the authors' code speaks). Defaults are the `sgm`
preset. Paper: "Improving Classification of Cell Types in AML with Self-guided Masking Technique", AI4D3
2025.
"""

from dataclasses import dataclass
from typing import Any

from sgm_core.errors import InputError
from sgm_core.model.sizes import CELL_TOKEN, DEFAULT_BACKBONE, usual_backbone
from sgm_core.model.strategies import NEED_VALUES, strategy_names
from sgm_core.resources.names import DEMO_GENE_SETS
from sgm_core.training.backbones import (
    POOLS,
    SHAPE_FIELDS,
    bundle_kind,
    check_backbone,
    is_bundle,
    recipe_defaults,
)
from sgm_core.training.config.settings import (
    SEEDS,
    Range,
    Settings,
    backbone_field,
    check_fold,
    checkpoint_field,
    option,
    split_field,
    train_cells_field,
)

MASKERS = strategy_names()
"""Who can choose the hidden genes: every strategy of `sgm_core.model.strategies`."""


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Masked pretraining of one backbone on one dataset."""

    data: str = option("", "data", "Name of the dataset")
    corpus: tuple[str, ...] = option(
        (),
        "data",
        "Further datasets whose cells, without their labels, are pretrained on together with those of "
        "`data`: none of a test or validation donor, and none twice",
    )
    corpus_genes: str = option(
        "intersection",
        "data",
        "The most informative genes of `data`: intersection = those that every dataset of the corpus "
        "measured; union = all, and what a dataset lacks is neither masked nor scored in its cells",
        choices=("intersection", "union"),
    )
    backbone: str = backbone_field(
        DEFAULT_BACKBONE,
        "A size that is trained from scratch, or the name of imported weights (scFoundation, scGPT, scBERT)",
    )
    weights_key: str = option(
        "gene", "model", "Which weight set of imported weights", "gene", ("cell", "gene", "rde")
    )
    masker: str = option("self-guided", "masking", "Who chooses the hidden genes", "self-guided", MASKERS)
    preset: str = option(
        "sgm",
        "masking",
        "sgm: what measured best here; paper: the text; authors: their code with its named faults",
        choices=("sgm", "paper", "authors"),
    )
    fold: int | None = option(
        None,
        "data",
        "Hide the test donors of this fold; none = shared pretraining on all donors",
        range=Range(0, 999),
    )
    split: str = split_field()
    n_folds: int = option(
        5, "data", "Number of donor folds that `fold` counts in (cross-validation)", range=Range(2, 1000)
    )
    label: str | None = option(
        None, "data", "Label column used to stratify the folds; none = the cell type column"
    )
    train_cells: int | None = train_cells_field()
    n_genes: int = option(
        2000,
        "model",
        "Number of most informative genes, chosen on the training donors",
        16000,
        range=Range(2, 100_000),
    )
    variable_genes: int = option(
        0,
        "model",
        "Number of most variable genes (dispersion among genes of equal mean, which finds rare markers) that "
        "are taken beside `n_genes`; `dense`: 1,500",
        0,
        range=Range(0, 100_000),
    )
    depth_tokens: bool = option(
        False,
        "model",
        "Two tokens follow the genes, the cell's read depth S and the depth T to predict; scFoundation's "
        "weights always have them",
        True,
    )
    target_depth: str = option(
        "a0",
        "model",
        "The depth T: a0 = the cell's own (log10 of its counts), a1 = ten times that, f2 = twice that, "
        "t4 = 10,000 counts for every cell",
    )
    pool: str | None = option(
        None,
        "model",
        "Parts of a cell's vector: over its tokens the max, the mean, the mean weighted by value; genes = "
        "the values of the genes themselves, which a head then reads too; none = the size's own",
        "max",
        POOLS,
    )
    cell_context: bool | None = option(
        None,
        "model",
        "The decoder also sees the cell's vector, so that reconstruction trains it; none = the size's own",
        False,
        (True, False),
    )
    value_scaling: bool | None = option(
        None,
        "model",
        "A gene's position row is multiplied by 1 + value; none = the size's own",
        False,
        (True, False),
    )
    downsample: float = option(
        0.0,
        "model",
        "Share of the training cells whose counts are thinned, to be restored to their own depth "
        "(scFoundation's read-depth-aware pretraining); needs the depth tokens",
        range=Range(0.0, 1.0),
    )
    dropout: float = option(
        0.0,
        "model",
        "Dropout on the encoder blocks' outputs; scFoundation has 0.1",
        range=Range(0.0, 1.0, open_high=True),
    )
    attention_dropout: float = option(
        0.0,
        "model",
        "Dropout on the attention probabilities; scFoundation has 0.1, which doubles the time of a step",
        range=Range(0.0, 1.0, open_high=True),
    )
    # masking
    objective: str = option(
        "masked",
        "masking",
        "masked: hidden genes are tokens that all others see; generative: as scGPT was pretrained, they are "
        "generated from the others, a quarter, half or three quarters of a cell's genes in place of "
        "`mask_ratio`",
        choices=("masked", "generative"),
    )
    mask_ratio: float = option(
        0.3,
        "masking",
        "Share of the eligible positions (of the non-zero ones under `strata`) that is hidden",
        0.3,
        range=Range(0.0, 1.0, open_low=True, open_high=True),
    )
    zero_ratio: float = option(
        0.03,
        "masking",
        "Share of the zeros that is hidden under the basis `strata`",
        range=Range(0.0, 1.0, open_high=True),
    )
    mask_basis: str = option(
        "strata",
        "masking",
        "all: one draw over all positions; strata: zeros and non-zeros apart",
        "all",
        ("all", "strata"),
    )
    latents: int = option(8, "masking", "Trainable latent vectors N", 128, range=Range(1, 4096))
    latent_width: int = option(64, "masking", "Width of a latent D_z", 256, range=Range(1, 8192))
    latent_heads: int = option(2, "masking", "Heads of the latents' cross-attention", 8, range=Range(1, 256))
    subset: int = option(
        2, "masking", "Size of the random subset R of latents that score a cell", 38, range=Range(1, 4096)
    )
    subset_per: str = option(
        "cell", "masking", "Draw R for every cell or once a batch (authors' code)", "batch", ("cell", "batch")
    )
    keys: str = option(
        "value+gene", "masking", "What the latents attend over", "value", ("value", "value+gene")
    )
    key_init: str = option(
        "zero",
        "masking",
        "Where the latents' key projection starts: zero = masks start uniform and leave it only by learning; "
        "random = every gene has a preference before the first step (authors' code)",
        "random",
        ("zero", "random"),
    )
    guide: str = option(
        "summary",
        "masking",
        "What teaches the latents which genes self-guided masks hide: summary = the loss, through their "
        "output alone; error = also how badly each hidden gene was reconstructed",
        "summary",
        ("summary", "error"),
    )
    temperature: float = option(
        1.0,
        "masking",
        "Importance is raised to 1 / temperature before the draw",
        1.0,
        range=Range(0.0, 100.0, open_low=True),
    )
    mask_warmup: float = option(
        0.0,
        "masking",
        "Share of the training over which masks go from uniform to those of the masker; 0 = from the start",
        range=Range(0.0, 1.0),
    )
    programmes: str = option(
        DEMO_GENE_SETS,
        "masking",
        "Gene sets that the masker `programmes` hides whole: the name of a GMT among the resources",
    )
    summary: str = option(
        "both",
        "masking",
        "Where the latents' mean output is added to the tokens",
        "both",
        ("none", "encoder", "decoder", "both"),
    )
    summary_sees: str = option(
        "masked",
        "masking",
        "masked: the mask token stands at hidden genes; all: the unmasked cell (leaks; authors' code)",
        "all",
        ("masked", "all"),
    )
    penalty: str = option(
        "overlap",
        "masking",
        "overlap between latents' attention maps, or the norm of the attention output (authors' code)",
        "output-norm",
        ("none", "overlap", "output-norm"),
    )
    penalty_weight: float = option(
        1e-3, "masking", "Weight of the penalty, lambda_attn", 1e-5, range=Range(0.0, 1000.0)
    )
    whole_cell: float = option(
        0.0,
        "masking",
        "Weight of the errors at the visible genes, which `dense` decodes from the cell's vector as it does "
        "hidden ones; 0 = hidden genes alone",
        0.0,
        range=Range(0.0, 1000.0),
    )
    validation_masks: str = option(
        "fixed",
        "masking",
        "Masks for the validation loss: drawn once, or again every epoch",
        "redrawn",
        ("fixed", "redrawn"),
    )
    # optimisation
    schedule: str = option(
        "cosine",
        "optimisation",
        "Learning rate over the run: constant (imported weights), or warm-up of 5 % and cosine decay",
        "constant",
        ("constant", "cosine"),
    )
    epochs: int = option(3, "optimisation", "Passes over the training cells", 10, range=Range(1, 10_000))
    patience: int | None = option(
        None,
        "optimisation",
        "Stop after this many epochs without improvement of the validation loss; none = fixed epochs",
        5,
        range=Range(1, 10_000),
    )
    batch_size: int = option(
        32, "optimisation", "Cells a step; imported weights: 1", 1, range=Range(1, 65_536)
    )
    accumulation: int = option(
        1,
        "optimisation",
        "Steps whose gradients are averaged for an update; imported weights: 5",
        5,
        range=Range(1, 65_536),
    )
    lr_new: float = option(
        1e-3,
        "optimisation",
        "Learning rate of the new layers (latents, adapters); imported weights: 1e-4",
        1e-4,
        range=Range(0.0, 1.0, open_low=True),
    )
    lr_backbone: float = option(
        1e-3,
        "optimisation",
        "Learning rate of the backbone, 0 = as it is; imported weights: 1e-5",
        1e-5,
        range=Range(0.0, 1.0),
    )
    weight_decay: float = option(0.0, "optimisation", "Weight decay", 5e-4, range=Range(0.0, 1.0))
    amsgrad: bool = option(False, "optimisation", "Adam's amsgrad variant (authors' code)", True)
    clip: float = option(
        1.0, "optimisation", "Largest gradient norm; 0 = no clipping", 1.0, range=Range(0.0, 1000.0)
    )
    redraw_interval: int | None = option(
        None,
        "optimisation",
        "Draw the decoder's random features anew every so many steps; none = never, scFoundation: 1,000",
        range=Range(1, 1_000_000_000),
    )
    compat: str = option(
        "corrected",
        "model",
        "official: imported weights run as in the released code: keys stabilised across the batch, T or S "
        "lost when not positive, features redrawn every 1,000 steps, counted on from the weights; scBERT "
        "leaves a tenth of the genes to predict in sight, scGPT hides the token of the cell like a gene",
        choices=("corrected", "official"),
    )
    # machine
    parallel: str = option(
        "ddp",
        "machine",
        "Where several processes train (torchrun, Slurm): ddp = each has the whole model; fsdp = each keeps "
        "a part of weights, gradients and optimiser, for backbones that fill a GPU",
        choices=("ddp", "fsdp"),
    )
    recompute: bool = option(
        False,
        "machine",
        "Keep each block's input alone and compute the rest again for the gradient: less memory, a third "
        "more time",
    )
    max_tokens: int = option(
        15000,
        "machine",
        "Refuse cells with more tokens (expressed genes and depth tokens): attention grows with the square",
        range=Range(1, 1_000_000),
    )
    device: str = option("auto", "machine", "auto, cpu, cuda or cuda:N")
    precision: str = option("fp32", "machine", "Number format of the forward pass", "fp32", ("fp32", "bf16"))
    seed: int = option(0, "machine", "Seed of every random choice", range=Range(0, SEEDS))
    checkpoint_minutes: float = checkpoint_field()

    def __post_init__(self) -> None:
        super().__post_init__()
        from sgm_core.model.inputs import target_depth  # numpy is not needed to start the command line

        check_backbone(self.backbone)
        target_depth(self.target_depth)
        check_fold(self.fold, self.split, self.n_folds)
        for name in self.corpus:
            if not name or self.corpus.count(name) > 1:
                what = f"has {name!r} twice" if name else "has an empty name"
                raise InputError(f"corpus {what}: name each further dataset once, for example B,C")
        if self.latent_width % self.latent_heads:
            raise InputError(
                f"latent_heads is {self.latent_heads}: it must divide latent_width, which is "
                f"{self.latent_width}"
            )
        if self.subset > self.latents:
            raise InputError(
                f"subset is {self.subset}: it is drawn from the latents, of which there are {self.latents}"
            )
        bundle = is_bundle(self.backbone)
        if self.compat == "official" and not bundle:
            raise InputError("compat=official is what the released code does: it needs imported weights")
        for name in SHAPE_FIELDS:
            if bundle and getattr(self, name) is not None:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}: the imported weights {self.backbone!r} have a shape "
                    "of their own, leave it at none"
                )
        kind = bundle_kind(self.backbone) if bundle else "transformer"
        if self.objective == "generative" and kind != "scgpt":
            raise InputError(
                f"objective is 'generative', which is how scGPT was pretrained, and backbone is "
                f"{self.backbone!r}: choose imported weights of scGPT, or objective=masked"
            )
        if kind in CELL_TOKEN and self.masker in NEED_VALUES:
            raise InputError(
                f"masker is {self.masker!r}, which knows the noise of values, and {self.backbone!r} predicts "
                "classes of them: choose another masker, such as error-guided"
            )
        if self.whole_cell and self.backbone != "dense":
            raise InputError(
                f"whole_cell is {self.whole_cell}: {self.backbone!r} decodes a visible gene from its own "
                "token, which knows it; leave it at 0, or take the backbone 'dense'"
            )
        if self.downsample and (kind in CELL_TOKEN or not (self.depth_tokens or bundle)):
            raise InputError("downsample tells the model two read depths: it needs depth_tokens=true")
        if self.downsample and target_depth(self.target_depth) not in (("a", 0.0), ("f", 1.0)):
            raise InputError(
                f"target_depth is {self.target_depth!r}: downsample restores cells to their own depth, which "
                "is target_depth=a0"
            )


_PAPER: dict[str, Any] = {
    "preset": "paper",
    "train_cells": None,
    # the architecture: scFoundation's, where a size is trained in its place
    "depth_tokens": True,
    "pool": "max",
    "cell_context": False,
    "value_scaling": False,
    "mask_basis": "all",
    "mask_ratio": 0.3,
    "latents": 128,
    "latent_width": 256,
    "latent_heads": 8,
    "subset": 38,  # int(128 * 0.3)
    "subset_per": "cell",
    "keys": "value+gene",
    "key_init": "random",
    "guide": "summary",
    "summary": "both",
    "summary_sees": "masked",
    "penalty": "output-norm",
    "penalty_weight": 1e-5,
    "validation_masks": "fixed",
    "schedule": "constant",
    "epochs": 10,
    "patience": 5,
    "batch_size": 1,
    "accumulation": 5,
    "lr_new": 1e-4,
    "lr_backbone": 1e-5,
    "weight_decay": 5e-4,
    "amsgrad": True,
    "clip": 1.0,
}
FAULTS: dict[str, tuple[Any, str]] = {
    "keys": ("value", "keys from the value alone, so that no gene can be preferred beyond its value"),
    "mask_ratio": (0.024, "0.3 x 0.08 of the positions hidden, a tenth of what the text says"),
    "subset": (3, "R has int(128 x 0.024) of the latents"),
    "subset_per": ("batch", "R is drawn once a batch"),
    "summary_sees": ("all", "the summary is computed from the unmasked cell, which leaks the hidden values"),
    "validation_masks": ("redrawn", "validation masks drawn again every epoch: a noisy signal to stop on"),
    "lr_new": (1e-5, "without DDP the new layers get the backbone's learning rate"),
    "clip": (0.0, "gradients are clipped once before training, which has no effect"),
}
"""The faults of the authors' code that the preset `authors` has: the field's value, and what is wrong.

Not copied: unmeasured genes and the depth tokens may be masked there, a resumed run starts its optimiser
anew, and the uniform arm hides its share of zeros and of non-zeros apart (here all arms share a basis).
"""
PRESETS: dict[str, dict[str, Any]] = {
    "sgm": {"preset": "sgm"},
    "paper": _PAPER,
    "authors": {**_PAPER, "preset": "authors", **{name: value for name, (value, _) in FAULTS.items()}},
}
"""Fields of `PretrainConfig` that each preset sets; all others keep their defaults.

`paper` is the text, and where the text is silent the authors' code without its faults; `authors` has those
too. What depends on the data and the machine (genes, folds, precision) no preset sets.
"""


def pretrain_config(preset: str = "sgm", **values: Any) -> PretrainConfig:
    """Return a preset with the fields `values` changed.

    The preset `sgm` takes the backbone's `recipe_defaults` where `values` says nothing; the presets
    `paper` and `authors` keep the paper's, but for the shape, which the weights have of their own.

    Raises
    ------
    InputError
        If the preset, the backbone or a field is unknown, or a value does not fit its field.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    backbone = str(values.get("backbone", usual_backbone(preset)))
    own = {**PRESETS[preset], "backbone": backbone}
    if is_bundle(backbone):
        own = {name: value for name, value in own.items() if name not in SHAPE_FIELDS}
    if preset == "sgm":
        own = {**own, **recipe_defaults(backbone).get("pretrain", {})}
    return PretrainConfig.from_dict({**own, **values})

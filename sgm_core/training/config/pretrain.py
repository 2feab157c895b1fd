"""Every choice of a masked pretraining: one object for the page, the command line and JSON.

Every field says in its metadata what it means (`help`), to which group of the form it belongs (`group`),
and what the paper used (`paper`, where the text or the authors' code speaks). Defaults are the `sgm`
preset. Paper: "Improving Classification of Cell Types in AML with Self-guided Masking Technique", AI4D3
2025.
"""

from dataclasses import dataclass
from typing import Any

from sgm_core.errors import InputError
from sgm_core.training.backbones import BUNDLE_DEFAULTS, check_backbone, is_bundle
from sgm_core.training.config.settings import Settings, backbone_field, check_counts, option

MASKERS = ("uniform", "expression", "self-guided")


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Masked pretraining of one backbone on one dataset."""

    data: str = option("", "data", "Name of the dataset")
    backbone: str = backbone_field(
        "tiny",
        "A size of the scFoundation architecture (trained from scratch), or the name of imported weights",
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
        None, "data", "Hide the test donors of this fold; none = shared pretraining on all donors"
    )
    n_folds: int = option(5, "data", "Number of donor folds that `fold` counts in")
    label: str | None = option(
        None, "data", "Label column used to stratify the folds; none = the cell type column"
    )
    n_genes: int = option(
        2000, "model", "Number of most informative genes, chosen on the training donors", 16000
    )
    depth_tokens: bool = option(
        False,
        "model",
        "Two tokens follow the genes, the cell's read depth S and the depth T to predict; imported weights "
        "always have them",
        True,
    )
    target_depth: str = option(
        "a0",
        "model",
        "The depth T: a0 = the cell's own (log10 of its counts), a1 = ten times that, f2 = twice that, "
        "t4 = 10,000 counts for every cell",
    )
    downsample: float = option(
        0.0,
        "model",
        "Share of the training cells whose counts are thinned, to be restored to their own depth "
        "(scFoundation's read-depth-aware pretraining); needs the depth tokens",
    )
    dropout: float = option(0.0, "model", "Dropout on the encoder blocks' outputs; scFoundation has 0.1")
    attention_dropout: float = option(
        0.0,
        "model",
        "Dropout on the attention probabilities; scFoundation has 0.1, which doubles the time of a step",
    )
    # masking
    mask_ratio: float = option(
        0.3,
        "masking",
        "Share of the eligible positions (of the non-zero ones under `strata`) that is hidden",
        0.3,
    )
    zero_ratio: float = option(0.03, "masking", "Share of the zeros that is hidden under the basis `strata`")
    mask_basis: str = option(
        "strata",
        "masking",
        "all: one draw over all positions; strata: zeros and non-zeros apart",
        "all",
        ("all", "strata"),
    )
    latents: int = option(8, "masking", "Trainable latent vectors N", 128)
    latent_width: int = option(64, "masking", "Width of a latent D_z", 256)
    latent_heads: int = option(2, "masking", "Heads of the latents' cross-attention", 8)
    subset: int = option(2, "masking", "Size of the random subset R of latents that score a cell", 38)
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
    temperature: float = option(
        1.0, "masking", "Importance is raised to 1 / temperature before the draw", 1.0
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
    penalty_weight: float = option(1e-3, "masking", "Weight of the penalty, lambda_attn", 1e-5)
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
    epochs: int = option(3, "optimisation", "Passes over the training cells", 10)
    patience: int | None = option(
        None,
        "optimisation",
        "Stop after this many epochs without improvement of the validation loss; none = fixed epochs",
        5,
    )
    batch_size: int = option(32, "optimisation", "Cells a step; imported weights: 1", 1)
    accumulation: int = option(
        1, "optimisation", "Steps whose gradients are averaged for an update; imported weights: 5", 5
    )
    lr_new: float = option(
        1e-3,
        "optimisation",
        "Learning rate of the new layers (latents, adapters); imported weights: 1e-4",
        1e-4,
    )
    lr_backbone: float = option(
        1e-3, "optimisation", "Learning rate of the backbone; imported weights: 1e-5", 1e-5
    )
    weight_decay: float = option(0.0, "optimisation", "Weight decay", 5e-4)
    amsgrad: bool = option(False, "optimisation", "Adam's amsgrad variant (authors' code)", True)
    clip: float = option(1.0, "optimisation", "Largest gradient norm; 0 = no clipping", 1.0)
    redraw_interval: int | None = option(
        None,
        "optimisation",
        "Draw the decoder's random features anew every so many steps; none = never, scFoundation: 1,000",
    )
    compat: str = option(
        "corrected",
        "model",
        "official: imported weights run as in the released code: keys stabilised across the batch, T or S "
        "lost when not positive, features redrawn every 1,000 steps, counted on from the weights",
        choices=("corrected", "official"),
    )
    # machine
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
    )
    device: str = option("auto", "machine", "auto, cpu, cuda or cuda:N")
    precision: str = option("fp32", "machine", "Number format of the forward pass", "fp32", ("fp32", "bf16"))
    seed: int = option(0, "machine", "Seed of every random choice")

    def __post_init__(self) -> None:
        super().__post_init__()
        from sgm_core.model.inputs import target_depth  # numpy is not needed to start the command line

        check_backbone(self.backbone)
        target_depth(self.target_depth)
        check_counts(self, "batch_size", "accumulation", "redraw_interval")
        if self.compat == "official" and not is_bundle(self.backbone):
            raise InputError("compat=official is what the released code does: it needs imported weights")
        if self.downsample > 1:
            raise InputError(f"downsample is {self.downsample}: a share of the cells is between 0 and 1")
        for name in ("dropout", "attention_dropout"):
            if getattr(self, name) >= 1:
                raise InputError(f"{name} is {getattr(self, name)}: a probability below 1 is needed")
        if self.downsample and not (self.depth_tokens or is_bundle(self.backbone)):
            raise InputError("downsample tells the model two read depths: it needs depth_tokens=true")
        if self.downsample and target_depth(self.target_depth) not in (("a", 0.0), ("f", 1.0)):
            raise InputError(
                f"target_depth is {self.target_depth!r}: downsample restores cells to their own depth, which "
                "is target_depth=a0"
            )


_PAPER: dict[str, Any] = {
    "preset": "paper",
    "mask_basis": "all",
    "mask_ratio": 0.3,
    "latents": 128,
    "latent_width": 256,
    "latent_heads": 8,
    "subset": 38,
    "keys": "value+gene",
    "key_init": "random",
    "penalty": "output-norm",
    "penalty_weight": 1e-5,
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
PRESETS: dict[str, dict[str, Any]] = {
    "sgm": {"preset": "sgm"},
    "paper": _PAPER,
    # the named faults of the authors' code: keys without gene identity, R once per batch, a summary of the
    # unmasked cell, a tenth of the masks, no clipping in effect, one learning rate, validation masks redrawn
    "authors": {
        **_PAPER,
        "preset": "authors",
        "mask_ratio": 0.024,
        "keys": "value",
        "subset_per": "batch",
        "summary_sees": "all",
        "lr_new": 1e-5,
        "clip": 0.0,
        "validation_masks": "redrawn",
    },
}
"""Fields of `PretrainConfig` that each preset sets; all others keep their defaults."""


def pretrain_config(preset: str = "sgm", **values: Any) -> PretrainConfig:
    """Return a preset with the fields `values` changed.

    For imported weights the preset `sgm` takes `BUNDLE_DEFAULTS` where `values` says nothing; the presets
    `paper` and `authors` keep the paper's.

    Raises
    ------
    InputError
        If the preset, the backbone or a field is unknown, or a value does not fit its field.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    bundle = preset == "sgm" and is_bundle(str(values.get("backbone", "tiny")))
    own = BUNDLE_DEFAULTS["pretrain"] if bundle else {}
    return PretrainConfig.from_dict({**PRESETS[preset], **own, **values})

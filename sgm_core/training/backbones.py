"""Which backbones there are: the sizes trained from scratch and the imported bundles; needs no torch."""

from typing import TYPE_CHECKING, Any

from sgm_core.errors import InputError
from sgm_core.model.sizes import SIZES, shape_fields

if TYPE_CHECKING:
    from sgm_core.cells.dataset import Dataset
    from sgm_core.progress import Observer

BUNDLE_DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "lr_backbone": 1e-5,
        "lr_new": 1e-4,
        "schedule": "constant",
        "batch_size": 1,
        "accumulation": 5,
    },
    "finetune": {"lr": 1e-4, "batch_size": 4, "accumulation": 2},
}
"""What imported weights start from where the user gives nothing, and why: rates chosen for training from
random weights would wipe out what the weights know, so the paper's rates hold. A full-size cell of 2,000
expressed genes takes about 4.5 GB while it is pretrained and 1 GB while it is finetuned, and on the CPU a
larger batch is no faster; the gradient is made steadier by accumulation, at no cost of memory."""


KIND_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "scgpt": {
        "pretrain": {
            **BUNDLE_DEFAULTS["pretrain"],
            "batch_size": 8,
            "accumulation": 4,
            "mask_ratio": 0.4,
            "zero_ratio": 0.0,
        },
        "finetune": {**BUNDLE_DEFAULTS["finetune"], "batch_size": 8, "accumulation": 4},
    },
    "scbert": {
        "pretrain": {
            **BUNDLE_DEFAULTS["pretrain"],
            "mask_ratio": 0.15,
            "zero_ratio": 0.0,
            "redraw_interval": 1000,
        },
        "finetune": {**BUNDLE_DEFAULTS["finetune"], "batch_size": 2, "accumulation": 4},
    },
}
"""The same of weights of other models: the shares that their own masked training hides, where their tokens
are genes that are not zero, with the rates of the paper."""
SIZE_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "dense": {
        "pretrain": {
            "epochs": 12,
            "batch_size": 256,
            "variable_genes": 1500,
            "zero_ratio": 0.3,
            "latents": 4,
            "latent_width": 32,
            "latent_heads": 1,
        },
        "finetune": {"lr": 1e-4},
    },
}
"""What a size starts from where the user gives nothing, if not from the defaults: chosen on validation donors
(`benchmarks/results/dense_search.md`)."""


def recipe_defaults(backbone: str) -> dict[str, dict[str, Any]]:
    """Return the fields of `pretrain` and of `finetune` that a backbone starts from in the preset `sgm`."""
    if not is_bundle(backbone):
        return SIZE_DEFAULTS.get(backbone, {})
    return KIND_DEFAULTS.get(bundle_kind(backbone), BUNDLE_DEFAULTS)


def own_fields(part: str) -> set[str]:
    """Return the fields of `part` ("pretrain", "finetune") that some backbone starts elsewhere from."""
    all_of = (BUNDLE_DEFAULTS, *KIND_DEFAULTS.values(), *SIZE_DEFAULTS.values())
    return {name for all_ in all_of for name in all_.get(part, {})}


POOLS = (
    "max",
    "mean",
    "max+mean",
    "max+mean+weighted",
    "mean+genes",
    "max+mean+weighted+genes",
    "genes",
)
"""Parts of a cell's vector that can be asked for."""
SHAPE_FIELDS = ("pool", "cell_context", "value_scaling")
"""Fields of `PretrainConfig` that change the shape of a size; imported weights have their own."""


def shape_of_size(config: Any, n_genes: int) -> dict[str, Any]:
    """Return the fields of `BackboneConfig` of a pretraining that starts from a size, for `n_genes` genes."""
    shape = {**shape_fields(config.backbone, n_genes), "depth_tokens": config.depth_tokens}
    given = {name: getattr(config, name) for name in SHAPE_FIELDS}
    shape |= {name: value for name, value in given.items() if value is not None}
    return shape | ({} if config.pool is None else {"pool": tuple(config.pool.split("+"))})


def is_bundle(name: str) -> bool:
    """Return whether `name` is an imported bundle, and not a size."""
    if name in SIZES:
        return False
    from sgm_core.model.bundle import bundle_names

    return name in bundle_names()


def bundle_kind(name: str) -> str:
    """Return the kind of backbone that imported weights are for; scFoundation's where they are damaged."""
    from sgm_core.model.bundle import open_bundle

    try:
        return open_bundle(name).kind
    except InputError:
        return "transformer"


def backbone_names() -> tuple[str, ...]:
    """Return every name that the field `backbone` takes: the sizes, then the imported bundles."""
    from sgm_core.model.bundle import bundle_names

    return (*SIZES, *(name for name in bundle_names() if name not in SIZES))


def check_backbone(name: str) -> None:
    """Check that there is a backbone of this name.

    Raises
    ------
    InputError
        If there is none; the message lists the sizes and the bundles.
    """
    if name not in SIZES and not is_bundle(name):
        bundles = ", ".join(backbone_names()[len(SIZES) :]) or "none yet, `sgm weights import` makes one"
        raise InputError(
            f"backbone is {name!r}: choose a size ({', '.join(SIZES)}) or imported weights ({bundles})"
        )


def default_arms(backbone: str) -> tuple[str, ...]:
    """Return the arms that a comparison has where none are chosen.

    Imported weights are the paper's case: its three rows, and `uniform+summary`, which differs from
    `self-guided` in the masks alone.
    """
    if is_bundle(backbone):
        return ("original", "uniform", "uniform+summary", "self-guided")
    return ("no-pretraining", "uniform", "uniform+summary", "expression+summary", "self-guided")


def say_of_weights(dataset: "Dataset", weights: str, observer: "Observer") -> None:
    """Tell what a person should know of imported weights on a dataset: their corpus, and cells too long."""
    observer.message(corpus_sentence(dataset, weights))
    said = length_sentence(dataset, weights)
    if said is not None:
        observer.message(said)


def length_sentence(dataset: "Dataset", weights: str) -> str | None:
    """Say which genes of cells over the length limit are read; None where there are no such cells."""
    from sgm_core.model.bundle import open_bundle
    from sgm_core.training.tokens import vocabulary_tokens

    bundle = open_bundle(weights)
    limit = bundle.config.get("max_length")
    if limit is None:
        return None
    tokens = vocabulary_tokens(dataset, bundle.genes, {**bundle.config, "max_length": None})
    over = tokens.over(limit)
    if not over:
        return None
    return (
        f"{over:,} of {len(tokens.counts):,} cells of {dataset.name!r} express more genes than {weights!r} "
        f"reads of one: {limit - 1:,} are drawn in each, evenly and always the same ones"
    )


def corpus_sentence(dataset: "Dataset", weights: str) -> str:
    """Say whether the weights' own pretraining saw this dataset; unknown unless ``dataset.json`` says."""
    known = dataset.meta.get("pretraining_corpora", {}).get(weights, "unknown")
    meaning = {
        "no": "does not hold this dataset",
        "yes": "holds this dataset, so every score on it is optimistic",
    }
    holds = meaning.get(known, "may hold this dataset: that is unknown")
    return f"the corpus that {weights!r} was pretrained on {holds}"

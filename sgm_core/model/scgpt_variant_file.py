"""A variant of scGPT from its tensors, which tell what it has."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sgm_core.errors import InputError
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.plain_file import check_tensors
from sgm_core.model.scgpt_file import plain_name, scgpt_names
from sgm_core.model.scgpt_variants import ScGPTVariant, Variant


def read_variant(
    tensors: Mapping[str, Tensor], heads: int, compat: str = "corrected", pre_norm: bool = False
) -> ScGPTVariant:
    """Build a variant from its tensors, whose genes come first, then the tokens <pad>, <cls> and <eoc>.

    Parameters
    ----------
    tensors : by the names of the released code, whichever attention wrote them; a classifier's are left out
    heads : attention heads, which the tensors do not tell
    compat : "official" for the released code's faults: the first cell's domain for all, padding normalised
    pre_norm : the form of flash attention alone

    Raises
    ------
    InputError
        If a tensor is missing, spare, or of another shape; the first few are named.
    """
    own = {plain_name(name): tensor for name, tensor in tensors.items()}
    own = {name: tensor for name, tensor in own.items() if not name.startswith(("cls_decoder.", "flag_"))}
    variant, config = _described(own, heads, compat, pre_norm)
    with torch.device("meta"):
        model = ScGPTVariant(config, variant)
    ours, names = model.state_dict(), variant_names(model)
    table = names["positions.weight"]
    shapes = {theirs: tuple(ours[mine].shape) for mine, theirs in names.items()}
    shapes[table] = (config.n_genes + 3, config.width)
    check_tensors(own, shapes, "the model of scGPT", ())
    state = {mine: own[theirs].clone() for mine, theirs in names.items()}
    state["positions.weight"] = own[table][[*range(config.n_genes), config.n_genes + 1, config.n_genes]]
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(True).eval()


def _described(
    tensors: Mapping[str, Tensor], heads: int, compat: str, pre_norm: bool
) -> tuple[Variant, BackboneConfig]:
    def rows(name: str) -> int:
        return len(tensors[name]) if name in tensors else 0

    query = "none"
    if "mvc_decoder.W.weight" in tensors:
        query = "product"
    elif "mvc_decoder.fc1.weight" in tensors:
        wide = tensors["mvc_decoder.fc1.weight"].shape[1] > tensors["encoder.embedding.weight"].shape[1]
        query = "concat" if wide else "sum"
    values = "continuous" if "value_encoder.linear1.weight" in tensors else "scaling"
    norm = "batch" if "bn.weight" in tensors else "none"
    variant = Variant(
        values="category" if "value_encoder.embedding.weight" in tensors else values,
        norm="domain" if any(name.startswith("dsbn.") for name in tensors) else norm,
        batches=rows("batch_encoder.embedding.weight"),
        zero_chance="decoder.zero_logit.0.weight" in tensors,
        query=query,
        adversary=rows("grad_reverse_discriminator.out_layer.weight"),
        pre_norm=pre_norm,
    )
    try:
        count, width = tensors["encoder.embedding.weight"].shape
        layer = "transformer_encoder.layers"
        depth = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith(f"{layer}."))
        ff = len(tensors[f"{layer}.0.linear1.weight"]) / width
    except (KeyError, ValueError) as error:
        raise InputError(f"the tensors are not those of a scGPT model ({error!r})") from error
    return variant, BackboneConfig(
        n_genes=count - 3,
        width=width,
        depth=depth,
        heads=heads,
        ff=ff,
        bins=rows("value_encoder.embedding.weight") or 51,
        value_scaling=False,
        cell_context=False,
        pool=("cls",),
        compat=compat,
        kind="scgpt",
    )


def variant_names(model: ScGPTVariant) -> dict[str, str]:
    """Return the official name of every tensor of a variant, by our name."""
    classes = model.variant.values == "category"
    layers = {
        "values.rows": "value_encoder.embedding",
        "values.norm": "value_encoder.enc_norm" if classes else "value_encoder.norm",
        "batches": "batch_encoder.embedding",
        "batch_norm": "batch_encoder.enc_norm",
        "zero_by_cell": "mvc_decoder.W_zero_logit",
        "by_cell.fc1": "mvc_decoder.fc1",
        "by_cell.fc2": "mvc_decoder.fc2",
        "by_cell.slope": "mvc_decoder.hidden_activation",
        "adversary.output": "grad_reverse_discriminator.out_layer",
    }
    layers |= {f"zero.fc{n + 1}": f"decoder.zero_logit.{2 * n}" for n in range(3)}
    for n in range(2):
        layers[f"adversary.hidden.{n}"] = f"grad_reverse_discriminator._decoder.{3 * n}"
        layers[f"adversary.norms.{n}"] = f"grad_reverse_discriminator._decoder.{3 * n + 2}"
    names = scgpt_names(model.config)
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    for n in range(max(1, model.variant.batches)):
        norm = f"dsbn.bns.{n}" if model.variant.norm == "domain" else "bn"
        layers[f"token_norm.norms.{n}"] = norm
    names |= {f"{ours}.{x}": f"{theirs}.{x}" for ours, theirs in layers.items() for x in parts}
    return {name: names[name] for name in model.state_dict()}

"""`sgm weights`: import, list and show released backbones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.model.bundle import Bundle
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm weights`` and its commands."""
    parser = sub.add_parser(
        "weights", help="import, list and show pretrained weights (scFoundation, scGPT, scBERT)"
    )
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    load = add_command(group, "import", "check released weights and keep them under a name", _import)
    load.add_argument(
        "file", metavar="PATH",
        help="scFoundation's models.ckpt, scGPT's folder, or scBERT's panglao_pretrain.pth",
    )  # fmt: skip
    load.add_argument(
        "--genes", metavar="FILE",
        help="the gene list: scFoundation's OS_scRNA_gene_index.19264.tsv, or scBERT's panglao_10000.h5ad or "
        "names, one a line; scGPT's folder has its own",
    )  # fmt: skip
    load.add_argument("--name", required=True, help="what to call it, such as scfoundation")
    add_command(group, "list", "list the imported weights", _list)
    show = add_command(group, "show", "show imported weights: what they are, and their licence", _show)
    show.add_argument("name", metavar="NAME")


def _import(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.model.weights import import_weights

    bundle = import_weights(args.file, args.genes, args.name, observer)
    return Output(_data(bundle), _describe(bundle, licence=False))


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.model.bundle import HOW, damaged_bundles, list_bundles

    bundles, damaged = list_bundles(), damaged_bundles()
    lines = [
        f"{bundle.name:<24} {', '.join(bundle.keys):<16} {bundle.n_parameters:>13,} parameters  "
        f"{bundle.config['n_genes']:>7,} genes  {_size(bundle)}"
        for bundle in bundles
    ] + [f"{name:<24} damaged: {reason}" for name, reason in damaged.items()]
    return Output(
        {
            "weights": [_data(bundle) for bundle in bundles],
            "damaged": damaged,
            **({} if bundles else {"how": HOW}),
        },
        "\n".join(lines) or f"no weights yet: {HOW}",
    )


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.model.bundle import open_bundle

    bundle = open_bundle(args.name)
    return Output(_data(bundle), _describe(bundle))


def _data(bundle: Bundle) -> dict[str, Any]:
    return {
        **bundle.meta,
        "path": bundle.path,
        "n_genes": bundle.config["n_genes"],
        "bytes": bundle.n_bytes,
        "purposes": bundle.purposes,
    }


def _describe(bundle: Bundle, licence: bool = True) -> str:
    """Return what the weights are, in a few lines."""
    shape, source = bundle.config, bundle.meta["source"]
    lines = [
        f"{bundle.name}: {bundle.n_parameters:,} parameters a weight set, {_size(bundle)} on disk, of "
        f"{bundle.released.title}",
        f"  from      {source['file']}, SHA-256 {source['sha256']}",
        f"  encoder   width {shape['width']}, {shape['depth']} blocks, {shape['heads']} heads",
        *_decoder(bundle),
        f"  genes     {len(bundle.genes):,}, {bundle.genes[0]} to {bundle.genes[-1]}",
        *(f"  {key:<9} for {purpose}" for key, purpose in bundle.purposes.items()),
    ]
    return "\n".join([*lines, f"  licence   {bundle.licence}"] if licence else lines)


def _size(bundle: Bundle) -> str:
    return f"{bundle.n_bytes / 1e6:,.1f} MB"


def _decoder(bundle: Bundle) -> list[str]:
    shape = bundle.config
    if bundle.kind != "transformer":
        return [f"  predicts  {shape['bins']} {'bins' if bundle.kind == 'scgpt' else 'classes'} of a gene"]
    heads = f"{shape['decoder_heads']} heads of {shape['decoder_head_dim']}"
    return [f"  decoder   width {shape['decoder_width']}, {shape['decoder_depth']} blocks, {heads}"]

"""Released weights: checked and imported once, loaded by name from then on."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.write import room
from sgm_core.errors import InputError
from sgm_core.model.build import build_backbone
from sgm_core.model.bundle import SCHEMA_VERSION, Bundle, open_bundle
from sgm_core.model.checkpoint import open_official, scfoundation_layout
from sgm_core.model.gene_list import WHERE
from sgm_core.model.interface import BackboneConfig, CellBackbone
from sgm_core.model.layout import Genes, Layout
from sgm_core.model.plain_file import read_plain
from sgm_core.model.scbert_file import open_scbert
from sgm_core.model.scgpt_file import WEIGHTS, open_scgpt
from sgm_core.model.sizes import SIZES
from sgm_core.progress import Observer

_BLOCK = 1 << 24


@acts("import weights", lambda path, genes, name, *_, **__: name)
def import_weights(path: str | Path, genes: Genes, name: str, observer: Observer | None = None) -> Bundle:
    """Import a released model as the backbone `name`: scFoundation, scGPT or scBERT, told by what is in it.

    A file of weights is read with ``weights_only=True``, never otherwise. Every weight set in it is checked
    whole (names, shapes, NaN) before anything appears under `name`.

    Parameters
    ----------
    path : scFoundation's ``models.ckpt``; scGPT's folder of ``best_model.pt``, ``args.json`` and
        ``vocab.json``; or scBERT's ``panglao_pretrain.pth``, beside which ``gene2vec_16906.npy`` is checked
    genes : the gene list: ``OS_scRNA_gene_index.19264.tsv``, ``panglao_10000.h5ad`` or a text file, or the
        names in order; None for scGPT, whose vocabulary has them
    name : what to call it: letters, digits, ``. _ -``
    observer : is told about the progress, and the note on the licence

    Raises
    ------
    NotFoundError
        If a file does not exist.
    InputError
        If the name is taken or that of a size, or a file is damaged, not plain, or differs from what it
        should be; the first few differences are named and nothing is left behind.

    Examples
    --------
    >>> import_weights("models.ckpt", "OS_scRNA_gene_index.19264.tsv", "scfoundation")  # doctest: +SKIP
    """
    observer = observer or Observer()
    if home.check_name(name, "name of weights") in SIZES:
        raise InputError(f"{name!r} is the name of a size that is trained from scratch: choose another name")
    target = home.folder("weights") / name
    if target.exists():
        raise InputError(f"weights {name!r} exist already: choose another name or delete {target}")
    path = Path(path).expanduser()
    observer.progress(0, 1, f"reading {path.name}")
    layout = find_layout(path, genes)
    path, keys, licence = layout.file, layout.keys, layout.released.licence
    steps = 2 + 2 * len(keys)
    observer.message(f"{path.name} is {layout.released.title}. {licence}")
    for note in layout.notes:
        observer.message(note)
    with room(target, path.stat().st_size, "weights"), home.whole_folder(target) as folder:
        configs: dict[str, BackboneConfig] = {}
        names: tuple[str, ...] = ()
        for i, key in enumerate(keys):
            observer.check()
            observer.progress(1 + 2 * i, steps, f"checking {key}")
            backbone = layout.read(key)
            configs[key] = backbone.config
            if not names:
                # the gene list is small and often the culprit: look at it before the other weight sets
                names = layout.genes(backbone.config.n_genes)
            if configs[key] != configs[keys[0]]:
                raise InputError(f"the weight sets {keys[0]} and {key} of {path.name} have different shapes")
            observer.progress(2 + 2 * i, steps, f"writing {key}")
            save_file(backbone.state_dict(), folder / f"{key}.safetensors")
        observer.progress(steps - 1, steps, f"SHA-256 of {path.name}")
        digest = hashlib.sha256()
        for block in _blocks(path):
            observer.check()
            digest.update(block)
        lines = ["gene_name\tindex", *(f"{gene}\t{i}" for i, gene in enumerate(names))]
        (folder / "genes.tsv").write_text("\n".join(lines) + "\n")
        (folder / "LICENCE.txt").write_text(licence + "\n")
        home.write_json(
            folder / "bundle.json",
            {
                "schema_version": SCHEMA_VERSION,
                "name": name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "source": {"file": path.name, "sha256": digest.hexdigest()},
                "keys": list(keys),
                "config": configs[keys[0]].to_dict(),
                "n_parameters": sum(parameter.numel() for parameter in backbone.parameters()),
                "licence": licence,
            },
        )
    observer.progress(steps, steps, "imported")
    return open_bundle(name)


def find_layout(path: Path, genes: Genes) -> Layout:
    """Open the files of a released model, whichever it is.

    Raises
    ------
    NotFoundError
        If a file is missing.
    InputError
        If they are damaged, or of no model that is known.
    """
    if path.is_dir():
        for pattern in (WEIGHTS, "models.ckpt", "panglao_pretrain*.pth", "*.pth"):
            found = sorted(path.glob(pattern))
            if len(found) == 1:
                return find_layout(found[0], genes)
        raise InputError(
            f"{path} has none of the files {WEIGHTS}, models.ckpt and panglao_pretrain.pth, or more than one "
            "*.pth: name the file"
        )
    if path.name == WEIGHTS:
        return open_scgpt(path.parent)
    stored = read_plain(path, WHERE)
    if isinstance(stored, dict):
        if {"model_state_dict", "token_emb.weight"} & set(stored):
            return open_scbert(path, genes)
        if any(str(name).endswith("value_encoder.linear1.weight") for name in stored):
            raise InputError(
                f"{path.name} looks like scGPT's weights: they come as a folder, with {WEIGHTS}, args.json "
                "and vocab.json in it; import that"
            )
    return scfoundation_layout(path, open_official(path), genes)


def load_backbone(name: str, key: str = "gene", compat: str = "corrected") -> CellBackbone:
    """Load one weight set of an imported backbone.

    Parameters
    ----------
    name : of the imported weights (``sgm weights list``)
    key : ``cell``, ``gene`` or ``rde``; a model that has one weight set gives that
    compat : ``corrected``, or ``official`` for exactly what the released code does

    Returns
    -------
    CellBackbone
        In evaluation mode, on the CPU, float32, with ``.genes``.

    Raises
    ------
    NotFoundError
        If there are no such weights, or no such weight set among them.
    InputError
        If the files are damaged, or `compat` is not known.

    Examples
    --------
    >>> backbone = load_backbone("scfoundation", "cell")  # doctest: +SKIP
    """
    bundle = open_bundle(name)
    key = bundle.key(key)
    try:
        config = BackboneConfig.from_dict(bundle.config)
    except TypeError as error:
        raise InputError(f"{bundle.path / 'bundle.json'} is damaged: {error}") from error
    file = bundle.path / f"{key}.safetensors"
    try:
        with torch.device("meta"):
            backbone = build_backbone(replace(config, compat=compat))
        backbone.load_state_dict(load_file(file), assign=True)
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{file} is damaged ({reason}): delete {bundle.path} and import the weights again: "
            f"{bundle.released.command}"
        ) from error
    backbone.requires_grad_(True)
    backbone.genes = bundle.genes
    return backbone.eval()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block

"""The released weights: checked and imported once, loaded by name from then on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sgm_core import home
from sgm_core.cells.write import room
from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.backbone import Backbone
from sgm_core.model.bundle import IMPORT, LICENCE, SCHEMA_VERSION, Bundle, open_bundle
from sgm_core.model.checkpoint import KEYS, official_backbone, open_official
from sgm_core.model.gene_list import WHERE, check_genes, check_official_order
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.sizes import SIZES
from sgm_core.progress import Observer

_BLOCK = 1 << 24


def import_weights(
    path: str | Path, genes: str | Path | Sequence[str], name: str, observer: Observer | None = None
) -> Bundle:
    """Import scFoundation's ``models.ckpt`` as the backbone `name`.

    The file is read with ``weights_only=True``, never otherwise. Every weight set in it is checked whole
    (names, shapes, NaN) before anything appears under `name`.

    Parameters
    ----------
    path : the file
    genes : its gene list, ``OS_scRNA_gene_index.19264.tsv``, or the names in order
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
    if not path.is_file():
        raise NotFoundError(f"no file {path}: {WHERE}")
    steps = 2 + 2 * len(KEYS)
    observer.progress(0, steps, f"reading {path.name}")
    stored = open_official(path)
    keys = [key for key in KEYS if key in stored]
    observer.message(LICENCE)
    with room(target, path.stat().st_size, "weights"), home.whole_folder(target) as folder:
        configs: dict[str, BackboneConfig] = {}
        names: tuple[str, ...] = ()
        for i, key in enumerate(keys):
            observer.check()
            observer.progress(1 + 2 * i, steps, f"checking {key}")
            backbone = official_backbone(stored[key], f"{path.name}[{key}]")
            configs[key] = backbone.config
            if not names:
                # the gene list is small and often the culprit: look at it before the other weight sets
                names = check_genes(genes, backbone.config.n_genes)
                source = Path(genes).name if isinstance(genes, str | Path) else "the gene list"
                check_official_order(names, source)
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
        (folder / "LICENCE.txt").write_text(LICENCE + "\n")
        home.write_json(
            folder / "bundle.json",
            {
                "schema_version": SCHEMA_VERSION,
                "name": name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "source": {"file": path.name, "sha256": digest.hexdigest()},
                "keys": keys,
                "config": configs[keys[0]].to_dict(),
                "n_parameters": sum(parameter.numel() for parameter in backbone.parameters()),
                "licence": LICENCE,
            },
        )
    observer.progress(steps, steps, "imported")
    return open_bundle(name)


def load_backbone(name: str, key: str = "gene", compat: str = "corrected") -> Backbone:
    """Load one weight set of an imported backbone.

    Parameters
    ----------
    name : of the imported weights (``sgm weights list``)
    key : ``cell``, ``gene`` or ``rde``
    compat : ``corrected``, or ``official`` for exactly what the released code does

    Returns
    -------
    Backbone
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
    if key not in bundle.keys:
        raise NotFoundError(f"weights {name!r} have no set {key!r}; they have {', '.join(bundle.keys)}")
    try:
        config = BackboneConfig.from_dict(bundle.config)
    except TypeError as error:
        raise InputError(f"{bundle.path / 'bundle.json'} is damaged: {error}") from error
    file = bundle.path / f"{key}.safetensors"
    try:
        with torch.device("meta"):
            backbone = Backbone(replace(config, compat=compat))
        backbone.load_state_dict(load_file(file), assign=True)
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{file} is damaged ({reason}): delete {bundle.path} and import the weights again: {IMPORT}"
        ) from error
    backbone.requires_grad_(True)
    backbone.genes = bundle.genes
    return backbone.eval()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block

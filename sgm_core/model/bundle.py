"""Imported backbones on disk: the folder ``$SGM_HOME/weights/NAME``.

It holds ``bundle.json``, ``genes.tsv``, ``LICENCE.txt`` and a safetensors file for each weight set.
`sgm_core.model.weights` writes it and loads from it; nothing here needs torch, so that pages can list what
there is.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sgm_core import home
from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.gene_list import WHERE, check_genes
from sgm_core.model.released import ONE, RELEASED, Released

SCHEMA_VERSION = 1
LICENCE, IMPORT = RELEASED["transformer"].licence, RELEASED["transformer"].command
HOW = f"{WHERE}, then: {IMPORT} (or scGPT's or scBERT's weights, see `sgm weights import --help`)"
"""Where to get weights, and the command that imports them."""


@dataclass(frozen=True)
class Bundle:
    """An imported backbone.

    Parameters
    ----------
    path : its folder
    name : its name
    meta : the content of ``bundle.json``
    """

    path: Path
    name: str
    meta: dict[str, Any] = field(compare=False, repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The weight sets it has: of cell, gene and rde, or `ONE`."""
        return tuple(self.meta["keys"])

    @property
    def kind(self) -> str:
        """The kind of its backbone."""
        return str(self.meta["config"].get("kind", "transformer"))

    @property
    def released(self) -> Released:
        """What is known of the model that it is."""
        return RELEASED[self.kind]

    @property
    def purposes(self) -> dict[str, str]:
        """What each of its weight sets is good for."""
        return {key: self.released.purposes[key] for key in self.keys}

    def key(self, asked: str) -> str:
        """Return the weight set of this name, or the only one of a model that has one.

        Raises
        ------
        NotFoundError
            If it has none of that name.
        """
        if self.keys == (ONE,):
            return ONE
        if asked not in self.keys:
            raise NotFoundError(
                f"weights {self.name!r} have no set {asked!r}; they have {', '.join(self.keys)}"
            )
        return asked

    @property
    def config(self) -> dict[str, Any]:
        """The shape of its backbone: the fields of `sgm_core.model.backbone.BackboneConfig`."""
        return dict(self.meta["config"])

    @property
    def n_parameters(self) -> int:
        """Number of parameters of one weight set."""
        return int(self.meta["n_parameters"])

    @property
    def licence(self) -> str:
        """The note on the weights' licence."""
        return str(self.meta["licence"])

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Names of its genes in the order of the positions.

        Raises
        ------
        InputError
            If the file is damaged or missing.
        """
        try:
            return check_genes(self.path / "genes.tsv", int(self.config["n_genes"]))
        except (InputError, NotFoundError) as error:
            raise InputError(
                f"the gene list of the weights {self.name!r} is damaged ({error}): delete {self.path} and "
                "import the weights again"
            ) from error


def bundle_names() -> list[str]:
    """Return the names of the imported backbones; reads the folder's listing only."""
    return sorted(file.parent.name for file in (home.home() / "weights").glob("[!.]*/bundle.json"))


def open_bundle(name: str) -> Bundle:
    """Open an imported backbone by its name.

    Raises
    ------
    NotFoundError
        If there is none of that name; the message says which there are and how to import one.
    InputError
        If its description is damaged, or a newer version of the program wrote it.
    """
    path = home.home() / "weights" / home.check_name(name, "name of weights")
    if not (path / "bundle.json").is_file():
        names = bundle_names()
        advice = f"there are {', '.join(names)}" if names else f"none is imported yet: {HOW}"
        raise NotFoundError(f"no weights {name!r} in {path.parent}; {advice}")
    try:
        meta = home.read_json(path / "bundle.json")
        version = meta["schema_version"]
        if version <= SCHEMA_VERSION:
            bundle = Bundle(path, name, meta)
            _ = bundle.config["n_genes"], bundle.n_parameters, bundle.licence, meta["source"]["sha256"]
            _ = bundle.purposes
            return bundle
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path / 'bundle.json'} is damaged ({error!r}): delete {path} and import the weights again"
        ) from error
    raise InputError(
        f"the weights {name!r} have format {version}, newer than this program's {SCHEMA_VERSION}: update the "
        "program"
    )


def weights_hash(name: str) -> str | None:
    """Return the SHA-256 of the file that imported weights came from; None if there are none of that name."""
    try:
        return str(open_bundle(name).meta["source"]["sha256"])
    except (InputError, NotFoundError, KeyError):
        return None


def list_bundles() -> list[Bundle]:
    """Return every imported backbone that can be used, by name; `damaged_bundles` has the others."""
    damaged = damaged_bundles()
    return [open_bundle(name) for name in bundle_names() if name not in damaged]


def damaged_bundles() -> dict[str, str]:
    """Return the names of imported backbones that can't be used, with the reason."""
    reasons = {}
    for name in bundle_names():
        try:
            open_bundle(name)
        except InputError as error:
            reasons[name] = str(error)
    return reasons

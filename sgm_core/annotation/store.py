"""Annotation models on disk: ``$SGM_HOME/models/NAME``, JSON, parquet and safetensors, whole or absent."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sgm_core import home
from sgm_core.access import acts
from sgm_core.annotation.unknown import Rarity
from sgm_core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from sgm_core.annotation.backbone import Backbones
    from sgm_core.annotation.encoder import Encoder
    from sgm_core.annotation.member import Member

SCHEMA_VERSION = 2
FILES = (
    "tensors.safetensors", "genes.parquet", "classes.parquet", "donors.parquet", "held_out.parquet",
    "out_of_donor.parquet", "reference.parquet", "signatures.json",
)  # fmt: skip
WEIGHTS = "backbone"
"""Folder of a model's pretrained backbone, where it has one."""
_WEIGHTS = ("weights.safetensors", "model.json", "LICENCE.txt")
_MOST_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Model:
    """An annotation model.

    Parameters
    ----------
    path : its folder
    name : its name
    meta : the content of ``model.json``
    """

    path: Path
    name: str
    meta: dict[str, Any] = field(compare=False, repr=False)

    @property
    def classes(self) -> list[str]:
        """The C classes that it can name, sorted."""
        return list(self.meta["classes"])

    @property
    def hash(self) -> str:
        """SHA-256 over the hashes of its files."""
        return str(self.meta["hash"])

    @property
    def temperature(self) -> float:
        """What logits are divided by."""
        return float(self.meta["calibration"]["temperature"])

    @property
    def threshold(self) -> float:
        """The score of `rarity` below which a cell is unknown."""
        return float(self.meta["unknown"]["threshold"])

    @property
    def useful(self) -> bool:
        """Whether it names cells of unseen donors better than chance."""
        return bool(self.meta["chance"]["useful"])

    def table(self, name: str) -> pd.DataFrame:
        """Return one of its tables: genes, classes, donors, held_out, out_of_donor, reference."""
        try:
            return pd.read_parquet(self.path / f"{name}.parquet")
        except (OSError, ValueError) as error:
            raise self._damaged(f"{name}.parquet", error) from error

    @cached_property
    def genes(self) -> pd.DataFrame:
        """Genes that its dataset measured, in the order of its columns: gene, ensembl (may be None)."""
        return self.table("genes")

    @cached_property
    def signatures(self) -> dict[str, Any]:
        """Signatures with their genes, controls and scores by class."""
        try:
            return home.read_json(self.path / "signatures.json")  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise self._damaged("signatures.json", error) from error

    @cached_property
    def _tensors(self) -> dict[str, np.ndarray]:
        try:
            return load_file(self.path / "tensors.safetensors")
        except (SafetensorError, OSError) as error:
            raise self._damaged("tensors.safetensors", error) from error

    def _damaged(self, file: str, error: Exception) -> InputError:
        return InputError(
            f"{file} of model {self.name!r} is gone or damaged ({type(error).__name__}): import or fit the "
            "model again"
        )

    @cached_property
    def rarity(self) -> Rarity:
        """What decides whether a cell is unknown."""
        weight = float(self.meta["unknown"]["weight"])
        return Rarity(self._tensors["null.distance"], self._tensors["null.evidence"], weight)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files beside ``model.json``."""
        return tuple(self.meta["files"])

    @cached_property
    def members(self) -> list[Member]:
        """The classifier of all donors, then those of the donor folds.

        Raises
        ------
        InputError
            If a file is gone or damaged.
        """
        encoder = self._encoder() if "backbone" in self.meta else None
        return [_member(self._tensors, number, encoder) for number in range(1 + self.meta["folds"])]

    def _encoder(self) -> Encoder:
        from sgm_core.annotation.backbone import load_encoder

        for file in self.files:
            if file.startswith(f"{WEIGHTS}/") and _digest(self.path / file) != self.meta["files"][file]:
                raise InputError(f"{file} of model {self.name!r} was changed: import or fit the model again")
        return load_encoder(self.path / WEIGHTS, self.meta["backbone"], self.genes["gene"].to_numpy(str))


def write_model(
    name: str,
    meta: dict[str, Any],
    members: list[Member],
    rarity: Rarity,
    tables: dict[str, pd.DataFrame],
    signatures: dict[str, Any],
    backbones: Backbones | None = None,
) -> Model:
    """Write a model and open it; see `FILES` for its tables.

    The backbone that the first of the members reads cells by goes along.

    Raises
    ------
    InputError
        If the name is taken or unsafe.
    """
    target = home.folder("models") / home.check_name(name, "model name")
    with home.whole_folder(target) as folder:
        tensors = {"null.distance": rarity.distances, "null.evidence": rarity.evidence}
        for number, member in enumerate(members):
            tensors |= _named(member, number)
        packed = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
        save_file(packed, folder / "tensors.safetensors")
        for table, frame in tables.items():
            home.write_table(folder / f"{table}.parquet", frame)
        home.write_json(folder / "signatures.json", signatures)
        names = list(FILES)
        if backbones is not None:
            backbones.save(folder / WEIGHTS, members[0].reader)  # type: ignore[arg-type]
            names += sorted(f"{WEIGHTS}/{path.name}" for path in (folder / WEIGHTS).iterdir())
        files = {file: _digest(folder / file) for file in names}
        whole = meta | {"schema_version": SCHEMA_VERSION, "name": name, "files": files}
        home.write_json(folder / "model.json", whole | {"hash": _hash(whole)})
    return open_model(name)


def open_model(name: str) -> Model:
    """Open a model by its name.

    Raises
    ------
    NotFoundError
        If there is none.
    InputError
        If it is damaged or of a newer program.
    """
    path = home.folder("models") / home.check_name(name, "model name")
    if not (path / "model.json").is_file():
        there = ", ".join(model.name for model in list_models()) or "none yet: `sgm model fit` makes one"
        raise NotFoundError(f"no model {name!r} in {path.parent}; there are {there}")
    try:
        meta = home.read_json(path / "model.json")
        version = meta["schema_version"]
        _ = version > SCHEMA_VERSION or (meta["classes"], meta["hash"], meta["unknown"]["threshold"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path / 'model.json'} is damaged ({error!r}): fit or import it again") from error
    _check_version(name, version)
    missing = [file for file in _files(meta) if not (path / file).is_file()]
    if missing:
        raise InputError(f"model {name!r} lacks {missing[0]}: import or fit it again")
    return Model(path, name, meta)


def _files(meta: dict[str, Any]) -> list[str]:
    """Return the names of a model's files, as it says itself.

    Raises
    ------
    InputError
        If they are none that a model has.
    """
    own = set(meta["files"]) - set(FILES)
    if set(FILES) - set(meta["files"]) or own - {f"{WEIGHTS}/{file}" for file in _WEIGHTS}:
        raise InputError(f"model.json of model {meta.get('name')!r} is damaged: fit or import it again")
    if "backbone" in meta and f"{WEIGHTS}/{_WEIGHTS[0]}" not in own:
        raise InputError(f"model.json of model {meta.get('name')!r} names no weights: fit or import it again")
    return list(meta["files"])


def _check_version(name: str, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise InputError(f"model {name!r} has format {version}, newer than {SCHEMA_VERSION}: update")
    if version < SCHEMA_VERSION:
        raise InputError(f"model {name!r} has format {version}, whose 'unknown' is another: fit it again")


def list_models() -> list[Model]:
    """Return every model that can be used, by name."""
    found = []
    for file in sorted(home.folder("models").glob("[!.]*/model.json")):
        try:
            found.append(open_model(file.parent.name))
        except InputError:
            continue
    return found


def export_model(name: str, target: str | Path) -> Path:
    """Pack a model as a zip file.

    Raises
    ------
    InputError
        If the target exists, or see `check_export`.
    """
    model, target = open_model(name), Path(target).expanduser().absolute()
    check_export(model)
    if target.exists():
        raise InputError(f"{target} exists already: choose another name or delete it first")
    with home.whole_file(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in ("model.json", *model.files):
            archive.write(model.path / file, file)
    return target


def check_export(model: Model) -> None:
    """Check that a model may be passed on.

    Raises
    ------
    InputError
        If it holds weights whose licence forbids that.
    """
    about = model.meta.get("backbone", {})
    if about.get("imported"):
        raise InputError(
            f"model {model.name!r} holds weights made from {about['name']!r}, whose licence is their "
            "owner's: it can't be exported; fit it again where it is wanted. "
            f"{about.get('licence', '')}".rstrip()
        )


@acts("import a model", lambda file, name=None: name or Path(file).name)
def import_model(file: str | Path, name: str | None = None) -> Model:
    """Unpack what `export_model` wrote; every file is checked by its hash.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is no such zip, or a file of it was changed.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}")
    try:
        with zipfile.ZipFile(file) as archive:
            infos = {str(PurePosixPath(info.filename)): info for info in archive.infolist()}
            size = sum(info.file_size for info in infos.values())
            if not {"model.json", *FILES} <= set(infos) or size > _MOST_BYTES:
                raise InputError(
                    f"{file.name} is no exported model: it holds {', '.join(sorted(infos))[:90]}"
                )
            meta = json.loads(archive.read("model.json"))
            _check_version(str(meta["name"]), meta["schema_version"])
            names = _files(meta)
            if set(infos) != {"model.json", *names}:
                raise InputError(f"{file.name} holds other files than its model.json names: refused")
            own = home.check_name(name or str(meta["name"]), "model name")
            with home.whole_folder(home.folder("models") / own) as folder:
                for inside in names:
                    (folder / inside).parent.mkdir(exist_ok=True)
                    with archive.open(inside) as packed, (folder / inside).open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                    if _digest(folder / inside) != meta["files"][inside]:
                        raise InputError(f"{inside} of {file.name} was changed since the export: refused")
                if _hash({k: v for k, v in meta.items() if k != "hash"}) != meta["hash"]:
                    raise InputError(f"model.json of {file.name} was changed since the export: refused")
                home.write_json(folder / "model.json", meta)
    except (zipfile.BadZipFile, json.JSONDecodeError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{file.name} is no exported model, or damaged ({type(error).__name__})") from error
    return open_model(own)


def _hash(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _named(member: Member, number: int) -> dict[str, np.ndarray]:
    from sgm_core.annotation.reader import GenesReader

    parts = {
        "scale.mean": member.scale.mean,
        "scale.spread": member.scale.spread, "weight": member.linear.weight, "bias": member.linear.bias,
        "strength": np.array([member.linear.strength]), "space.mean": member.space[0],
        "space.components": member.space[1], "reference": member.reference,
        "reference_rows": member.reference_rows,
    }  # fmt: skip
    if isinstance(reader := member.reader, GenesReader):
        parts["genes"] = reader.genes.astype(np.int64)
        if reader.pca is not None:
            parts |= {"pca.mean": reader.pca[0], "pca.components": reader.pca[1]}
    return {f"{number}.{key}": value for key, value in parts.items()}


def _member(tensors: dict[str, np.ndarray], number: int, encoder: Encoder | None) -> Member:
    # Here, so that reading a model's card and tables brings no torch along: pages do no more than that.
    from sgm_core.annotation.member import Member
    from sgm_core.annotation.reader import GenesReader
    from sgm_core.training.logistic import Linear, Scale

    t = {key.partition(".")[2]: v for key, v in tensors.items() if key.partition(".")[0] == str(number)}
    pca = (t["pca.mean"], t["pca.components"]) if "pca.mean" in t else None
    return Member(
        encoder or GenesReader(t["genes"], pca),
        Scale(t["scale.mean"], t["scale.spread"]),
        Linear(t["weight"], t["bias"], float(t["strength"][0])),
        (t["space.mean"], t["space.components"]),
        t["reference"],
        t["reference_rows"],
    )

"""Public AML datasets that can be fetched by name: where they are, how they are checked and imported."""

import gzip
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgm_core import home
from sgm_core.cells.build import import_dataset
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.read.geo import sample_origin
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.resources.download import download

_MEMBER = re.compile(r"GSM\d+_(?P<sample>[A-Za-z0-9.-]+)\.(dem|anno)\.txt\.gz")
_DAMAGED = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class Entry:
    """A dataset that can be fetched."""

    name: str
    title: str
    paper: str
    base_url: str
    page: str
    get: Callable[["Entry", str, Observer], Path]
    columns: dict[str, Any]


def fetch(
    name: str, dataset: str | None = None, base_url: str | None = None, observer: Observer | None = None
) -> Dataset:
    """Download a public dataset and import it; what has been downloaded already is not asked for again.

    Parameters
    ----------
    name
        ``vangalen2019`` (GEO GSE116256) or ``ennis2023`` (Zenodo 5931689).
    dataset
        Name of the new dataset, by default `name`.
    base_url
        A mirror that has the same paths as ``https://ftp.ncbi.nlm.nih.gov`` or ``https://zenodo.org``.
    observer
        Is told about the progress.

    Raises
    ------
    NotFoundError
        If the catalogue has no such dataset.
    InputError
        If the name is taken, the source can't be reached, or what arrived is damaged.
    """
    if name not in CATALOG:
        raise NotFoundError(f"the catalogue has no {name!r}: take one of {', '.join(CATALOG)}")
    entry, observer = CATALOG[name], observer or Observer()
    target = home.folder("datasets") / home.check_name(dataset or name, "dataset name")
    if target.exists():
        # Said before the download, not after it.
        raise InputError(f"a dataset {target.name!r} exists already: choose another name with --name")
    path = entry.get(entry, (base_url or entry.base_url).rstrip("/"), observer)
    return import_dataset(
        path,
        target.name,
        unlabelled=("nan",),
        observer=observer,
        note=f"{entry.title}; {entry.paper}",
        **entry.columns,
    )


def _by_hand(entry: Entry, file: str, what: str) -> str:
    options = " ".join(f"--{role.replace('_', '-')} {column}" for role, column in entry.columns.items())
    return (
        f"By hand: download {file} from {entry.page} on another machine, {what} and run "
        f"'sgm data import PATH --name {entry.name}{' ' if options else ''}{options} --unlabelled nan'"
    )


def _from_geo(entry: Entry, base_url: str, observer: Observer) -> Path:
    """Return a folder of GEO pairs; GEO publishes no checksum, but each member carries gzip's own."""
    name = "GSE116256_RAW.tar"
    pairs = home.folder("downloads") / "GSE116256"
    if pairs.is_dir():
        return pairs
    url = f"{base_url}/geo/series/GSE116nnn/GSE116256/suppl/{name}"
    advice = _by_hand(entry, name, "unpack it into a folder, keep its *.dem.txt.gz and *.anno.txt.gz files")
    archive = download(url, home.folder("downloads") / name, observer, by_hand=advice)
    with home.whole_folder(pairs) as folder:
        try:
            _extract_pairs(archive, folder, observer)
        except _DAMAGED as error:
            archive.unlink()
            raise InputError(
                f"{name} arrived damaged ({type(error).__name__}) and was deleted: run the same command again"
            ) from error
        if not any(folder.iterdir()):
            archive.unlink()
            raise InputError(
                f"{url} holds no *.dem.txt.gz: it is not the archive that was expected; {advice}"
            )
    archive.unlink()
    return pairs


def _extract_pairs(archive: Path, folder: Path, observer: Observer) -> None:
    """Unpack the pairs of patients and healthy donors; leave nanopore tables and cell lines."""
    with tarfile.open(archive, "r:") as tar:
        members = tar.getmembers()
        for done, member in enumerate(members):
            observer.check()
            observer.progress(done, len(members), f"unpacking {archive.name}")
            # A plain name only: nothing of the archive may decide where files go.
            match = _MEMBER.fullmatch(member.name)
            stream = tar.extractfile(member) if match and member.isfile() else None
            if match is None or stream is None or sample_origin(match["sample"])[1] is None:
                observer.message(f"left out {member.name[:100]!r}")
                continue
            target = folder / match.group()
            with target.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            with gzip.open(target) as content:
                while content.read(1 << 20):
                    pass


def _from_zenodo(entry: Entry, base_url: str, observer: Observer) -> Path:
    """Return the h5ad file, checked against the md5 that the record publishes."""
    import requests

    name, record = "bone_marrow.h5ad", f"{base_url}/api/records/5931689"
    advice = _by_hand(entry, name, "bring it here")
    try:
        response = requests.get(record, timeout=(15, 60))
        response.raise_for_status()
        file = next(file for file in json.loads(response.content)["files"] if file["key"] == name)
        url, (kind, _, digest) = file["links"]["self"], file["checksum"].partition(":")
    except requests.RequestException as error:
        host = record.split("/")[2]
        raise InputError(
            f"can't reach {host} ({type(error).__name__}): is there a network? {advice}"
        ) from error
    except (KeyError, StopIteration, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{record} does not list {name} as expected; {advice}") from error
    if kind != "md5" or not url.startswith(("https://", "http://")):
        raise InputError(f"{record} gives no md5 checksum and web address for {name}; {advice}")
    return download(url, home.folder("downloads") / name, observer, md5=digest, by_hand=advice)


CATALOG = {
    entry.name: entry
    for entry in (
        Entry(
            "vangalen2019",
            "AML and healthy bone marrow, Seq-Well, GEO GSE116256",
            "van Galen et al., Cell 2019, doi:10.1016/j.cell.2019.01.031",
            "https://ftp.ncbi.nlm.nih.gov",
            "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE116256",
            _from_geo,
            {},
        ),
        Entry(
            "ennis2023",
            "Atlas of AML and healthy bone marrow, Zenodo 5931689",
            "Ennis et al., iScience 2023, doi:10.1016/j.isci.2023.106943",
            "https://zenodo.org",
            "https://zenodo.org/records/5931689",
            _from_zenodo,
            {"donor": "donor", "cell_type": "celltype", "timepoint": "timepoint", "layer": "counts"},
        ),
    )
}

"""Files that the user has and everything shares: gene sets, gene aliases, transcription factors, signatures.

Each is a folder ``$SGM_HOME/resources/KIND/NAME`` with the file, as it was given, and ``resource.json``.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.genes import read_aliases
from sgm_core.errors import InputError, NotFoundError
from sgm_core.resources.gmt import GeneSets, read_gene_sets, read_gmt, text_lines
from sgm_core.resources.names import DEMO_GENE_SETS
from sgm_core.resources.panel import data_file

__all__ = [
    "DEMO_GENE_SETS",
    "KINDS",
    "GeneSets",
    "Resource",
    "add_resource",
    "fetch_library",
    "list_resources",
    "read_gene_sets",
    "read_gmt",
    "read_transcription_factors",
    "resource_path",
]

_DEMO_TEXT = (
    "SUBSET of GO biological process 2021 for the demo, members limited to the demo's genes; "
    "no basis for conclusions about other data"
)
_ENRICHR = "https://maayanlab.cloud/Enrichr/#libraries"
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9.@_-]{0,39}")


@dataclass(frozen=True)
class Resource:
    """A registered file: `n_entries` counts its terms, aliases or genes."""

    kind: str
    name: str
    path: Path
    description: str
    n_entries: int
    built_in: bool = False


def read_transcription_factors(path: str | Path) -> list[str]:
    """Read a list of genes, one symbol a line (first column of a table; ``#`` starts a comment).

    Raises
    ------
    InputError
        If a line is no gene symbol, with its number.
    """
    path = Path(path)
    genes: dict[str, None] = {}
    for number, line in enumerate(text_lines(path), start=1):
        gene = line.split("#")[0].split("\t")[0].strip().strip('"')
        if not gene or (not genes and gene.lower() in ("gene", "gene_name", "symbol", "hgnc symbol", "name")):
            continue
        if not _SYMBOL.fullmatch(gene):
            raise InputError(f"{path.name}, line {number} is no gene symbol: {gene[:40]!r}")
        genes[gene] = None
    if not genes:
        raise InputError(f"{path.name} holds no gene")
    return list(genes)


def _survey_gmt(path: Path) -> tuple[int, str]:
    sets = read_gene_sets(path)
    return len(sets.terms), sets.describe()


def _survey_aliases(path: Path) -> tuple[int, str]:
    text_lines(path)
    table = read_aliases(path)
    if not table:
        raise InputError(f"{path.name} holds no alias")
    ambiguous = sum(len(names) > 1 for names in table.values())
    return len(table), f"{len(table):,} symbols, {ambiguous:,} of them ambiguous"


def _survey_transcription_factors(path: Path) -> tuple[int, str]:
    genes = read_transcription_factors(path)
    return len(genes), f"{len(genes):,} genes"


_SURVEYS: dict[str, Callable[[Path], tuple[int, str]]] = {
    "genesets": _survey_gmt,
    "aliases": _survey_aliases,
    "transcription-factors": _survey_transcription_factors,
    "signatures": _survey_gmt,
}
KINDS = {
    "genesets": "gene sets for enrichment (GMT)",
    "aliases": "gene aliases (table with the columns Symbol and Approved.Symbol, as HGNChelper has it)",
    "transcription-factors": "transcription factors (one symbol a line)",
    "signatures": "expression signatures (GMT)",
}


@acts("add a resource", lambda kind, file, name=None, *_, **__: f"{kind} {name or Path(file).name}")
def add_resource(kind: str, file: str | Path, name: str | None = None, description: str = "") -> Resource:
    """Check a file and copy it into the home folder.

    Parameters
    ----------
    kind
        One of `KINDS`.
    file
        The file; it is read whole before anything is kept.
    name
        The resource's name, by default the file's without its ending.
    description
        Where it comes from; put before what was found in it.

    Returns
    -------
    Resource
        The same file under the same name again is not an error.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If the kind is unknown, the file is not of that kind, or the name is taken by another file.
    """
    survey, file = _SURVEYS[_kind(kind)], Path(file)
    name = home.check_name(_name_of(file) if name is None else name, "resource name")
    if not file.is_file():
        raise NotFoundError(f"no file {file}")
    n_entries, found = survey(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for known in list_resources(kind):
        if known.name != name:
            continue
        if not known.built_in and home.read_json(known.path.parent / "resource.json")["sha256"] == digest:
            return known
        raise InputError(f"{kind} {name!r} exists already with another content: choose another name (--name)")
    with home.whole_folder(home.folder("resources") / kind / name) as folder:
        # The file keeps its own name where that is safe: people know it by that.
        kept = file.name if re.fullmatch(r"[\w.+ -]{1,120}", file.name) else f"{name}{file.suffix}"
        shutil.copyfile(file, folder / kept)
        facts = {"file": kept, "n_entries": n_entries, "sha256": digest}
        text = f"{description}: {found}" if description else found
        home.write_json(folder / "resource.json", facts | {"description": text})
    return _open(folder.parent / name, kind)


def list_resources(kind: str | None = None) -> list[Resource]:
    """List what is registered and whole, by kind and name; the demo's gene sets are always there."""
    found = []
    for each in KINDS if kind is None else [_kind(kind)]:
        if each == "genesets":
            path = data_file("go_demo_subset.gmt")
            sets = read_gene_sets(path)
            text = f"{_DEMO_TEXT}: {sets.describe()}"
            found.append(Resource(each, DEMO_GENE_SETS, path, text, len(sets.terms), built_in=True))
        folders = (home.home() / "resources" / each).glob("[!.]*/resource.json")
        for file in sorted(folders):
            with suppress(ValueError, KeyError, TypeError):  # one that is damaged must not hide the others
                found.append(_open(file.parent, each))
    return found


def resource_path(kind: str, name: str) -> Path:
    """Return the file of a registered resource.

    Raises
    ------
    NotFoundError
        If there is none of that name; the message names those there are and how to add one.
    """
    known = {resource.name: resource.path for resource in list_resources(kind)}
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "there are none yet"
        raise NotFoundError(f"no {kind} {name!r}: {there}; add yours with 'sgm resources add {kind} FILE'")
    return known[name]


def fetch_library(name: str = "GO_Biological_Process_2021") -> Resource:
    """Download an Enrichr gene-set library through gseapy and register it; once is enough.

    Raises
    ------
    InputError
        If there is no such library, or no network: the message says how to add the file by hand.
    """
    home.check_name(name, "library name")
    for known in list_resources("genesets"):
        if known.name == name:
            return known
    terms = _download_library(name)
    with home.scratch(home.folder("downloads") / name) as scratch:
        file = scratch / f"{name}.gmt"
        file.write_text("".join("\t".join([term, "", *genes]) + "\n" for term, genes in terms.items()))
        return add_resource("genesets", file, name, description=f"Enrichr library {name}")


def _download_library(name: str) -> dict[str, list[str]]:
    import gseapy

    try:
        # gseapy drops terms above 2,000 genes unless told otherwise: 'regulation of transcription' has more.
        return gseapy.get_library(name, organism="Human", min_size=1, max_size=10**9)
    except ValueError as error:
        raise InputError(f"Enrichr has no library {name!r}: its names are listed on {_ENRICHR}") from error
    except Exception as error:
        raise InputError(
            f"can't download {name} from Enrichr ({type(error).__name__}); without a network: download its "
            f"GMT by hand from {_ENRICHR} and run 'sgm resources add genesets FILE'"
        ) from error


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"unknown kind of resource {kind!r}: take one of {', '.join(KINDS)}")
    return kind


def _name_of(file: Path) -> str:
    """Return a safe name made of the file's."""
    stem = re.sub(r"\.(gmt|tsv|txt|csv)$", "", file.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", stem)[:64].lstrip("._-")


def _open(folder: Path, kind: str) -> Resource:
    facts = home.read_json(folder / "resource.json")
    return Resource(kind, folder.name, folder / facts["file"], facts["description"], facts["n_entries"])

"""Read gene sets in the GMT format: one term a line, name, description, genes, separated by tabs."""

from dataclasses import dataclass
from pathlib import Path

from sgm_core.errors import InputError, NotFoundError


@dataclass(frozen=True)
class GeneSets:
    """The terms of a GMT file and what had to be put right.

    `blank_lines` counts the lines that were skipped; `merged` names the terms that stood on several lines,
    whose genes were joined.
    """

    terms: dict[str, list[str]]
    blank_lines: int = 0
    merged: tuple[str, ...] = ()

    @property
    def genes(self) -> set[str]:
        """All genes of all terms."""
        return {gene for members in self.terms.values() for gene in members}

    def describe(self) -> str:
        """Say what the file holds and what was put right, in one line."""
        text = f"{len(self.terms):,} terms, {len(self.genes):,} genes"
        if self.merged:
            text += f"; {len(self.merged):,} repeated terms merged"
        if self.blank_lines:
            text += f"; {self.blank_lines:,} blank lines skipped"
        return text


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read a GMT file: term -> genes, in the file's order. `read_gene_sets` also says what it put right."""
    return read_gene_sets(path).terms


def read_gene_sets(path: str | Path) -> GeneSets:
    """Read a GMT file.

    Names and genes are stripped, each gene counts once a term, blank lines are skipped, a term on several
    lines gets the genes of all, and Enrichr's weights (``GENE,1.0``) are cut off.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is not a GMT file, with the number of the first wrong line.
    """
    path = Path(path)
    terms: dict[str, dict[str, None]] = {}
    merged: dict[str, None] = {}
    blank = 0
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            blank += 1
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = [gene for field in rest[1:] if (gene := field.split(",")[0].strip())]
        if not name or not genes:
            raise InputError(
                f"{path.name}, line {number} is no gene set: a GMT line is a name, a description and at "
                "least one gene, separated by tabs"
            )
        if name in terms:
            merged[name] = None
        terms.setdefault(name, {}).update(dict.fromkeys(genes))
    if not terms:
        raise InputError(f"{path.name} holds no gene set")
    return GeneSets({name: list(genes) for name, genes in terms.items()}, blank, tuple(merged))


def text_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file.

    Raises
    ------
    NotFoundError, InputError
        If it does not exist, or is no text: the message says which line.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raise InputError(f"{path.name} is compressed: unpack it with gunzip first")
    lines = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            if b"\0" in line:
                raise ValueError
            texts.append(line.decode())
        except ValueError:
            raise InputError(f"{path.name}, line {number} is no text: a plain text file is needed") from None
    return texts

"""The gene list that belongs to a backbone's weights."""

from collections.abc import Sequence
from pathlib import Path

from sgm_core.errors import InputError, NotFoundError

_SHOWN = 5
WHERE = (
    "download models.ckpt and OS_scRNA_gene_index.19264.tsv as "
    "https://github.com/biomap-research/scFoundation describes"
)
"""Where the official files are."""


def check_genes(genes: str | Path | Sequence[str], n_genes: int) -> tuple[str, ...]:
    """Return the names of a backbone's genes in the order of its positions.

    Parameters
    ----------
    genes : a file with the columns ``gene_name`` and ``index``, or the names in order
    n_genes : how many the backbone has

    Raises
    ------
    InputError
        If their number differs, one comes twice, or the indices are not 0, 1, 2 ... in order.
    """
    if isinstance(genes, str | Path):
        names, source = _read_gene_index(Path(genes).expanduser()), Path(genes).name
    else:
        names, source = [str(name) for name in genes], "the gene list"
    if len(names) != n_genes:
        raise InputError(f"{source} has {len(names):,} genes and the weights have {n_genes:,}: {WHERE}")
    seen: set[str] = set()
    twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise InputError(f"{source} names {twice[0]!r} twice: every position needs a gene of its own")
    return tuple(names)


def _read_gene_index(path: Path) -> list[str]:
    if not path.is_file():
        raise NotFoundError(f"no file {path}: {WHERE}")
    try:
        lines = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is no text file") from error
    if not lines or [part.strip() for part in lines[0][:2]] != ["gene_name", "index"]:
        raise InputError(f"{path.name} has not the columns gene_name and index, separated by a tab")
    wrong = [
        f"line {number + 2} has index {row[1].strip() if len(row) > 1 else 'none'!r}, expected {number}"
        for number, row in enumerate(lines[1:])
        if len(row) < 2 or row[1].strip() != str(number)
    ]
    if wrong:
        raise InputError(f"{path.name} is out of order: {'; '.join(wrong[:_SHOWN])}")
    return [row[0].strip() for row in lines[1:]]

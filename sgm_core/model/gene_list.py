"""The gene list that belongs to a backbone's weights."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sgm_core.errors import InputError, NotFoundError

_SHOWN = 5
WHERE = (
    "download models.ckpt and OS_scRNA_gene_index.19264.tsv as "
    "https://github.com/biomap-research/scFoundation describes"
)
"""Where the official files are."""
N_OFFICIAL = 19_264
"""Number of genes of the released model."""
# SHA-256 of the official names joined by line ends: as they stand, and sorted
_IN_ORDER = "6037e1bc9b3b48a5112ffdc29261383f747a3c3f8b568a8899b0c69d13565df8"
_SORTED = "e5322ead657fa5ac90d431e2d04e94edb56a1ecde3f4f94988404631ab436df1"
# and its first six digits for every 301 names, to say where a list differs
_BLOCK = 301
_BLOCKS = (
    "c716c180e873f44a4a6eeca0d563c12e26c495943a4a32bb1ba3058a09c8122944609ede5baf38fad6e949de91470270"
    "3feb3db5f21b8682529f954efabfd62def24622cfb0f338f278907b36750b3927c87005972bc2722a23c5ac8025f2b81"
    "6ef6536bec98664c8f634694f1b7371f0d8b5fe310f7d62b44ff582940e447a7d438144b07ec845569f8dd0fbb23f541"
    "24cdf9e913ffdd6b6953070de2f16cc57df8831bd7c974349faa1d25e2858f7ccb72b135a1e8b5856ab70226d1f71c95"
)


def check_genes(genes: str | Path | Sequence[str], n_genes: int, where: str = WHERE) -> tuple[str, ...]:
    """Return the names of a backbone's genes in the order of its positions.

    Parameters
    ----------
    genes : a file with the columns ``gene_name`` and ``index``, or the names in order
    n_genes : how many the backbone has
    where : where the list is, for messages

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
        raise InputError(f"{source} has {len(names):,} genes and the weights have {n_genes:,}: {where}")
    seen: set[str] = set()
    twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if twice:
        raise InputError(f"{source} names {twice[0]!r} twice: every position needs a gene of its own")
    return tuple(names)


def check_official_order(names: Sequence[str], source: str) -> None:
    """Check that a list of 19,264 genes is the released model's, in its order; others are not looked at.

    A list in another order would load and give wrong numbers, so this is the only guard against it.

    Raises
    ------
    InputError
        If names or order differ; the message says from which gene on.
    """
    if len(names) != N_OFFICIAL or _digest(names) == _IN_ORDER:
        return
    starts = [
        start
        for i, start in enumerate(range(0, N_OFFICIAL, _BLOCK))
        if _digest(names[start : start + _BLOCK])[:6] != _BLOCKS[6 * i : 6 * i + 6]
    ]
    what = "the same names in another order" if _digest(sorted(names)) == _SORTED else "other names"
    places = ", ".join(f"{start}-{start + _BLOCK - 1}" for start in starts[:_SHOWN])
    more = f" and {len(starts) - _SHOWN} more ranges" if len(starts) > _SHOWN else ""
    raise InputError(
        f"{source} has {what} than the official list of {N_OFFICIAL:,} genes: they differ among the indices "
        f"{places}{more}, which here start with {', '.join(names[starts[0] : starts[0] + 3])}; {WHERE}"
    )


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


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

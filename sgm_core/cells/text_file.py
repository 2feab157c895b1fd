"""Text as people save it: UTF-8 with or without a mark, UTF-16, latin-1, gzipped, any line ends."""

import codecs
import csv
import errno
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from sgm_core.errors import InputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Kinds of file that are no text, by how they begin.
_OTHERS = {
    b"PK\x03\x04": "a spreadsheet or zip archive: save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet: save it as CSV",
    b"PAR1": "parquet: give its name the ending .parquet",
    b"\x89HDF": "HDF5, no text",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"%PDF": "a PDF, no text: copy the table into a text file",
}
_HEAD = 65_536
_UNDEFINED = (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # in cp1252; latin-1 knows every byte
# Zero-width space, joiners, word joiner, byte order mark: they come with text copied from web pages.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "blanks"}


@dataclass(frozen=True)
class Text:
    """The content of a text file and what had to be assumed to read it."""

    content: str
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.content.split("\n")


def read_whole(path: Path) -> Text:
    """Read a text file that is small enough to be held: any common encoding, gzipped or not.

    Line ends become ``\\n``, zero-width characters vanish, non-breaking blanks become blanks.

    Raises
    ------
    InputError
        If it cannot be read or is no text: the message says what it is.
    """
    encoding, notes = find_encoding(path)
    with open_text(path, encoding) as stream:
        content = stream.read()
    return Text(tidy_text(content), notes)


def tidy_text(content: str) -> str:
    """Return text with plain line ends and blanks and nothing invisible."""
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    return content.translate(_INVISIBLE).replace("\u00a0", " ").replace("\u202f", " ")


def unquote(text: str) -> str:
    """Return a field without blanks and quotation marks around it."""
    return text.strip().strip(_QUOTES).strip()


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is gzipped, whatever its name says."""
    try:
        with path.open("rb") as raw:
            start = raw.read(8)
        for begin, what in _OTHERS.items():
            if start.startswith(begin):
                raise InputError(f"{path.name} is {what}")
        opener = gzip.open if start.startswith(b"\x1f\x8b") else open
        with opener(path, "rb") as stream:
            yield cast(BinaryIO, stream)
    except (OSError, EOFError, zlib.error) as error:
        # A full disk is no fault of the file: scratch files are written while reading.
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"{path.name} can't be read ({error.strerror}): check that it is there"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path.name} is damaged or cut short ({reason[:160]}): copy or download it again"
        ) from error


def find_encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return a text file's encoding, and a sentence where it had to be assumed; reads the file once.

    Raises
    ------
    InputError
        If it is no text.
    """
    with open_bytes(path) as stream:
        block = stream.read(_HEAD)
        if found := encoding_by_look(path, block):
            return found
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block:
                decoder.decode(block)
                block = stream.read(1 << 20)
            decoder.decode(b"", True)
            return "utf-8", ()
        except UnicodeDecodeError:
            pass
    with open_bytes(path) as stream:
        undefined = any(
            code in block for block in iter(lambda: stream.read(1 << 20), b"") for code in _UNDEFINED
        )
    encoding = "latin-1" if undefined else "cp1252"
    return encoding, (f"{path.name} is not UTF-8: read as Western European ({encoding})",)


def encoding_by_look(path: Path, head: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Return the encoding that the first bytes decide, None where it is UTF-8 or a code page.

    Raises
    ------
    InputError
        If the bytes are no text.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            said = () if encoding == "utf-8-sig" else (f"{path.name} is UTF-16: read as that",)
            return encoding, said
    if b"\0" in head:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        encoding = "utf-16-le" if odd > 0.3 * len(head) / 2 and not even else "utf-16-be"
        if min(even, odd) or max(even, odd) < 0.3 * len(head) / 2:
            raise InputError(f"{path.name} is no text file")
        return encoding, (f"{path.name} is UTF-16 without a mark: read as that",)
    control = sum(head.count(bytes([code])) for code in (*range(1, 9), *range(14, 27), 28, 29, 30, 31))
    if control > 0.01 * len(head):
        raise InputError(f"{path.name} is no text file")
    return None


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a text file in an encoding of `find_encoding`, unpacked if it is gzipped.

    Raises
    ------
    InputError
        If a byte does not fit: it is no text file.
    """
    with open_bytes(path) as raw:
        text = io.TextIOWrapper(raw, encoding=encoding, newline="")
        try:
            yield text
        except UnicodeDecodeError as error:
            raise InputError(f"{path.name} is no text file") from error
        finally:
            text.detach()


def header_fields(line: str, separator: str) -> list[str]:
    """Split one line at a separator; blanks around fields and quotation marks are taken off."""
    if separator == " ":
        return next(csv.reader([re.sub(r" +", " ", line.strip())], delimiter=" "), [])
    return [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]


def find_separator(lines: list[str]) -> str | None:
    """Return the separator that makes columns of `lines`, None where there is one column only.

    Every line must have the same number of fields; the first may have one less, as R writes it. The one that
    gives most columns wins, blanks only if no other does.
    """
    found: tuple[int, str] | None = None
    for separator in _SEPARATORS:
        if separator == " " and found:
            break
        widths = [len(header_fields(line, separator)) for line in lines]
        body = set(widths[1:]) or {widths[0]}
        if len(body) == 1 and (width := body.pop()) > 1 and widths[0] in (width, width - 1):
            found = max(found or (0, ""), (width, separator), key=lambda pair: pair[0])
    return found[1] if found else None


def separator_name(separator: str) -> str:
    """Return what a separator is called in messages."""
    return _SEPARATORS[separator]

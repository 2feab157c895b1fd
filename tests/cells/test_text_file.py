"""The same text, however it was saved."""

import gzip

import pytest

from sgm_core.cells.text_file import find_encoding, find_separator, read_whole
from sgm_core.errors import InputError

TEXT = "Zürich,Köln\nTP53,µ\n"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "without a mark"),
        ("cp1252", "cp1252"),
    ],
)
def test_every_common_encoding_is_read_and_said(tmp_path, encoding, said):
    for name, content in (("a.txt", TEXT.encode(encoding)), ("a.gz", gzip.compress(TEXT.encode(encoding)))):
        (tmp_path / name).write_bytes(content)
        text = read_whole(tmp_path / name)
        assert text.content == TEXT
        assert bool(text.notes) == bool(said)
        assert all(said in note for note in text.notes)


def test_bytes_that_cp1252_lacks_are_read_as_latin_1(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\x81b\xfc")
    assert find_encoding(tmp_path / "a.txt")[0] == "latin-1"


def test_packed_or_not_is_seen_in_the_content(tmp_path):
    (tmp_path / "packed.csv").write_bytes(gzip.compress(b"a,b\n"))
    (tmp_path / "plain.csv.gz").write_bytes(b"a,b\n")
    assert read_whole(tmp_path / "packed.csv") == read_whole(tmp_path / "plain.csv.gz")


def test_line_ends_and_what_can_not_be_seen(tmp_path):
    (tmp_path / "a.txt").write_text("\u200bA\u00a0\r\nB\rC", newline="")
    assert read_whole(tmp_path / "a.txt").lines == ["A ", "B", "C"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 zip", "a spreadsheet or zip archive: save it as CSV"),
        (b"PAR1 table", "give its name the ending .parquet"),
        (b"A\0\0\1\2B" * 9, "is no text file"),
        (bytes(range(1, 9)) * 9, "is no text file"),
        (gzip.compress(TEXT.encode() * 99, mtime=0)[:60], "damaged or cut short"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_whole(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("lines", "separator"),
    [
        (["cell\tdonor\ttype (level 1, broad)", "c1\tP1\tT", "c2\tP1\tB"], "\t"),
        (["donor type", "c1 P1 T", "c2 P1 B"], " "),
        (["cell;type", 'c1;"GMP, early"', "c2;HSC"], ";"),
        (["cell|type", "c1|T"], "|"),
        (["CD34", "MPO"], None),
    ],
)
def test_the_separator_is_the_one_that_makes_columns(lines, separator):
    assert find_separator(lines) == separator

"""What a reviewer can say of a gene, and what a name, a tag and a comment may be."""

from collections.abc import Iterable

from sgm_core.cells.text_file import tidy_text
from sgm_core.errors import InputError

VERDICTS = {
    "known": "Known AML gene",
    "plausible": "Plausible",
    "artefact": "Artefact",
    "unclear": "Unclear",
}
"""Verdicts as they are kept, with their words for people, in the order of the keys 1 to 4."""
LONGEST_NAME, LONGEST_TAG, LONGEST_COMMENT, MOST_TAGS = 80, 40, 4000, 20


def verdict_name(verdict: str) -> str:
    """Return a verdict in words for people."""
    return VERDICTS.get(verdict, verdict[:1].upper() + verdict[1:])


def check_verdict(verdict: str) -> str:
    """Return the verdict as it is kept, from that or from its words, in any case.

    Raises
    ------
    InputError
        If it is none of `VERDICTS`.
    """
    wanted = " ".join(verdict.split()).casefold()
    for key, words in VERDICTS.items():
        if wanted in (key, words.casefold()):
            return key
    raise InputError(f"{verdict[:40]!r} is no verdict: take one of {', '.join(VERDICTS)}")


def check_reviewer(name: str) -> str:
    """Return a reviewer's name with single spaces.

    Raises
    ------
    InputError
        If it is empty or longer than 80 characters.
    """
    name = _line(name)
    if not name or len(name) > LONGEST_NAME:
        raise InputError(f"a verdict needs the name of its reviewer, 1 to {LONGEST_NAME} characters long")
    return name


def check_tags(tags: str | Iterable[str]) -> str:
    """Return tags as they are kept: each once, joined by ``"; "``.

    Parameters
    ----------
    tags
        Tags, or a text of tags separated by semicolons.

    Raises
    ------
    InputError
        If one is longer than 40 characters, or there are more than 20.
    """
    parts = tags.split(";") if isinstance(tags, str) else [part for tag in tags for part in tag.split(";")]
    found = list(dict.fromkeys(filter(None, map(_line, parts))))
    long = next((tag for tag in found if len(tag) > LONGEST_TAG), None)
    if long is not None:
        raise InputError(
            f"the tag {long[:40]!r}... is longer than {LONGEST_TAG} characters: put it into words"
        )
    if len(found) > MOST_TAGS:
        raise InputError(f"a verdict has {MOST_TAGS} tags at most, not {len(found)}")
    return "; ".join(found)


def check_comment(comment: str) -> str:
    """Return a comment with its lines, no other control characters, and nothing around it.

    Raises
    ------
    InputError
        If it is longer than 4,000 characters.
    """
    lines = tidy_text(comment).split("\n")  # as a file of it would be read
    text = "\n".join("".join(sign for sign in line if sign.isprintable() or sign == "\t") for line in lines)
    text = text.strip()
    if len(text) > LONGEST_COMMENT:
        raise InputError(f"the comment has {len(text):,} characters: {LONGEST_COMMENT:,} are the most")
    return text


def _line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in tidy_text(text)).split())

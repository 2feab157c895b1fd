"""Show text that came with a file as the text it is: no markup on a page, none in a figure."""

import re

# What Markdown (CommonMark, GFM, Streamlit's additions), HTML or Plotly's templates would take for markup.
_MARKUP = re.compile(r"[!-~]")
_PLAIN = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,;()/'-+?")
# Marks that begin a list when they come first.
_LIST = re.compile(r"^(?:[-+]|\d+[.)])")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
# Streamlit looks for these in the text after entities were resolved: addresses, :emoji:, arrows that stand
# alone. A word joiner, which takes no room, keeps them apart.
_RESOLVED = re.compile(
    r"(?<=:)(?=//|[\w+/-]+:)|(?<=[wW]{3})(?=\.)|(?<=@)(?=[-\w])|(?<=(?<!\S)[-<>~])(?=[->=]+(?!\S))"
)
WORD_JOINER = "\u2060"


def escape(value: object) -> str:
    """Return `value` as text that Streamlit's Markdown and Plotly both show literally.

    Characters that either could take for markup become HTML entities, which both resolve after they have
    looked for markup; a backslash would be shown by Plotly. Space of any kind becomes one blank.

    Parameters
    ----------
    value
        A name (cell type, donor, gene, term, file, column, run) or a message that holds one; ``str`` of it.
    """
    text = _RESOLVED.sub(WORD_JOINER, _SPACE.sub(" ", str(value)))
    first = _LIST.match(text)
    head = _entity(first.group()[-1]) if first else ""
    start = first.end() if first else 0
    body = _MARKUP.sub(lambda mark: mark[0] if mark[0] in _PLAIN else _entity(mark[0]), text[start:])
    return (text[: start - 1] + head if first else "") + body


def _entity(mark: str) -> str:
    return f"&#{ord(mark)};"

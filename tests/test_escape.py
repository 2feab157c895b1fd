"""Names are shown as they are, whatever markup they hold."""

import html
import json

import plotly.graph_objects as go
import pytest

from sgm_core.escape import WORD_JOINER, escape

NAMES = (
    "<img src=//evil.test/x.png onerror=alert(1)>",
    "![evil](//evil.test/x.png)",
    "[evil](http://evil.test)",
    '<a href="http://evil.test">x</a><b>y</b><br>',
    "$\\alpha$ and $5",
    "**b** _i_ ~~s~~ `code` ~sub~",
    ":red[hot] :material/home: :smile: :streamlit:",
    "%{x} {{y}} &lt;b&gt; \\n",
    "# one",
    "- one",
    "+ one",
    "1. one",
    "12) one",
    "> one",
    "a | b",
    "-> x -- y >= z",
    "http://evil.test www.evil.test me@evil.test",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_text_that_both_resolve_and_no_markup_of_either(name):
    shown = escape(name)
    assert not set(shown) & set('<>[]*_`$~|\\!{}%="')
    assert html.unescape(shown).replace(WORD_JOINER, "") == name


@pytest.mark.parametrize("name", ["CD14.Mono", "T-cell, NK", "HSC/MPP", "CD4+ T", "Prog (late)", "Ü 5'"])
def test_a_plain_name_stays_as_it_is(name):
    assert escape(name) == name


def test_what_is_no_text_and_what_breaks_lines():
    assert escape(5) == "5"
    assert escape(None) == "None"
    assert escape("a\n\n# b\tc") == "a &#35; b c"


@pytest.mark.parametrize(
    "text", ["http://x.org", "www.x.org", "WWW.x.org", "me@x.org", ":smile:", ":material/home:", ":+1:"]
)
def test_addresses_and_emoji_are_kept_apart_after_entities_are_resolved(text):
    assert html.unescape(escape(text)) != text  # a word joiner, which nobody sees, stands in between
    assert html.unescape(escape(f"a {text} b")).count(WORD_JOINER) == 1


def test_a_plotly_figure_takes_it_as_text():
    figure = json.loads(go.Figure(layout={"title": {"text": escape(NAMES[0])}}).to_json())
    assert "<" not in figure["layout"]["title"]["text"]

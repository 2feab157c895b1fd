"""No page or figure obeys the markup in a name: all are walked with a dataset whose every name is some."""

import json
from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from hostile import COLUMNS, GENES, RAW, TITLE, hostile_dataset, hostile_run
from page_text import text_of

from pages.components import words
from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.fit import fit_model
from sgm_core.annotation.kept import keep
from sgm_core.review import record

# Fields that the browser shows as they are: options of menus, what a person typed, code, data, keys.
PLAIN = {
    "Selectbox.options", "Selectbox.raw_value", "MultiSelect.options", "MultiSelect.raw_values",
    "TextInput.value", "TextInput.default", "TextArea.value", "TextArea.default", "Code.code_text",
    "PlotlyChart.alt", "PlotlyChart.id", "PlotlyChart.config", "Arrow.columns",
    "IFrame.srcdoc",  # HTML, which a browser test opens
}  # fmt: skip
VIEWS = [
    ("home", {}),
    *(("datasets", {"view": view}) for view in ("Quality", "Donors and types", "Folds", "Genes", "Import")),
    *(("new_run", {"kind": kind}) for kind in ("Compare all arms", "Pretrain one model")),
    ("runs", {}),
    *(("compare", {"detail": view}) for view in ("Cell types", "Confusion", "Donors", "Folds")),
    ("cells", {"colour": "Predicted type", "colour2": "A gene's expression", "gene2": GENES[0]}),
    ("cells", {"colour": words.plain_column(COLUMNS["donor"])}),
    *(
        ("masked_genes", {"evidence": view, "gene": GENES[0]})
        for view in ("Ranking", "By cell type", "By epoch", "Is it guided?", "Table")
    ),
    *(("review", {"view": view, "gene": GENES[0]}) for view in ("Judge", "Agreement", "All verdicts")),
    ("report", {"library": "evil"}),
    ("enrichment", {"library": "evil"}),
    ("enrichment", {"library": "evil", "genes": "My own list", "list": " ".join(GENES)}),
]


def strings(message: Message) -> Iterator[tuple[str, str]]:
    """Give (field, text) of all text in what a page sends to the browser."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        name = ".".join(field.full_name.rsplit(".", 2)[-2:])
        for one in values:
            if field.type == field.TYPE_STRING:
                yield name, one
            elif field.type == field.TYPE_MESSAGE and isinstance(one, Message):
                yield from strings(one)


def elements(node) -> Iterator[Message]:
    """Give everything on the page, containers and their labels among it."""
    if getattr(node, "proto", None) is not None:
        yield node.proto
    for child in getattr(node, "children", {}).values():
        yield from elements(child)


def obeyed(app) -> list[tuple[str, str]]:
    """Return the texts that hold markup of a hostile name."""
    found = []
    for proto in elements(app._tree):
        for name, text in strings(proto):
            if name == "PlotlyChart.spec":
                found += [(name, part) for part in texts(json.loads(text)) if raw(part)]
            elif name not in PLAIN and raw(text):
                found.append((name, text))
    return found


def texts(thing) -> Iterator[str]:
    """Give every text in a figure's JSON."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict | list):
        for each in thing.values() if isinstance(thing, dict) else thing:
            yield from texts(each)


def raw(text: str) -> bool:
    return "evil" in text.lower() and any(mark in text.lower() for mark in RAW)


@pytest.fixture
def hostile(demo_dataset, tmp_path):
    dataset = hostile_dataset(demo_dataset, tmp_path)
    return dataset, hostile_run(dataset, tmp_path)


def test_no_page_obeys_a_name(open_page, hostile):
    dataset, run = hostile
    record(run, GENES[0], "known", TITLE, tags=["<b>evil</b>"], comment="![evil](//evil.test)", ranking=TITLE)
    record(run, GENES[0], "unclear", "**evil**")
    told, wrong = set(), []
    for page, query in VIEWS:
        app = open_page(page, dataset=dataset.name, run=run.id, **query)
        assert not app.exception, (page, query)
        wrong += [(page, query, *each) for each in obeyed(app)]
        told |= {sign for sign in ("evil", "EVIL1", "Proven", "Undecided") if sign in text_of(app)}
        assert app.selectbox(key="run").value == run.id
    assert wrong == []
    assert {"evil", "EVIL1"} <= told, "the names were there to be obeyed"


def test_annotate_obeys_no_name(open_page, demo_dataset, tmp_path):
    dataset = hostile_dataset(demo_dataset, tmp_path)
    sets = {f"vanGalen_AML_{state}": list(dataset.genes[i::9][:9]) for i, state in enumerate(("HSC", "Mono"))}
    sets |= {"![evil](//evil.test/s)": list(dataset.genes[:9])}
    fit_model(dataset, "m", folds=3, signatures=sets, with_map=False)
    made = keep("kept", annotate(str(tmp_path / "![evil](evil.test) $evil$.h5ad"), "m", tmp_path / "work"))
    made.correct([1, 2], TITLE, "<b>evil</b> ![evil](//evil.test)")
    wrong, told = [], ""
    for part in ("Result", "Correct by hand", "Annotate cells"):
        app = open_page("annotate", part=part)
        assert not app.exception and not app.error, part
        wrong += [(part, *each) for each in obeyed(app)]
        told += text_of(app)
    assert wrong == []
    assert "evil" in told


def test_the_walk_would_see_it(open_page, hostile, monkeypatch):
    dataset, run = hostile
    monkeypatch.setattr("pages.components.words.escape", str)
    app = open_page("cells", dataset=dataset.name, run=run.id)
    assert {name for name, _ in obeyed(app)} >= {"MultiSelect.label"}


def test_the_menu_names_a_run_by_its_title_and_the_link_by_its_id(open_page, hostile):
    app = open_page("home", run=hostile[1].id)
    assert any(option.startswith(TITLE) for option in app.selectbox(key="run").options)
    assert app.query_params["run"] == hostile[1].id

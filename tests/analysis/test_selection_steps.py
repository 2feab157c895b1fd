"""Selections as steps: replayed, linked, described."""

import base64
import zlib

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis import selection_steps as steps_
from sgm_core.analysis.cell_values import NO_LABEL, encode
from sgm_core.analysis.selection_link import LONGEST, from_link, to_link
from sgm_core.analysis.selection_steps import Invert, Levels, Polygon, Range, Saved, add_step, replay
from sgm_core.cells.selections import save_selection
from sgm_core.errors import InputError, NotFoundError

SQUARE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


@pytest.fixture
def maps(demo_dataset) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    cells = rng.permutation(demo_dataset.n_cells)[:-20]  # a map may leave cells out
    return {
        "one": pd.DataFrame(
            {"cell": cells, "x": rng.normal(size=len(cells)), "y": rng.normal(size=len(cells))}
        )
    }


def lassoed(table: pd.DataFrame, n_cells: int) -> np.ndarray:
    inside = np.zeros(n_cells, bool)
    inside[table["cell"][(table["x"].abs() < 0.5) & (table["y"].abs() < 0.5)]] = True
    return inside


def test_each_mode_is_its_set_operation(demo_dataset, maps):
    drawn = lassoed(maps["one"], demo_dataset.n_cells)
    donor = str(demo_dataset.donors().iloc[0])
    mine = (demo_dataset.donors() == donor).to_numpy()
    first = Levels((("obs:donor", (donor,)),))
    for mode, expected in (
        ("replace", drawn), ("add", mine | drawn), ("subtract", mine & ~drawn), ("keep", mine & drawn),
    ):  # fmt: skip
        found = replay((first, Polygon("one", SQUARE, mode)), demo_dataset, maps)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(replay((first, Invert()), demo_dataset, maps), ~mine)
    assert drawn.any() and (mine & drawn).any() and not (mine & drawn).all()


def test_conditions_of_one_step_must_all_hold(demo_dataset):
    labels, donors = demo_dataset.labels(), demo_dataset.donors()
    kinds = tuple(labels.value_counts().index[:2])
    donor = str(donors.iloc[0])
    step = Levels((("obs:cell_type", kinds), ("obs:donor", (donor,))))
    expected = labels.isin(kinds) & (donors == donor)
    np.testing.assert_array_equal(replay((step,), demo_dataset, {}), expected)
    assert 0 < expected.sum() < labels.isin(kinds).sum()


def test_a_threshold_includes_the_value_it_was_read_from(demo_dataset):
    gene = str(demo_dataset.genes[3])
    values = demo_dataset.lognorm(genes=[gene]).toarray().ravel()
    top = float(values.max())
    found = replay((Range(f"gene:{gene}", low=top),), demo_dataset, {})
    np.testing.assert_array_equal(found, values == values.max())
    between = replay((Range(f"gene:{gene}", 0.1, top / 2),), demo_dataset, {})
    np.testing.assert_array_equal(between, (values >= np.float32(0.1)) & (values <= np.float32(top / 2)))


def test_a_saved_selection_combines_with_what_is_selected(demo_dataset, maps):
    mine = np.zeros(demo_dataset.n_cells, bool)
    mine[::3] = True
    save_selection(demo_dataset, "third", mine)
    drawn = lassoed(maps["one"], demo_dataset.n_cells)
    found = replay((Polygon("one", SQUARE), Saved("third", "keep")), demo_dataset, maps)
    np.testing.assert_array_equal(found, mine & drawn)
    with pytest.raises(NotFoundError, match="no saved selection 'gone': there are 'third'"):
        replay((Saved("gone"),), demo_dataset, maps)


def test_steps_that_a_replacing_one_makes_void_are_dropped():
    a, b = Range("gene:A", 1.0), Saved("b", "add")
    assert add_step(add_step((), a), b) == (a, b)
    assert add_step((a, b), Saved("c")) == (Saved("c"),)
    assert add_step((a, Invert()), Invert()) == (a,)
    # nothing selected yet: all cells are in view, and the first step takes from them
    assert add_step((), Saved("c", "subtract")) == (Saved("c"), Invert())
    assert add_step((), Saved("c", "keep")) == (Saved("c"),)


def test_a_link_brings_back_the_very_same_steps(maps):
    rng = np.random.default_rng(1)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 200))
    lasso = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(0.8, 1.2, 200)[:, None]
    steps = (
        steps_.polygon(maps["one"], "one", lasso, hidden=("obs:donor", ("D1", "D2"))),
        Levels((("obs:cell type", ("HSC", "β-cell; ø")), ("obs:donor", (NO_LABEL,))), "keep"),
        Range("gene:HLA-A", None, 1.5, "add"),
        Saved("x", "subtract"),
        Invert(),
    )
    link = to_link(steps)
    assert link is not None and len(link) <= LONGEST and link.replace("-", "").replace("_", "").isalnum()
    assert from_link(link) == steps
    assert steps_.from_json(steps_.to_json(steps)) == steps


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e7])
def test_a_rounded_lasso_selects_what_was_drawn_on_a_map_of_any_size(scale):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"cell": np.arange(900), "x": rng.random(900) * scale, "y": rng.random(900) * scale})
    drawn = steps_.polygon(table, "m", [(0, 0), (0.5 * scale, 0), (0.5 * scale, scale), (0, scale)])
    assert from_link(to_link((drawn,))) == (drawn,)
    assert abs(drawn.corners[1][0] - 0.5 * scale) < scale / 5000


def test_what_is_too_long_for_a_link_is_none(maps):
    rng = np.random.default_rng(0)
    steps = tuple(steps_.polygon(maps["one"], "one", rng.normal(size=(200, 2)), "add") for _ in range(5))
    assert to_link(steps) is None


@pytest.mark.parametrize("text", ["", "abc", "eJy", "%%%", "eJyrVkouVrJSUEpUqgUAF6YDsA"])
def test_a_cut_link_is_refused_in_one_line(text):
    with pytest.raises(InputError, match="selection in the link can't be read"):
        from_link(text)


@pytest.mark.parametrize(
    "content",
    [
        '[{"step":"polygon","map":"m","mode":"replace","digits":999999999,"corners":[0,0,1,0,1,1]}]',
        '[{"step":"polygon","map":"m","mode":"replace","digits":0,"corners":[0,0,1%s,0,1,1]}]' % ("0" * 400),
        '[{"step":"range","source":"gene:A","low":1%s,"high":null}]' % ("0" * 400),
        "[" * 100_000,
    ],
    ids=["a power of ten", "a corner", "a limit", "lists in lists"],
)
def test_a_link_made_to_harm_is_refused_at_once(content):
    # 10 to the power of a number in the link kept the server busy; larger numbers than floats were errors
    text = base64.urlsafe_b64encode(zlib.compress(content.encode())).decode().rstrip("=")
    with pytest.raises(InputError, match="selection in the link can't be read"):
        from_link(text)


def test_a_link_cut_anywhere_is_refused(maps):
    link = to_link((steps_.polygon(maps["one"], "one", SQUARE),))
    for end in range(0, len(link), 7):
        with pytest.raises(InputError):
            from_link(link[:end])


@pytest.mark.parametrize(
    "item",
    [
        {"step": "polygon", "map": "m", "corners": [[0, 0], [1, 1]], "mode": "replace"},
        {"step": "polygon", "map": "m", "corners": [[0, 0], [1, 1], [0, float("nan")]], "mode": "replace"},
        {"step": "range", "source": "gene:A", "low": "x", "high": None, "mode": "replace"},
        {"step": "saved", "name": "a", "mode": "explode"},
        {"step": "exec"},
        "polygon",
    ],
)
def test_damaged_steps_are_refused(item):
    with pytest.raises(InputError, match="steps of a selection are damaged"):
        steps_.from_json([item])


def test_what_is_not_there_is_named(demo_dataset):
    with pytest.raises(NotFoundError, match="map 'gone' on which"):
        replay((Polygon("gone", SQUARE),), demo_dataset, {})
    with pytest.raises(InputError, match="no cell is labelled 'Nobody'"):
        replay((Levels((("obs:donor", ("Nobody",)),)),), demo_dataset, {})
    with pytest.raises(InputError, match="has labels, not numbers"):
        replay((Range("obs:donor", 0, 1),), demo_dataset, {})


def test_levels_come_most_frequent_first_and_none_is_no_level():
    found = encode(np.array(["b", "a", None, "a", "c", "b", np.nan], dtype=object))
    assert found.levels == ("a", "b", "c")
    assert found.codes.tolist() == [1, 0, -1, 0, 2, 1, -1]
    assert found.counts().tolist() == [2, 2, 1, 2]
    assert found.among([NO_LABEL, "c"]).tolist() == [False, False, True, False, True, False, True]


def test_the_words_say_what_was_done():
    steps = (
        Levels((("obs:vangalen_cell_type", ("HSC-like",)), ("obs:condition", ("AML",)))),
        Range("gene:CD34", 1.25, None, "keep"),
        Saved("blasts", "subtract"),
        Invert(),
    )
    assert steps_.describe(steps) == (
        "all but (vangalen cell type HSC-like and condition AML; of these only 1.25 ≤ CD34; "
        "without saved selection blasts)"
    )

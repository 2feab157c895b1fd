"""The server's side of the map: what is packed, what is refused, what a gesture becomes."""

import json
import math

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.scatter import Colours, Event, Points, read_event, scatter
from pages.components.scatter.packing import (
    drawing_order,
    pack,
    pack_bits,
    pack_codes,
    pack_points,
    stride,
)
from sgm_core.errors import InputError


def unpack(data: bytes) -> tuple[dict, bytes]:
    size = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + size]), data[4 + size :]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 1000, 12_811, 345_897])
def test_the_drawing_order_holds_every_row_once(n):
    assert math.gcd(stride(n), n) == 1
    assert np.array_equal(np.sort(drawing_order(n)), np.arange(n))


def test_a_first_part_of_the_order_is_an_even_sample_of_the_rows():
    n = 100_000
    part = drawing_order(n)[: n // 20]
    shares = np.histogram(part, bins=50, range=(0, n))[0] / len(part)
    assert shares.max() < 1.1 / 50 and shares.min() > 0.9 / 50


@pytest.mark.parametrize("header", [{}, {"a": 1}, {"a": "é"}, {"abc": [1.5, None]}])
def test_arrays_start_at_a_multiple_of_four_bytes(header):
    found, rest = unpack(pack(header, np.arange(3, dtype="<u2")))
    assert found == header and len(rest) == 6
    assert (len(pack(header, np.arange(3, dtype="<u2"))) - 6) % 4 == 0


def test_coordinates_are_off_by_half_a_step_of_their_span_at_most():
    rng = np.random.default_rng(0)
    n = 50_000
    x, y = rng.normal(5, 3, n).astype("float32"), rng.normal(-100, 0.01, n).astype("float32")
    header, body = unpack(pack_points(x, y, np.arange(n), "token"))
    assert len(body) == 4 * n, "4 bytes a cell where cells are the dataset's rows"
    steps = np.frombuffer(body, "<u2").reshape(n, 2)
    for column, (values, (low, high)) in enumerate(((x, header["x"]), (y, header["y"]))):
        back = low + steps[:, column] * ((high - low) / 65_535)
        error = np.abs(back - values[drawing_order(n)].astype(float))
        assert error.max() <= (high - low) / 65_535 / 2 * (1 + 1e-6)
        assert (low, high) == (values.min(), values.max())


def test_other_cells_than_the_rows_are_sent_in_drawing_order():
    cell = np.array([5, 9, 2, 70_000])
    header, body = unpack(pack_points(np.arange(4.0), np.arange(4.0), cell, "token"))
    assert header["cells"] and list(np.frombuffer(body[16:], "<u4")) == list(cell[drawing_order(4)])
    header, _ = unpack(pack_points(np.arange(4.0), np.arange(4.0), np.arange(4), "token"))
    assert not header["cells"]


def test_equal_coordinates_have_a_place():
    header, body = unpack(pack_points(np.full(3, 7.0), np.arange(3.0), np.arange(3), "token"))
    low, high = header["x"]
    assert low < 7 < high and low + np.frombuffer(body, "<u2")[0] / 65_535 * (high - low) == pytest.approx(
        7, abs=1e-4
    )


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_codes_and_bits_come_in_drawing_order(kind):
    codes = np.random.default_rng(0).integers(0, 200, 1001).astype(kind)
    header, body = unpack(pack_codes(codes, "t"))
    assert header == {"token": "t", "n": 1001, "bytes": codes.itemsize}
    assert np.array_equal(np.frombuffer(body, codes.dtype), codes[drawing_order(1001)])
    chosen = codes % 3 == 0
    bits = pack_bits(chosen)
    assert len(bits) == 126
    assert np.array_equal(np.unpackbits(bits, bitorder="little")[:1001] == 1, chosen[drawing_order(1001)])


@pytest.mark.parametrize(
    ("x", "y", "cell", "words"),
    [
        ([0.0, np.nan], [0.0, 1.0], [0, 1], "1 of the map's 2 cells have no finite coordinates, .*row 1"),
        ([0.0, 1.0], [0.0], [0, 1], "one length"),
        ([], [], [], "no cells"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(x, y, cell, words):
    with pytest.raises(InputError, match=words):
        pack_points(np.array(x), np.array(y), np.array(cell, dtype=np.int64), "token")


def good(**other) -> Colours:
    return Colours(**{"codes": np.array([0, 1, 1], np.uint8), "palette": ["#ff0000", "#00ff0080"], **other})


POINTS = Points(np.arange(3.0), np.arange(3.0), np.arange(3), "three")


@pytest.mark.parametrize(
    ("colours", "selected", "words"),
    [
        (good(codes=np.array([0, 1, 1])), None, "uint8 or uint16, not int64"),
        (good(codes=np.array([0, 1], np.uint8)), None, "map of 3 cells"),
        (good(codes=np.array([0, 1, 2], np.uint8)), None, "palette of 2 colours can't show codes up to 2"),
        (good(palette=["red", "#00ff00"]), None, "'red' is no colour"),
        (good(palette=["#ff0000;x", "#00ff00"]), None, "is no colour"),
        (good(categories=["A"]), None, "1 names for 2 colours"),
        (good(categories=["A", "B"], counts=[1]), None, "1 counts for 2 colours"),
        (good(codes=np.array([0, 1, 2], np.uint8), palette=["#ff0000"] * 3, missing=1), None, "first or the"),
        (good(high=float("nan")), None, "not from 0.0 to nan"),
        (good(), np.array([True, False]), "each of its 3 cells"),
        (good(), np.array([1, 0, 0]), "not int64"),
    ],
)
def test_colours_that_do_not_fit_are_refused(colours, selected, words):
    with pytest.raises(InputError, match=words):
        scatter(POINTS, colours, key="map", selected=selected)


def gesture(**other) -> dict:
    lasso = {"sequence": 7, "kind": "lasso", "mode": "add", "polygon": [[0, 0], [1, 0], [1, 2.5]]}
    return {**lasso, "categories": [3], **other}


def test_a_gesture_becomes_an_event():
    assert read_event(None) is None
    assert read_event(gesture()) == Event(7, "lasso", "add", [(0.0, 0.0), (1.0, 0.0), (1.0, 2.5)], [3])
    assert read_event(gesture(kind="clear", polygon=[])).kind == "clear"


@pytest.mark.parametrize(
    "given",
    [
        gesture(kind="delete"),
        gesture(mode="xor"),
        gesture(polygon=[[0, 0], [1, 1]]),
        gesture(polygon=[[0, 0], [1, 1], [float("nan"), 0]]),
        gesture(polygon=[[0, 0]] * 201),
        gesture(polygon="abc"),
        gesture(sequence="now"),
        {"kind": "clear"},
        [1],
    ],
)
def test_a_gesture_that_no_map_sends_is_refused(given):
    with pytest.raises(InputError, match="draw it again"):
        read_event(given)


def _page() -> None:
    import numpy as np
    import streamlit as st

    from pages.components.scatter import Colours, Points, scatter

    n = 4000
    points = Points(np.arange(n, dtype="float32"), np.zeros(n, "float32"), np.arange(n), "line")
    colours = Colours(np.zeros(n, np.uint8), ["#ff0000"], ["<b>"], [n], title="Type")
    selected = np.arange(n) < 10 if st.checkbox("Select") else None
    st.text(str(scatter(points, colours, key="map", title="Map", selected=selected)))


def test_a_selection_sends_a_bit_a_cell_and_leaves_the_other_messages_as_they_are():
    app = AppTest.from_function(_page).run()
    assert not app.exception and app.text[0].value == "None"

    def sent() -> dict[str, bytes]:
        found = {}
        for node in app.get("bidi_component"):
            header, body = unpack(node.proto.bytes)
            found["view" if "key" in header else header["token"]] = (header, body)
        return found

    before = sent()
    assert len(before) == 3 and before["view"][0]["categories"] == ["<b>"]
    assert before["view"][1] == b"" and not before["view"][0]["selected"]
    app.checkbox[0].check().run()
    after = sent()
    assert len(after["view"][1]) == 4000 / 8 and after["view"][0]["selected"]
    assert {k: v for k, v in after.items() if k != "view"} == {k: v for k, v in before.items() if k != "view"}

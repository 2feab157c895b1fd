import time

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from sgm_core.analysis.selection import points_in_box, points_in_polygon
from sgm_core.errors import InputError

STAR = np.array([[0, 3], [1, -3], [-2.5, 1], [2.5, 1], [-1, -3]], dtype=float)


def test_a_concave_lasso_equals_matplotlib() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20_000))
    angle = np.sort(rng.uniform(0, 2 * np.pi, 150))
    radius = rng.uniform(0.3, 2, 150)
    lasso = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    expected = Polygon(lasso).contains_points(np.column_stack([x, y]))
    np.testing.assert_array_equal(points_in_polygon(x, y, lasso), expected)
    assert 0 < expected.sum() < len(x)


def test_a_lasso_that_crosses_itself_follows_the_even_odd_rule() -> None:
    assert points_in_polygon(np.array([0.0, 0.0, 5.0]), np.array([0.0, 2.0, 0.0]), STAR).tolist() == [
        False,  # the middle of a five-pointed star is wound twice
        True,
        False,
    ]


def test_neighbouring_lassos_share_no_point_and_lose_none() -> None:
    grid = np.arange(0, 10, 0.5)
    x, y = (v.ravel() for v in np.meshgrid(grid, grid))
    corners = [[(0, 0), (4, 0), (4, 9), (0, 9)], [(4, 0), (9, 0), (9, 9), (4, 9)]]
    left, right = (points_in_polygon(x, y, np.array(c, dtype=float)) for c in corners)
    assert not (left & right).any()
    np.testing.assert_array_equal(left | right, (x < 9) & (y < 9))


def test_cells_without_a_place_are_outside() -> None:
    x, y = np.array([np.nan, 0.0, np.inf]), np.array([0.0, np.nan, 0.0])
    assert not points_in_polygon(x, y, np.array([[-1, -1], [1, -1], [0, 1]])).any()


def test_350_000_cells_take_under_half_a_second_of_processor() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 350_000))
    t = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    lasso = np.column_stack([np.cos(t), np.sin(t)]) * (1 + 0.3 * np.sin(5 * t))[:, None]
    start = time.process_time()
    inside = points_in_polygon(x, y, lasso)
    assert time.process_time() - start < 0.5
    assert inside.any()


@pytest.mark.parametrize("corners", [[], [[0, 0], [1, 1]], [[0, 0], [1, 1], [np.nan, 0]], [1, 2, 3]])
def test_what_is_no_lasso_is_refused(corners: list) -> None:
    with pytest.raises(InputError, match="at least three finite corners"):
        points_in_polygon(np.zeros(1), np.zeros(1), np.array(corners, dtype=float))


def test_a_box_may_be_drawn_from_any_corner() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    assert points_in_box(x, y, (1.5, 0.0), (1.0, 0.0)).tolist() == [True, True, False]

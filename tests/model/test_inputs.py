import numpy as np
import pytest

from sgm_core.errors import InputError
from sgm_core.model.inputs import depth_values, target_depth


@pytest.mark.parametrize(
    ("text", "expected"),
    [("t4", ("t", 4.0)), ("f2.5", ("f", 2.5)), ("a.5", ("a", 0.5)), ("t0", ("t", 0.0)), ("f1", ("f", 1.0))],
)
def test_target_depth(text: str, expected: tuple[str, float]) -> None:
    assert target_depth(text) == expected


@pytest.mark.parametrize("text", ["", "4", "t", "x4", "t-1", "f0", "t4 ", "tnan", "T4", "t1e3", "t4\n"])
def test_what_is_no_target_depth_is_named(text: str) -> None:
    with pytest.raises(InputError, match="target depth"):
        target_depth(text)


@pytest.mark.parametrize(
    ("target", "expected"), [("t4", [4, 4]), ("f2", np.log10([200, 2000])), ("a1", [3, 4])]
)
def test_depth_values(target: str, expected: list[float]) -> None:
    aimed, source = depth_values(np.log10([100, 1000]), target)
    np.testing.assert_allclose(aimed, expected)
    np.testing.assert_allclose(source, [2, 3])

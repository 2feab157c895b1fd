"""A question is a run: the same question has one, and it keeps its cells and its whole answer."""

import numpy as np
import pytest

from sgm_core.errors import Cancelled, InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.runs.differential import create_differential, differential_id, existing, read_differential
from sgm_core.runs.store import cancel_run, list_runs
from sgm_core.runs.worker import carry_out, execute, run_in_foreground


@pytest.fixture
def sides(demo_dataset) -> tuple[np.ndarray, np.ndarray]:
    cells = (demo_dataset.labels() == "GMP").to_numpy()
    return cells, ~cells


def test_the_answer_is_kept_with_its_cells(demo_dataset, sides) -> None:
    run = run_in_foreground(
        create_differential(demo_dataset, *sides, "GMP", "the others", min_cells=4), Observer()
    )
    assert run.state == "done" and run.title == "GMP against the others"
    for name, side in zip("ab", sides):
        np.testing.assert_array_equal(np.load(run.path / f"cells_{name}.npy"), np.flatnonzero(side))
    table, facts = read_differential(run)
    assert facts["method"] == "pseudobulk" and facts["n_tested"] > 50
    assert len(table) > facts["n_tested"]
    assert "GMP" in run.log_tail()


def test_the_same_question_has_one_run_whatever_it_is_called(demo_dataset, sides) -> None:
    rows = [np.flatnonzero(side) for side in sides]
    first = create_differential(demo_dataset, *sides, "GMP", "rest")
    again = create_differential(demo_dataset, rows[0][::-1], rows[1], "G M P", "others")
    assert first.id == again.id == differential_id(demo_dataset, *rows)
    assert len(list_runs()) == 1
    others = {
        create_differential(demo_dataset, *sides[::-1], "rest", "GMP").id,
        create_differential(demo_dataset, *sides, "GMP", "rest", method="wilcoxon").id,
        create_differential(demo_dataset, *sides, "GMP", "rest", min_cells=4).id,
        create_differential(demo_dataset, rows[0], rows[1][1:], "GMP", "rest").id,
    }
    assert len(others | {first.id}) == 5


def test_a_run_that_lost_its_cells_says_so_and_asking_again_mends_it(demo_dataset, sides) -> None:
    run = create_differential(demo_dataset, *sides, "GMP", "rest")
    (run.path / "cells_b.npy").unlink()
    with pytest.raises(InputError, match="lacks the cells it compares"):
        execute(run)
    again = create_differential(demo_dataset, *sides, "GMP", "rest")
    np.testing.assert_array_equal(np.load(again.path / "cells_b.npy"), np.flatnonzero(sides[1]))


def test_a_question_can_be_cancelled_and_has_no_answer_then(demo_dataset, sides) -> None:
    run = create_differential(demo_dataset, *sides, "GMP", "rest")
    run.begin()
    cancel_run(run.id)
    with pytest.raises(Cancelled):
        carry_out(run, run)
    assert run.state == "cancelled"
    with pytest.raises(NotFoundError, match="has no answer yet: it is cancelled"):
        read_differential(run)


def test_what_cannot_be_compared_makes_no_run(demo_dataset, sides) -> None:
    with pytest.raises(InputError, match="cells are in GMP and in itself"):
        create_differential(demo_dataset, sides[0], sides[0], "GMP", "itself")
    with pytest.raises(InputError, match="method"):
        create_differential(demo_dataset, *sides, "GMP", "rest", method="guess")
    assert list_runs() == []
    assert existing("differential-small-0000000000") is None

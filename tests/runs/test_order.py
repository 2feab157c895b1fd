"""In which order queued runs get their device."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sgm_core import home
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs.launch import enqueue, turn
from sgm_core.runs.order import move_run, places, set_priority
from sgm_core.runs.process import identity
from sgm_core.runs.states import MOVES
from sgm_core.runs.store import Run, cancel_run, create_run


@pytest.fixture
def line() -> Iterator[list[Run]]:
    """Four runs that wait, in the order of their coming; this process stands for their workers."""
    runs = [create_run("import", name, {"path": "x.csv"}) for name in ("a", "b", "c", "d")]
    for run in runs:
        enqueue(run)
        run.update(**identity())
    yield runs


def served(runs: list[Run]) -> str:
    """Let all waiting runs go, each when its turn comes, and return their datasets in that order."""
    order: list[str] = []

    def go(run: Run) -> None:
        with turn(run, Observer()):
            run.begin()
            order.append(run.dataset_name)
            run.finish("done")

    threads = [threading.Thread(target=go, args=(run,), daemon=True) for run in runs if run.active]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return "".join(order)


def in_line() -> str:
    found = sorted(places().items(), key=lambda item: item[1])
    return "".join(run_id.split("-")[1] for run_id, _ in found)


def test_without_priorities_first_come_first_served(line) -> None:
    assert in_line() == "abcd" and places()[line[1].id] == (2, 4)
    assert served(line[::-1]) == "abcd"


def test_a_higher_priority_is_served_sooner_and_equal_ones_as_they_came(line) -> None:
    set_priority(line[3].id, 5)
    set_priority(line[1].id, 5)
    set_priority(line[0].id, -1)
    assert in_line() == "bdca"
    assert served(line) == "bdca"


def test_a_run_asked_for_with_a_priority_queues_with_it(line) -> None:
    urgent = create_run("import", "u", {"path": "x.csv"}, priority=1)
    enqueue(urgent)
    urgent.update(**identity())
    assert in_line() == "uabcd"
    cancel_run(urgent.id)
    assert in_line() == "abcd"
    enqueue(urgent)
    assert urgent.status["priority"] == 1 and in_line().startswith("u"), "kept when it is resumed"


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([("c", "up")], "acbd"),
        ([("c", "up"), ("c", "up"), ("c", "up")], "cabd"),
        ([("a", "down")], "bacd"),
        ([("d", "first"), ("c", "first")], "cdab"),
        ([("a", "last"), ("b", "last")], "cdab"),
        ([("a", "first"), ("d", "last"), ("a", "up"), ("d", "down")], "abcd"),
    ],
)
def test_a_waiting_run_is_moved(line, moves, expected) -> None:
    ids = {run.dataset_name: run.id for run in line}
    for name, where in moves:
        move_run(ids[name], where)
    assert in_line() == expected


def test_moving_crosses_priorities_and_takes_the_new_one(line) -> None:
    set_priority(line[0].id, 7)
    move_run(line[2].id, "first")
    assert in_line() == "cabd" and line[2].status["priority"] == 7
    move_run(line[0].id, "last")
    assert in_line() == "cbda" and line[0].status["priority"] == 0
    move_run(line[2].id, "down")  # the two change places, and what goes with them
    assert in_line() == "bcda" and line[1].status["priority"] == 7
    assert served(line) == "bcda"


def test_what_runs_is_not_overtaken(line) -> None:
    with ExitStack() as stack:
        stack.enter_context(turn(line[0], Observer()))
        line[0].begin()
        move_run(line[3].id, "first")
        set_priority(line[3].id, 100)
        assert in_line() == "dbc"
        heard: list[str] = []
        listener = Observer()
        listener.message = heard.append  # type: ignore[method-assign]
        thread = threading.Thread(target=lambda: stack.enter_context(turn(line[3], listener)), daemon=True)
        thread.start()
        thread.join(0.5)
        assert heard == [f"waiting for run {line[0].id} on preparation"]
        line[0].finish("done")
        stack.pop_all().close()
        thread.join(30)


def test_what_can_not_be_moved_is_said(line) -> None:
    with pytest.raises(InputError, match="first, up, down, last"):
        move_run(line[0].id, "sideways")
    for priority in (-101, 101):
        with pytest.raises(InputError, match="-100 to 100"):
            set_priority(line[0].id, priority)
        with pytest.raises(InputError, match="-100 to 100"):
            create_run("import", "e", {"path": "x.csv"}, priority=priority)
    served(line)
    for where in MOVES:
        with pytest.raises(InputError, match="only a run that waits"):
            move_run(line[0].id, where)
    with pytest.raises(InputError, match="is done"):
        set_priority(line[0].id, 1)


def test_the_ticket_of_an_attempt_that_was_killed_on_another_device_is_given_back(line) -> None:
    left = home.folder("runs") / ".queues" / "cuda-0" / f"50000-{0:020d}~{line[0].id}"
    left.parent.mkdir()
    left.touch()
    enqueue(line[0])
    assert not left.exists() and in_line() == "bcda"

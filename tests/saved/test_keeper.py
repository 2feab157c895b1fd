"""States on disk: read back as they were written, and never taken when they are damaged or of other code."""

import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sgm_core import home
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.saved import ACCEPTED, keeper
from sgm_core.saved.keeper import Keeper, states_in
from sgm_core.saved.state import PLAIN, TENSORS, read_state, write_state


class Heard(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def state(number: int) -> dict[str, object]:
    return {"weights": {0: torch.arange(4.0) + number}, "number": number}


def a_keeper(folder: Path, heard: Observer | None = None, **made_of: object) -> Keeper:
    return Keeper(folder / "state" / "pretrain", 5, {"recipe": "r", **made_of}, heard or Observer())


def test_a_state_comes_back_as_it_was(sgm_home: Path) -> None:
    shared = torch.randn(3, 2)
    rng = np.random.default_rng(3)
    rng.random(7)
    before = {
        "optimiser": {"state": {0: {"step": torch.tensor(3.0), "avg": shared}, 1: {"avg": shared[1:]}}},
        "order": rng.bit_generator.state,
        "random": torch.get_rng_state(),
        "history": [{"loss": 0.1 + 0.2, "f1": math.nan}, {"loss": np.float64(1e-300), "n": np.int64(3)}],
        "none": None,
        "flag": True,
        "score": (1.5, -math.inf),
    }
    write_state(sgm_home / "one", before, {"where": "here"})
    after = read_state(sgm_home / "one")
    assert after["optimiser"]["state"].keys() == {0, 1}
    assert torch.equal(after["optimiser"]["state"][1]["avg"], shared[1:])
    assert torch.equal(after["random"], before["random"])
    again = np.random.default_rng(0)
    again.bit_generator.state = after["order"]
    assert again.random() == rng.random()
    assert after["history"][0]["loss"] == 0.1 + 0.2 and math.isnan(after["history"][0]["f1"])
    assert after["history"][1] == {"loss": 1e-300, "n": 3}
    assert (after["none"], after["flag"], after["score"]) == (None, True, [1.5, -math.inf])
    assert not (sgm_home / "one" / "whole.json").read_text().count("NaN")
    with pytest.raises(TypeError, match="can't hold a set"):
        write_state(sgm_home / "two", {"things": {1, 2}}, {})
    assert not (sgm_home / "two").exists()


@pytest.mark.parametrize("name", [TENSORS, PLAIN, "whole.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_of_a_damaged_state_the_one_before_is_taken(sgm_home: Path, name: str, damage: str) -> None:
    heard = Heard()
    own = a_keeper(sgm_home, heard)
    for number in (1, 2, 3):
        own.save(state(number), f"step {number}")
    assert len(states_in(own.folder)) == 2, "the last two are kept"
    path = states_in(own.folder)[-1] / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-3] if damage == "cut" else whole.replace(b"e", b"a", 1))
    found = own.load()
    assert found is not None and found["number"] == 2
    assert "damaged" in heard.lines[0] and "the one before it is taken" in heard.lines[0]
    own.save(state(4), "step 4")
    assert own.load()["number"] == 4, "and going on writes a newer one"


def test_what_can_not_be_written_leaves_the_last_and_says_so(sgm_home: Path, monkeypatch) -> None:
    heard = Heard()
    own = a_keeper(sgm_home, heard)
    own.save(state(1), "step 1")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(home, "sync", full)
        own.save(state(2), "step 2")
    assert heard.lines == [
        "the checkpoint could not be written (No space left on device): the last one, of step 1, stays"
    ]
    assert [path.name for path in own.folder.iterdir()] == ["00000001"], "nothing half-written"
    assert own.load()["number"] == 1
    own.save(state(3), "step 3")
    assert own.load()["number"] == 3


def test_other_code_is_refused_until_someone_says_go_on(sgm_home: Path, monkeypatch) -> None:
    heard = Heard()
    a_keeper(sgm_home).save(state(1), "step 1")
    assert a_keeper(sgm_home, heard, recipe="another").load() is None
    assert "another recipe" in heard.lines.pop()
    monkeypatch.setattr(keeper, "deciding_code", lambda: "new")
    with pytest.raises(InputError, match=r"\(step 1\) was made by other code.*--other-code.*--anew"):
        a_keeper(sgm_home).load()
    (sgm_home / "state" / ACCEPTED).write_text(json.dumps({"code": "new"}))
    assert a_keeper(sgm_home, heard).load() is not None
    assert "goes on with new as asked" in heard.lines[0]
    monkeypatch.setattr(keeper, "machine", lambda: {"torch": "9.0", "threads": 1})
    monkeypatch.setattr(keeper, "deciding_code", lambda: "newer")
    with pytest.raises(InputError):
        a_keeper(sgm_home).load()


def test_short_epochs_are_not_all_kept(sgm_home: Path) -> None:
    own = a_keeper(sgm_home)
    assert own.due(ends_epoch=True), "the first always"
    own.save(state(1), "epoch 1")
    assert not own.due(ends_epoch=True), "it took longer than 2 % of the no time since"
    own._last -= 60
    assert own.due(ends_epoch=True) and not own.due()
    own._last -= 300
    assert own.due()

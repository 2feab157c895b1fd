"""What a comparison's ID follows from, and that a table never mixes versions of the code."""

import json
from pathlib import Path

import pytest

from sgm_core.comparison import tasks
from sgm_core.comparison.arms import seeds_of
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.comparison.tasks import Task, drop_what_other_code_made, is_done
from sgm_core.runs import store
from sgm_core.saved import code


def test_words_do_not_count_and_code_does() -> None:
    plain = "def f(x):\n    return x + 1\n"
    told = '"""About."""\n\ndef f(x):\n    """Add."""\n    # one\n    return x + 1\n'
    assert code._without_words(plain) == code._without_words(told)
    assert code._without_words(plain) != code._without_words(plain.replace("1", "2"))


def test_an_id_follows_from_code_and_weights(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: 'done already' after an update, with the numbers of the old code."""
    parameters = CompareConfig(data="small").to_dict()

    def id_now(**corpus: str) -> str:
        return store._new_id("compare", "small", parameters, demo_dataset.content_hash, corpus)

    first = id_now()
    assert len({first, id_now(other="one hash"), id_now(other="another hash")}) == 3
    assert id_now() == first
    monkeypatch.setattr(store, "deciding_code", lambda: "another")
    second = id_now()
    monkeypatch.setattr(store, "weights_hash", lambda name: "weights imported again")
    assert len({first, second, id_now()}) == 3


def test_what_other_code_made_is_made_again(tmp_path: Path) -> None:
    task = Task("uniform", 1, 2)
    folder = tmp_path / tasks.FOLDER / task.name
    folder.mkdir(parents=True)
    (tmp_path / "pooled").mkdir()
    assert not is_done(tmp_path, task)
    (folder / "task.json").write_text(json.dumps({"code": "one"}))
    assert is_done(tmp_path, task)
    assert not drop_what_other_code_made(tmp_path, "one") and is_done(tmp_path, task)
    assert drop_what_other_code_made(tmp_path, "two")
    assert not is_done(tmp_path, task) and not (tmp_path / "pooled").exists()


def test_the_primary_arms_have_all_seeds() -> None:
    config = CompareConfig(data="small", seed=4, seeds=3)
    assert {arm: seeds_of(config, arm) for arm in ARMS} == {
        **{arm: [4] for arm in ARMS},
        "uniform+summary": [4, 5, 6],
        "self-guided": [4, 5, 6],
    }

"""Seen: 64 entries of the pages' table cache held 0.53 to 0.96 GB, six of them versions of one table."""

import os
import threading
import time

import numpy as np
import pandas as pd
import pytest

from pages.components import kept, tables
from sgm_core import tables as run_tables
from sgm_core.home import write_table


@pytest.fixture(autouse=True)
def empty():
    kept.everything.clear()
    yield
    kept.everything.clear()


def test_one_version_of_a_table_is_kept(tmp_path):
    path = tmp_path / "folds.parquet"
    sizes = []
    for number in range(6):
        write_table(path, pd.DataFrame({"fold": np.arange(1000) + number}))
        os.utime(path, ns=(number, number + 1))
        assert tables.cached(str(path), tables.stamp(path))["fold"][0] == number
        sizes.append(kept.everything.bytes)
    assert len(kept.everything) == 1 and max(sizes) == sizes[0] >= 8000


def test_the_least_recently_used_goes_when_there_are_too_many_bytes():
    store = kept.Kept(most=250)
    made = []

    def get(name):
        return store.get(name, 1, lambda: made.append(name) or np.zeros(100, np.uint8))

    get("a"), get("b"), get("a"), get("c")
    assert store.bytes == 200 and made == ["a", "b", "c"]
    get("a"), get("b")
    assert made == ["a", "b", "c", "b"], "b had not been asked for longest"
    assert len(store.get("large", 1, lambda: np.zeros(1000, np.uint8))) == 1000
    assert store.bytes == 200, "what is larger than all is not kept, and pushes nothing out"


def test_sessions_that_want_the_same_thing_make_it_once():
    store, made = kept.Kept(), []

    def slow():
        made.append(1)
        time.sleep(0.1)
        return 1

    threads = [threading.Thread(target=store.get, args=("a", 1, slow)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_the_part_that_is_asked_for_is_what_is_read(tmp_path, monkeypatch):
    path = tmp_path / "predictions"
    rows = pd.DataFrame({"arm": ["a"] * 5000, "cell": range(5000)})
    for arm in "abc":
        run_tables.write(path / f"{arm}.parquet", rows.assign(arm=arm))
    found = tables.cached(str(path), tables.stamp(path), ("cell",), arm="b")
    assert list(found) == ["cell"] and len(found) == 5000
    assert kept.everything.bytes < 5000 * 9


def test_a_part_more_is_seen(tmp_path):
    path = tmp_path / "masks"
    run_tables.write(path / "a.parquet", pd.DataFrame({"arm": ["a"]}))
    before = tables.stamp(path)
    time.sleep(0.01)
    run_tables.write(path / "b.parquet", pd.DataFrame({"arm": ["b"]}))
    assert tables.stamp(path) != before
    assert tables.cached(str(path), tables.stamp(path))["arm"].tolist() == ["a", "b"]

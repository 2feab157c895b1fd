import time

import numpy as np
import psutil
import pytest

from sgm_core.analysis.umap_process import umap_process
from sgm_core.errors import Cancelled, SGMError
from sgm_core.progress import Observer


class Cancels(Observer):
    """Cancels once it is told to."""

    at: float | None = None

    def check(self) -> None:
        if self.at is not None:
            raise Cancelled("cancelled")


def _children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_a_map_is_stopped_while_its_compiled_code_runs(sgm_home) -> None:
    vectors = np.random.default_rng(0).normal(size=(60_000, 4)).astype(np.float32)
    observer, steps, others = Cancels(), [], _children()

    def tell(share: float, what: str) -> None:
        steps.append(what)
        if what.startswith("nearest neighbours") and share > 0:
            observer.at = observer.at or time.monotonic()

    with pytest.raises(Cancelled), umap_process(0, observer) as process:
        process.umap(vectors, tell)
    # far from its end, which takes a minute more; how long it took is a benchmark's
    assert observer.at is not None and time.monotonic() - observer.at < 20
    assert not any(step.startswith("layout") for step in steps)
    assert not [child for child in _children() if child not in others]
    assert not [path for path in (sgm_home / "runs").rglob("*") if path.suffix in (".npy", ".txt")]


def test_a_map_whose_process_is_killed_says_so() -> None:
    vectors = np.random.default_rng(0).normal(size=(60_000, 4)).astype(np.float32)

    def kill(share: float, what: str) -> None:
        for child in _children():
            child.kill()

    with (
        pytest.raises(SGMError, match=r"ended before it was done .the system killed it"),
        umap_process(0, Observer()) as process,
    ):
        process.umap(vectors, kill)


def test_what_goes_wrong_in_the_process_is_told() -> None:
    vectors = np.full((10, 3), np.nan, np.float32)
    with (
        pytest.raises(SGMError, match=r"can't be computed: ValueError: Input .* contains NaN"),
        umap_process(0, Observer()) as process,
    ):
        process.umap(vectors, lambda share, what: None)

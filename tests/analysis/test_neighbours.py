import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sgm_core.analysis.neighbours import _Rounds, by_descent, exact, itself_first


def _brute(vectors: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(((vectors[:, None] - vectors[None]) ** 2).sum(-1), axis=1, kind="stable")[:, :k]


def test_exact_neighbours_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgm_core.analysis.neighbours._BLOCK", 32)
    vectors = np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)
    shares: list[float] = []
    index, distance = exact(vectors, 6, lambda share, what: shares.append(share))
    np.testing.assert_array_equal(index, _brute(vectors, 6))
    far = np.linalg.norm(vectors[:, None] - vectors[index], axis=-1)
    np.testing.assert_allclose(distance, far, atol=1e-4)
    assert shares == [0, 32 / 150, 64 / 150, 96 / 150, 128 / 150]


def test_a_cell_is_its_first_neighbour_among_many_on_one_spot() -> None:
    """A search gives any of the cells that lie on one spot, and may leave out the cell itself."""
    vectors = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    index, distance = exact(vectors, 5, lambda share, what: None)
    assert index[:, 0].tolist() == list(range(60))
    assert all(len(set(row)) == 5 for row in index.tolist())
    assert (index // 20 == np.arange(60)[:, None] // 20).all() and not distance.any()
    index, distance = itself_first(
        np.array([[2, 1], [1, 0]], np.int32), np.array([[0, 1], [0, 3]], np.float32)
    )
    assert index.tolist() == [[0, 2], [1, 0]] and distance.tolist() == [[0, 0], [0, 3]]


def test_the_rounds_of_a_search_are_progress() -> None:
    said: list[tuple[float, str]] = []
    rounds = _Rounds(lambda share, what: said.append((share, what)))
    for text in (
        "Thu Nov 26 18:05:00 2026 NN descent for 18 iterations",
        "\n",
        "\t",
        "1",
        "  /  ",
        "18",
        "\n",
    ):
        rounds.write(text)
    rounds.write("\t 10  /  18\n\tStopping threshold met -- exiting after 10 iterations\n")
    assert [what for _, what in said] == [f"nearest neighbours: round {n} of at most 18" for n in (1, 10)]
    assert said[0][0] == 0.6 and said[1][0] == pytest.approx(0.8)


@pytest.mark.slow
def test_the_search_by_descent_finds_the_neighbours(request: pytest.FixtureRequest) -> None:
    """Slow: compiling it takes 40 seconds."""
    if "slow" not in request.config.getoption("-m"):
        pytest.skip("run with -m slow")
    vectors = np.random.default_rng(0).normal(size=(4000, 10)).astype(np.float32)
    said: list[str] = []
    index, distance = by_descent(vectors, 15, 0, 1, lambda share, what: said.append(what))
    right = NearestNeighbors(n_neighbors=15).fit(vectors).kneighbors(vectors, return_distance=False)
    found = np.mean([len(set(a) & set(b)) / 15 for a, b in zip(index.tolist(), right.tolist(), strict=True)])
    assert found > 0.97
    assert (index[:, 0] == np.arange(4000)).all() and (np.diff(distance, axis=1) >= 0).all()
    assert "nearest neighbours: round 2 of at most 12" in said
    again, _ = by_descent(vectors, 15, 0, 1, lambda share, what: None)
    np.testing.assert_array_equal(index, again)

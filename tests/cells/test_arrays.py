import numpy as np

from sgm_core.cells.arrays import GrowingArray


def test_a_grown_file_is_a_plain_npy_file(tmp_path):
    path = tmp_path / "numbers.npy"
    with GrowingArray(path, np.dtype(np.int32)) as array:
        for start in range(0, 1000, 100):
            array.append(np.arange(start, start + 100))
    assert np.array_equal(np.load(path), np.arange(1000, dtype=np.int32))
    assert np.load(path, mmap_mode="r").dtype == np.int32


def test_an_empty_one_can_be_read(tmp_path):
    with GrowingArray(tmp_path / "none.npy", np.dtype(np.uint8)):
        pass
    assert np.load(tmp_path / "none.npy").shape == (0,)

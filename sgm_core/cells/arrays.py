"""An array file that grows while it is written."""

from pathlib import Path
from types import TracebackType

import numpy as np


class GrowingArray:
    """Write a one-dimensional ``.npy`` file whose length is known only at the end.

    NumPy leaves room in the header for the first axis to grow, so the header is rewritten in place when the
    file is closed.

    Parameters
    ----------
    path
        The file to write.
    dtype
        The values' type on disk.
    """

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._stream = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        self._stream.seek(0)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def append(self, values: np.ndarray) -> None:
        """Write `values` behind what is there."""
        values = np.ascontiguousarray(values, dtype=self.dtype)
        self._stream.write(values.data)
        self.length += values.size

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write_header()
        finally:
            self._stream.close()

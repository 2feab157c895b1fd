import json
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core.runs.plain import plain


def test_everything_becomes_json() -> None:
    value = {
        "nan": float("nan"),
        "f32": np.float32(0.5),
        "array": np.array([1.0, np.inf]),
        "nested": ({"x": np.int64(2)}, {3}),
        "path": Path("/tmp"),
        "flag": np.bool_(True),
        "time": pd.Timestamp("2026-01-01"),
        "no time": pd.NaT,
        5: None,
    }
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "nan": None,
        "f32": 0.5,
        "array": [1.0, None],
        "nested": [{"x": 2}, [3]],
        "path": "/tmp",
        "flag": True,
        "time": "2026-01-01T00:00:00",
        "no time": None,
        "5": None,
    }

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.annotation.fit import fit_model
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.simulate import make_demo

SETS = {"myeloid": ["LYZ", "S100A8", "S100A9", "CD14", "VCAN", "FCN1"]}


@pytest.fixture(scope="package")
def fitted_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home with the dataset ``tiny``, the model ``m`` of it, and ``lost``, of shuffled labels."""
    home = tmp_path_factory.mktemp("annotate") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        make_demo(name="tiny", n_cells=500, n_genes=300)
        fit_model("tiny", "m", folds=3, signatures=SETS, with_map=False)
        shutil.copytree(home / "datasets" / "tiny", home / "datasets" / "shuffled")
        path = home / "datasets" / "shuffled" / "obs.parquet"
        obs = pd.read_parquet(path)
        column = open_dataset("tiny").cell_type_column
        obs[column] = np.random.default_rng(3).permutation(obs[column].to_numpy())
        obs.to_parquet(path)
        shutil.rmtree(home / "datasets" / "shuffled" / "facts", ignore_errors=True)
        meta = home / "datasets" / "shuffled" / "dataset.json"
        content = open_dataset("tiny").content_hash
        meta.write_text(meta.read_text().replace(content, "f" + content[1:]).replace('"tiny"', '"shuffled"'))
        fit_model("shuffled", "lost", folds=3, with_map=False)
    return home


@pytest.fixture
def fitted(fitted_home: Path, sgm_home: Path) -> Path:
    """The test's own copy of it."""
    shutil.copytree(fitted_home, sgm_home, dirs_exist_ok=True)
    return sgm_home

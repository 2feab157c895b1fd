"""Imported weights of the real vocabulary, small enough to train in a test."""

import shutil
from pathlib import Path

import pytest
from few_dataset import BUNDLE, few


@pytest.fixture(scope="session")
def bundle_source(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the bundle, imported once: width 16, 19,264 genes."""
    from sgm_core.model.weights import import_weights

    home = tmp_path_factory.mktemp("bundle") / "home"
    genes = shared / "data" / "gene_lists" / "OS_scRNA_gene_index.19264.tsv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        return import_weights(
            shared / "fixtures" / "scfoundation_end_to_end" / "models.ckpt", genes, BUNDLE
        ).path


@pytest.fixture
def bundle(bundle_source: Path, sgm_home: Path) -> str:
    """Name of the bundle in the test's own home."""
    shutil.copytree(bundle_source, sgm_home / "weights" / BUNDLE)
    return BUNDLE


@pytest.fixture
def few_cells(demo_home: Path, sgm_home: Path):
    """Dataset ``few``: a quarter of the simulated cells, 150."""
    return few(demo_home, sgm_home)

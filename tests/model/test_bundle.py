import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.bundle import bundle_names, list_bundles, open_bundle
from sgm_core.model.weights import import_weights

GENES = [f"GENE{i}" for i in range(200)]


@pytest.fixture
def bundle(shared: Path):
    return import_weights(shared / "fixtures/scfoundation_tiny/models.ckpt", GENES, "tiny-set")


def test_an_empty_home_says_how_to_import(sgm_home: Path) -> None:
    assert bundle_names() == [] and list_bundles() == []
    with pytest.raises(NotFoundError, match=r"none is imported yet: download .*sgm weights import"):
        open_bundle("scfoundation")
    assert not (sgm_home / "weights").exists()  # looking changes nothing


def test_what_a_bundle_says(bundle) -> None:
    again = open_bundle("tiny-set")
    assert again == bundle and bundle_names() == ["tiny-set"] and list_bundles() == [bundle]
    assert again.keys == ("cell", "gene", "rde")
    assert again.genes == tuple(GENES)
    assert (again.config["n_genes"], again.config["width"]) == (200, 32)
    assert again.n_bytes == sum(file.stat().st_size for file in again.path.iterdir())
    assert again.n_bytes > 3 * 4 * again.n_parameters
    assert "non-commercial" in again.licence
    assert (again.path / "LICENCE.txt").read_text().strip() == again.licence


def test_unknown_and_unsafe_names(bundle) -> None:
    with pytest.raises(NotFoundError, match="there are tiny-set"):
        open_bundle("other")
    with pytest.raises(InputError, match="can't be used"):
        open_bundle("../tiny-set")


def test_a_damaged_description_is_one_line(bundle) -> None:
    file = bundle.path / "bundle.json"
    meta = json.loads(file.read_text())
    for text in ("", "[]", "{}", json.dumps({**meta, "config": 3}), json.dumps({"schema_version": 1})):
        file.write_text(text)
        with pytest.raises(InputError, match="import the weights again"):
            open_bundle("tiny-set")
    file.write_text(json.dumps({**meta, "schema_version": 99}))
    with pytest.raises(InputError, match="update the program"):
        open_bundle("tiny-set")


def test_a_damaged_gene_list_is_noticed(bundle) -> None:
    lines = (bundle.path / "genes.tsv").read_text().splitlines()
    for damage in (lines[:-1], [*lines[:5], lines[6], lines[5], *lines[7:]], []):
        (bundle.path / "genes.tsv").write_text("\n".join(damage))
        with pytest.raises(InputError, match="is damaged"):
            _ = open_bundle("tiny-set").genes
    shutil.rmtree(bundle.path)
    assert bundle_names() == []


def test_listing_needs_no_torch(bundle) -> None:
    code = (
        "import sys; from sgm_core.model.bundle import list_bundles; "
        "print(list_bundles()[0].genes[3], *[m for m in ('torch', 'scipy', 'anndata') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["GENE3"]

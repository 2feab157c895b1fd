"""Raw counts with symbols to embeddings, against what the released script wrote for random weights."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sgm_core
from sgm_core.model.weights import import_weights

CELLS = [
    *(
        f"cell_{v}_{p}_{t}_preF"
        for v in ("ce", "rde")
        for p in ("all", "max")
        for t in ("t4", "f1", "f2.5", "a5")
    ),
    "cell_ce_all_t4_preT",
    "cell_ce_all_f1_preA",
]
BULK = ["bulk_all_preF", "bulk_max_preT"]
GENES = ["gene_expression_t4_preF", "gene_f1_preF_every16", "gene_batch_f1_preF_every16"]
WEIGHTS = {"ce": "cell", "rde": "rde"}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "scfoundation_end_to_end"


@pytest.fixture(scope="module")
def backbones(folder: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory):
    """What is loaded by name, after an import as a user does it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        genes = shared / "data" / "gene_lists" / "OS_scRNA_gene_index.19264.tsv"
        import_weights(folder / "models.ckpt", genes, "scfoundation")
        return {
            (key, compat): sgm_core.load_backbone("scfoundation", key, compat)
            for key in ("cell", "gene", "rde")
            for compat in ("corrected", "official")
        }


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, np.ndarray]:
    stored = torch.load(folder / "expected_fp32.pt", weights_only=True)
    return {name: tensor.numpy() for name, tensor in stored.items()}


@pytest.fixture(scope="module")
def tables(folder: Path, expected) -> dict[str, tuple]:
    """Cells by the released script's option pre_normalized, and what `embed` calls them."""
    counts = pd.read_csv(folder / "counts.csv", index_col=0)
    lognorm = np.log1p(1e4 * counts.div(counts.sum(axis=1), axis=0))
    return {
        "F": (counts, "counts"),
        "T": (lognorm, "lognorm"),
        "A": (expected["lognorm_appended_19265"], "lognorm+total"),
    }


def test_every_combination_of_the_fixture_is_here(expected) -> None:
    assert {*CELLS, *BULK, *GENES} == set(expected) - {"lognorm_appended_19265"}
    assert len(CELLS) + len(BULK) + len(GENES) == 23


@pytest.mark.parametrize("compat", ("corrected", "official"))
@pytest.mark.parametrize("name", [*CELLS, *BULK])
def test_cells_and_bulk_samples(backbones, expected, tables, name: str, compat: str) -> None:
    kind, *rest = name.split("_")
    table, values = tables[rest.pop().removeprefix("pre")]
    if kind == "cell":
        backbone = backbones[WEIGHTS[rest[0]], compat]
        options = {"pool": rest[1], "target_depth": rest[2]}
    else:
        backbone, options = backbones["cell", compat], {"output": "bulk", "pool": rest[0]}
    ours = sgm_core.embed(table, backbone, values=values, **options)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected[name], rtol=0, atol=5e-6)


@pytest.mark.parametrize("compat", ("corrected", "official"))
@pytest.mark.parametrize("name", GENES[:2])
def test_genes_cell_by_cell(backbones, expected, tables, name: str, compat: str) -> None:
    output, depth = ("gene_expression", "t4") if "expression" in name else ("gene", "f1")
    ours = sgm_core.embed(tables["F"][0], backbones["gene", compat], output=output, target_depth=depth)
    ours = ours[:, ::16] if name.endswith("every16") else ours
    np.testing.assert_allclose(ours, expected[name], rtol=0, atol=1e-4)


def test_genes_of_cells_that_share_a_call(backbones, expected, tables) -> None:
    options = {"output": "gene", "target_depth": "f1", "batch_cells": 4}
    ours = sgm_core.embed(tables["F"][0], backbones["gene", "official"], **options)[:, ::16]
    np.testing.assert_allclose(ours, expected["gene_batch_f1_preF_every16"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("compat", "batch_cells"), [("corrected", 1), ("corrected", 6), ("official", 1)])
def test_sharing_a_call_changes_nothing_unless_asked_for(shared: Path, compat: str, batch_cells: int) -> None:
    """Here the two differ by more than the tolerance, which they do not in the file above."""
    folder = shared / "fixtures" / "scfoundation_tiny"
    counts = torch.load(folder / "inputs.pt", weights_only=True)["counts"].numpy()
    stored = torch.load(folder / "expected_fp64.pt", weights_only=True)
    alone, together = (stored[f"gene.gene_embedding_{how}"][:, :200].numpy() for how in ("single", "batch"))
    assert np.abs(alone - together).max() > 1e-3
    import_weights(folder / "models.ckpt", [f"GENE{i}" for i in range(200)], "tiny-set")
    backbone = sgm_core.load_backbone("tiny-set", compat=compat)
    ours = sgm_core.embed(counts, backbone, output="gene", batch_cells=batch_cells)
    np.testing.assert_allclose(ours, alone, rtol=0, atol=1e-4)
    official = sgm_core.load_backbone("tiny-set", compat="official")
    shared_call = sgm_core.embed(counts, official, output="gene", batch_cells=6)
    np.testing.assert_allclose(shared_call, together, rtol=0, atol=1e-4)


def test_the_traps_matter(backbones, tables) -> None:
    """Were S read from the counts, or the samples not brought to one depth, the fixture would notice."""
    counts, lognorm = tables["F"][0], tables["T"][0]
    backbone = backbones["cell", "corrected"]
    plain, trap = sgm_core.embed(counts, backbone), sgm_core.embed(lognorm, backbone, values="lognorm")
    assert np.abs(plain - trap).max() > 1e-3
    samples = sgm_core.embed(counts, backbone, output="bulk")
    assert np.abs(plain - samples).max() > 1e-3
    # a sample's result rests on the median depth of those beside it
    assert np.abs(samples[:1] - sgm_core.embed(counts[:1], backbone, output="bulk")).max() > 1e-3


def test_real_cells_one_by_one_and_together(shared: Path, backbones) -> None:
    import anndata as ad

    file = shared / "data" / "vangalen2019_aml" / "vangalen2019_aml_d0_bm.h5ad"
    some = ad.read_h5ad(file, backed="r")[np.arange(0, 13_000, 1_300)].to_memory()
    backbone = backbones["cell", "corrected"]
    together = sgm_core.embed(some, backbone)
    np.testing.assert_allclose(sgm_core.embed(some, backbone, batch_tokens=1), together, rtol=0, atol=5e-6)
    np.testing.assert_allclose(sgm_core.embed(some[::-1].copy(), backbone)[::-1], together, rtol=0, atol=5e-6)
    known = some.var_names.isin(backbone.genes)
    np.testing.assert_array_equal(sgm_core.embed(some[:, known].copy(), backbone), together)

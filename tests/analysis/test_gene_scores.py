"""The score of a gene set, against scanpy's."""

import numpy as np
import pytest

from sgm_core.analysis.gene_scores import score_genes
from sgm_core.errors import InputError


@pytest.mark.parametrize("n_genes, ctrl_size, n_bins", [(12, 50, 25), (3, 5, 10), (40, 20, 3)])
def test_it_is_scanpys(demo_dataset, n_genes, ctrl_size, n_bins):
    scanpy = pytest.importorskip("scanpy")
    rng = np.random.default_rng(n_genes)
    genes = [str(gene) for gene in rng.choice(demo_dataset.genes, n_genes, replace=False)]
    adata = demo_dataset.to_anndata()
    adata.X = demo_dataset.lognorm()
    scanpy.tl.score_genes(adata, genes, ctrl_size=ctrl_size, n_bins=n_bins, random_state=0)
    found = score_genes(demo_dataset, genes, ctrl_size, n_bins)
    np.testing.assert_allclose(found.values, adata.obs["score"], atol=2e-6)
    assert np.ptp(found.values) > 0.01
    assert not set(found.genes) & set(found.controls)


def test_genes_summed_in_pieces_give_the_same(demo_dataset, monkeypatch):
    genes = [str(gene) for gene in demo_dataset.genes[5:25]]
    whole = score_genes(demo_dataset, genes)
    monkeypatch.setattr("sgm_core.analysis.gene_scores._BLOCK_VALUES", 500)
    np.testing.assert_allclose(score_genes(demo_dataset, genes).values, whole.values, atol=1e-6)


def test_genes_that_are_not_there_are_left_out_and_named(demo_dataset):
    gene = str(demo_dataset.genes[0])
    found = score_genes(demo_dataset, [gene, " ", "NOGENE", gene])
    assert (found.genes, found.missing) == ((gene,), ("NOGENE",))
    with pytest.raises(InputError, match="none of the 2 genes of the set"):
        score_genes(demo_dataset, ["NOGENE", "NEITHER"])
    with pytest.raises(InputError, match="none of the 0 genes"):
        score_genes(demo_dataset, [])


def test_a_set_of_all_genes_has_nothing_to_be_compared_with(demo_dataset):
    with pytest.raises(InputError, match="no gene is left"):
        score_genes(demo_dataset, [str(gene) for gene in demo_dataset.genes])

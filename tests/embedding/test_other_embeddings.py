"""Embeddings of scGPT and scBERT: the official numbers from raw counts, and the command."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from other_bundles import other_bundle

import sgm_core
from sgm_core.cli import main
from sgm_core.embedding.cells import prepare
from sgm_core.errors import InputError
from sgm_core.model.weights import import_weights, load_backbone


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-5) -> bool:
    return bool(np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max())


@pytest.fixture
def embedded(shared: Path) -> dict:
    """What scGPT's own `embed_data` gave for counts without ties, and the weights."""
    folder = shared / "fixtures/scgpt_tiny"
    import_weights(folder, None, "scgpt")
    return torch.load(folder / "embed_data.pt", weights_only=True)


def test_scgpt_embeds_counts_as_its_own_script_does(embedded: dict, shared: Path) -> None:
    genes = [f"GENE{i:03d}" for i in range(40)]
    # whole numbers with the same quantiles; its script takes any values
    counts = np.rint(1e6 * embedded["counts_without_ties"].double().numpy())
    table = pd.DataFrame(np.c_[counts, np.full(len(counts), 5.0)], columns=[*genes, embedded["extra_gene"]])
    backbone = load_backbone("scgpt")
    for batch_tokens in (None, 25):
        ours = sgm_core.embed(
            table.sample(frac=1, axis=1, random_state=1), backbone, batch_tokens=batch_tokens
        )
        assert close(ours, embedded["X_scGPT"].numpy())
    ready = prepare(table, backbone)
    codes = backbone.codes(ready.dense(np.arange(len(table)), torch.device("cpu")))
    assert torch.equal(codes[:, :-1].long(), embedded["binned"]) and (codes[:, -1] == -2).all()
    for pool in ("mean", "weighted"):
        vectors = sgm_core.embed(table, backbone, pool=pool)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        # the padding of the batch moves them in the released code
        official = load_backbone("scgpt", compat="official")
        alone, together = (sgm_core.embed(table, official, pool=pool, batch_cells=n) for n in (1, 6))
        assert close(alone, vectors) == (pool == "mean") and not close(together, alone, 0.01)
    with pytest.raises(InputError, match="pool is 'all': choose cls, mean, weighted"):
        sgm_core.embed(table, backbone, pool="all")
    with pytest.raises(InputError, match="embeds cells alone"):
        sgm_core.embed(table, backbone, output="gene")


def test_the_seed_decides_among_tied_bins_and_the_batch_nothing(embedded: dict, shared: Path) -> None:
    steps = torch.load(shared / "fixtures/scgpt_tiny/preprocess.pt", weights_only=True)
    table = pd.DataFrame(steps["raw"].numpy()[:6], columns=steps["genes"])
    backbone = load_backbone("scgpt")
    first = sgm_core.embed(table, backbone)
    assert close(sgm_core.embed(table.iloc[[4, 2]], backbone, batch_tokens=1), first[[4, 2]])
    other = sgm_core.embed(table, backbone, seed=1)
    assert not close(other, first, 1e-2) and np.array_equal(sgm_core.embed(table, backbone), first)


def test_scberts_classes_are_those_of_its_own_script(shared: Path, tmp_path: Path) -> None:
    steps = torch.load(shared / "fixtures/scbert_tiny/preprocess.pt", weights_only=True)
    other_bundle("scbert", steps["ref_genes"], shared, tmp_path)
    backbone = load_backbone("scbert")
    kept = [steps["cells"].index(cell) for cell in steps["kept_cells"]]
    table = pd.DataFrame(steps["raw"].numpy(), columns=steps["user_genes"], index=steps["cells"])
    # of a symbol that comes twice its script takes the first column, we sum both
    table = table.loc[:, ~table.columns.duplicated()].iloc[kept]
    ready = prepare(table, backbone)
    x = ready.dense(np.arange(len(kept)), torch.device("cpu"))
    assert close(x[:, :-1].numpy() / np.log(2), steps["log2_normed"].numpy())
    assert torch.equal(backbone.codes(x).long(), steps["tokens"])
    edges = torch.cat([steps["edge_values"] * np.log(2), torch.zeros(1)])
    assert torch.equal(backbone.codes(edges[None])[0].long(), steps["edge_tokens"])


def test_scberts_cells_alone_and_in_a_batch(shared: Path) -> None:
    """Named fault: the keys' maximum runs over the batch, so that the released code's cells are not alone."""
    folder = shared / "fixtures/scbert_tiny"
    import_weights(folder, folder / "genes.json", "scbert")
    table = pd.DataFrame(torch.load(folder / "inputs.pt", weights_only=True)["raw_counts"].numpy())
    table.columns = json.loads((folder / "genes.json").read_text())
    vectors = sgm_core.embed(table, load_backbone("scbert"))
    assert vectors.shape == (5, 20)
    assert close(sgm_core.embed(table, load_backbone("scbert"), batch_tokens=1), vectors)
    official = load_backbone("scbert", compat="official")
    assert close(sgm_core.embed(table, official), vectors)
    assert not close(sgm_core.embed(table, official, batch_cells=5), vectors, 1e-3)


@pytest.mark.parametrize(("kind", "width"), [("scgpt", 32), ("scbert", 20)])
def test_the_command(few_cells, shared: Path, tmp_path: Path, kind: str, width: int, capsys) -> None:
    genes = list(map(str, few_cells.genes[:250]))
    other_bundle(kind, genes, shared, tmp_path / "files", max_seq_len=30)
    out = tmp_path / "few.h5ad"
    assert main(["embed", "--data", "few", "--backbone", kind, "--out", str(out), "--device", "cpu"]) == 0
    text = capsys.readouterr()
    result = ad.read_h5ad(out)
    assert result.obsm[f"X_{kind}"].shape == (few_cells.n_cells, width)
    assert result.uns[kind]["key"] == "model" and result.uns[kind]["licence"] in text.out
    assert ("29 are drawn in each, by the seed" in text.err) == (kind == "scgpt")
    direct = sgm_core.embed(few_cells, load_backbone(kind))
    assert close(result.obsm[f"X_{kind}"], direct)
    assert main(["embed", "--data", "few", "--weights", kind, "--out", str(out), "--pool", "all"]) == 2
    assert main(["embed", "--data", "few", "--weights", kind, "--out", str(tmp_path / "n.npy"), "--genes-out",
                 str(tmp_path / "g.npy")]) == 2  # fmt: skip

"""What `embed` takes, what it refuses, and what must not change its numbers."""

import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import sgm_core
from sgm_core.embedding import plan as embed_plan
from sgm_core.embedding.cells import embed
from sgm_core.errors import Cancelled, InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.checkpoint import read_official
from sgm_core.model.interface import OFFICIAL_POOLS, BackboneConfig
from sgm_core.progress import Observer

GENES = [f"GENE{i}" for i in range(200)]


@pytest.fixture(scope="module")
def file(shared: Path) -> Path:
    return shared / "fixtures" / "scfoundation_tiny" / "models.ckpt"


@pytest.fixture(scope="module")
def backbone(file: Path) -> Backbone:
    return read_official(file, "cell", GENES)


@pytest.fixture(scope="module")
def official(file: Path) -> Backbone:
    from dataclasses import replace

    stored = read_official(file, "cell", GENES)
    backbone = Backbone(replace(stored.config, compat="official")).eval()
    backbone.load_state_dict(stored.state_dict())
    backbone.genes = stored.genes
    return backbone


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Counts of 30 cells of very different lengths."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.3, 3.0, 200) * rng.lognormal(0, 1, (30, 1))
    counts = pd.DataFrame(rng.poisson(rate), columns=GENES, index=[f"cell{i}" for i in range(30)])
    counts["GENE7"] += 1
    return counts


def lognorm(table: pd.DataFrame) -> pd.DataFrame:
    return np.log1p(1e4 * table.div(table.sum(axis=1), axis=0))


def test_it_is_what_the_backbone_gives_for_values_made_by_hand(table, backbone) -> None:
    counts = table.to_numpy(float)
    total = counts.sum(1, keepdims=True)
    x = np.concatenate([np.log1p(1e4 * counts / total), np.log10(2 * total), np.log10(total)], 1)
    x = torch.from_numpy(x.astype(np.float32))
    with torch.no_grad():
        expected = [
            backbone.pool(backbone.encode(one, one > 0), one, OFFICIAL_POOLS["all"]) for one in x.split(1)
        ]
    ours = embed(table, backbone, target_depth="f2")
    np.testing.assert_allclose(ours, torch.cat(expected), atol=2e-6)


def test_every_kind_of_input_is_the_same_cells(table, backbone) -> None:
    expected = embed(table, backbone)
    counts = table.to_numpy()
    shuffled = table[np.random.default_rng(1).permutation(GENES)]
    for cells, genes in (
        (ad.AnnData(sparse.csr_matrix(counts), table[[]], pd.DataFrame(index=GENES)), None),
        (ad.AnnData(counts.astype(np.float32), table[[]], pd.DataFrame(index=GENES)), None),
        (counts, None),
        (counts.astype(np.uint16), GENES),
        (sparse.csc_matrix(counts), GENES),
        (sparse.coo_array(counts), None),
        (shuffled, None),
        (shuffled.to_numpy(), list(shuffled.columns)),
        (table.astype(pd.SparseDtype(int, 0)), None),
    ):
        np.testing.assert_array_equal(embed(cells, backbone, genes=genes), expected)


def test_an_h5ad_file_that_is_open_on_disk(table, backbone, tmp_path: Path) -> None:
    expected = embed(table, backbone)
    for name, matrix in (("sparse", sparse.csr_matrix(table.to_numpy())), ("dense", table.to_numpy())):
        ad.AnnData(matrix, table[[]], pd.DataFrame(index=GENES)).write_h5ad(tmp_path / f"{name}.h5ad")
        opened = ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
        np.testing.assert_array_equal(embed(opened, backbone), expected)


def test_a_dataset(demo_dataset, file: Path) -> None:
    backbone = read_official(file, "cell", demo_dataset.genes[:200].tolist())
    first = demo_dataset.counts()[:, :200].toarray()
    np.testing.assert_array_equal(embed(demo_dataset, backbone), embed(first, backbone))
    with pytest.raises(InputError, match="holds counts"):
        embed(demo_dataset, backbone, values="lognorm")


def test_genes_are_matched_before_cells_are_normalised(table, backbone) -> None:
    some = table[GENES[:120]]
    expected = embed(table.assign(**dict.fromkeys(GENES[120:], 0)), backbone)
    np.testing.assert_array_equal(embed(some, backbone), expected)
    unknown = some.assign(UNKNOWN=1000, OTHER=np.arange(30))
    np.testing.assert_array_equal(embed(unknown, backbone), expected)


def test_counts_of_one_symbol_are_summed_and_values_are_not(table, backbone) -> None:
    half = table // 2
    double = pd.concat([half, table - half], axis=1)
    np.testing.assert_array_equal(embed(double, backbone), embed(table, backbone))
    with pytest.raises(InputError, match="'GENE0' has more than one column"):
        embed(pd.concat([lognorm(table)] * 2, axis=1), backbone, values="lognorm")


def test_the_total_that_comes_beside_the_values(table, backbone) -> None:
    values, total = lognorm(table), table.sum(axis=1)
    expected = embed(table, backbone, target_depth="f1")
    options = {"target_depth": "f1", "values": "lognorm+total"}
    appended = values.assign(total=total)
    np.testing.assert_allclose(embed(appended, backbone, **options), expected, atol=1e-5)
    np.testing.assert_allclose(embed(appended.to_numpy(), backbone, **options), expected, atol=1e-5)
    cells = ad.AnnData(values.astype(np.float32), table[[]].assign(total_counts=total))
    np.testing.assert_allclose(embed(cells, backbone, **options), expected, atol=1e-5)
    with pytest.raises(InputError, match=r"total of cell 'cell3' .row 3. is 0"):
        embed(appended.assign(total=total.where(total.index != "cell3", 0)), backbone, **options)
    with pytest.raises(InputError, match="total_counts"):
        embed(ad.AnnData(values.astype(np.float32)), backbone, **options)


def test_neither_order_nor_batches_matter(table, backbone) -> None:
    expected = embed(table, backbone)
    assert len(set(np.diff(sparse.csr_matrix(table.to_numpy()).indptr))) > 10
    for batch_tokens in (1, 100, 100_000):
        np.testing.assert_allclose(embed(table, backbone, batch_tokens=batch_tokens), expected, atol=2e-6)
    order = np.random.default_rng(2).permutation(30)
    np.testing.assert_allclose(embed(table.iloc[order], backbone), expected[order], atol=2e-6)
    for output in ("gene", "gene_expression"):
        whole = embed(table[:5], backbone, output=output, batch_cells=5)
        np.testing.assert_allclose(embed(table[:5], backbone, output=output), whole, atol=1e-4)


def test_shapes_and_pools(table, backbone) -> None:
    every, largest = embed(table, backbone), embed(table, backbone, pool="max")
    assert (every.shape, largest.shape) == ((30, 128), (30, 32))
    np.testing.assert_allclose(largest, every.reshape(30, 4, 32)[:, :3].max(1), atol=1e-6)
    assert embed(table[:2], backbone, output="gene").shape == (2, 200, 24)
    assert embed(table[:2], backbone, output="gene_expression").shape == (2, 200)


def test_bf16_is_close(table, backbone) -> None:
    exact, rough = embed(table, backbone), embed(table, backbone, precision="bf16")
    assert rough.dtype == np.float32 and not np.array_equal(exact, rough)
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.999


def test_the_backbone_can_be_trained_afterwards(table, file: Path) -> None:
    backbone = read_official(file, "cell", GENES).train()
    embed(table[:2], backbone)
    assert backbone.training
    x = torch.ones(1, 202)
    backbone.encode(x, x > 0).tokens.sum().backward()
    assert backbone.blocks[0].out.weight.grad is not None


def test_progress_and_a_stop(table, backbone) -> None:
    class Watch(Observer):
        def __init__(self, stop: bool) -> None:
            self.stop, self.seen = stop, []

        def progress(self, done: float, total: float, what: str = "") -> None:
            self.seen.append((done, total))
            assert "cells/s" in what

        def check(self) -> None:
            if self.stop and len(self.seen) == 2:
                raise Cancelled("stop")

    watch = Watch(False)
    embed(table, backbone, batch_tokens=50, observer=watch)
    assert watch.seen[-1] == (30, 30) and len(watch.seen) > 5
    with pytest.raises(Cancelled):
        embed(table, backbone, batch_tokens=50, observer=Watch(True))


def test_a_cell_with_one_gene(backbone, official) -> None:
    cells = np.zeros((2, 200))
    cells[0, 5], cells[1, 7] = 1, 30  # the first has one count: S = 0
    vectors = embed(cells, backbone)
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[:, 64:96], vectors[:, 96:])  # maximum and mean over one gene
    embed(cells[1:], official)
    with pytest.raises(InputError, match="cell 0 has 2 tokens"):
        embed(cells, official)


def test_empty_cells_are_counted_and_named(table, backbone) -> None:
    empty = table.copy()
    empty.iloc[[4, 9]] = 0
    with pytest.raises(InputError, match=r"2 of 30 cells express none .* first cell 'cell4' \(row 4\)"):
        embed(empty, backbone)
    with pytest.raises(InputError, match=r"1 of 30 cells express none .* first cell 0:"):
        embed(np.where(np.arange(30)[:, None] == 0, 0, table), backbone)
    elsewhere = table.assign(OTHER=5)
    elsewhere.iloc[3, :200] = 0  # expresses something, but nothing that the backbone knows
    with pytest.raises(InputError, match="1 of 30 cells express none"):
        embed(elsewhere, backbone)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or inf"), (np.inf, "NaN or inf"), (-1, "negative"), (0.5, r"no counts.*lognorm")],
)
def test_values_that_can_not_be(table, backbone, value: float, message: str) -> None:
    wrong = table.astype(float)
    wrong.iloc[11, 3] = value
    with pytest.raises(InputError, match=message if value == 0.5 else rf"{message}.* cell 'cell11'"):
        embed(wrong, backbone)
    with pytest.raises(InputError, match="cell 11"):
        embed(sparse.csr_matrix(wrong.to_numpy()), backbone)


def test_counts_and_values_are_not_mixed_up(table, backbone) -> None:
    with pytest.raises(InputError, match=r"are no counts, first .* in cell 'cell0'.*values='lognorm'"):
        embed(lognorm(table), backbone)
    with pytest.raises(InputError, match="values='counts'"):
        embed(table * 10, backbone, values="lognorm")
    embed(table * 1.25, backbone, output="bulk")  # counts of bulk samples are often estimates
    with pytest.raises(InputError, match="values='lognorm'"):
        embed(lognorm(table), backbone, output="bulk")


def test_long_cells_are_refused_with_numbers_before_anything_runs(table, backbone, monkeypatch) -> None:
    lengths = (table > 0).sum(axis=1) + 2
    longest = int(lengths.max())

    def never(*_) -> None:
        raise AssertionError("the encoder ran")

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "encode", never)
        message = rf"cell '{lengths.idxmax()}' .*has {longest} tokens and {longest - 1} are .* MB.*"
        with pytest.raises(InputError, match=message + rf"max_tokens={longest}"):
            embed(table, backbone, max_tokens=longest - 1)
        with pytest.raises(InputError, match=r"has 202 tokens and 150 are allowed .2 of 2 .*Bulk samples"):
            embed(np.ones((2, 200)), backbone, output="bulk", max_tokens=150)
        patch.setattr(embed_plan, "free_memory", lambda device: 400_000)
        with pytest.raises(
            InputError, match=r"a batch of [\d,]+ tokens needs about .* say .*batch_tokens=\d+"
        ):
            embed(table, backbone)
        with pytest.raises(InputError, match=r"give fewer cells at once"):
            embed(table, backbone, output="gene")
    assert embed(table, backbone, max_tokens=longest).shape == (30, 128)


def test_the_released_size_says_what_a_bulk_sample_takes() -> None:
    shape = BackboneConfig(
        19_264, 768, 12, 12, decoder_width=512, decoder_depth=6, decoder_heads=8, decoder_head_dim=64,
        bins=100, depth_tokens=True, pool=("max",),
    )  # fmt: skip
    # measured on 2 cores: 6.8 core-seconds for 2,002 tokens
    from sgm_core.device import usable_cores

    took = embed_plan.seconds(shape, np.array([2_002])) * usable_cores()
    assert 4 < took < 12
    with pytest.raises(InputError, match="cell 1 has 19,266 tokens and 15,000 are allowed") as error:
        embed_plan.check_plan(
            shape, np.array([300, 19_266]), "cell {}".format, torch.device("cpu"), 8_192, 15_000, 0, 0
        )
    assert "0.8 GB" in str(error.value)


def test_data_of_other_genes(table, backbone) -> None:
    other = table.set_axis([f"ENSG{i:011d}" for i in range(200)], axis=1)
    with pytest.raises(InputError, match="Ensembl ids"):
        embed(other, backbone)
    with pytest.raises(InputError, match="150 columns and the backbone 200 genes: name the columns"):
        embed(table.to_numpy()[:, :150], backbone)
    with pytest.raises(InputError, match="3 names of genes for 200 columns"):
        embed(table.to_numpy(), backbone, genes=["A", "B", "C"])


def test_the_released_code_matches_genes_only_of_narrow_tables(table, backbone, official) -> None:
    reverse = table[GENES[::-1]]
    np.testing.assert_array_equal(embed(reverse, official), embed(reverse.to_numpy(), backbone))
    assert np.abs(embed(reverse, official) - embed(reverse, backbone)).max() > 1e-3
    narrow = reverse.drop(columns="GENE199")
    np.testing.assert_array_equal(embed(narrow, official), embed(narrow, backbone))
    with pytest.raises(InputError, match=r"201 columns and the backbone 200.*compat='corrected'"):
        embed(table.assign(MORE=1), official)


def test_the_released_code_loses_depth_tokens_that_are_not_positive(table, backbone, official) -> None:
    same, lost = (embed(table, official, target_depth=depth, pool="max") for depth in ("t4", "t0"))
    np.testing.assert_allclose(same, embed(table, backbone, pool="max"), atol=2e-6)
    assert np.abs(lost - embed(table, backbone, target_depth="t0", pool="max")).max() > 1e-4
    with pytest.raises(InputError, match="negative"):
        embed(table, official, target_depth="f0.0001", output="gene")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "cells"}, "output is 'cells'"),
        ({"pool": "mean"}, "pool is 'mean'"),
        ({"target_depth": "4"}, "target depth '4'"),
        ({"values": "log"}, "values is 'log'"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
        ({"device": "tpu9"}, "device 'tpu9'"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"batch_cells": 0}, "batch_cells is 0"),
        ({"output": "bulk", "values": "lognorm+total"}, "bulk samples"),
    ],
)
def test_unknown_options(table, backbone, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embed(table, backbone, **options)


@pytest.mark.parametrize(
    "cells", ([1, 2], np.zeros((0, 200)), np.zeros((3, 0)), "cells.h5ad", np.array([["a"]]), None)
)
def test_what_are_no_cells(backbone, cells) -> None:
    with pytest.raises(InputError):
        embed(cells, backbone)


def test_a_table_with_text(table, backbone) -> None:
    with pytest.raises(InputError, match="no numbers"):
        embed(table.assign(donor="D1"), backbone)


def test_a_backbone_without_depth_tokens(table) -> None:
    with pytest.raises(InputError, match="no depth tokens"):
        embed(table, Backbone(BackboneConfig(200)))


def test_the_package_is_light_and_offers_both() -> None:
    code = (
        "import sys, sgm_core; print(*[m for m in ('torch', 'numpy') if m in sys.modules]); "
        "print(sgm_core.embed.__name__, sgm_core.load_backbone.__name__, 'embed' in dir(sgm_core))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[:2] == ["", "embed load_backbone True"]
    with pytest.raises(AttributeError, match="nothing"):
        _ = sgm_core.nothing

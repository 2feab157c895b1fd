"""The numbers of the dot plot are scanpy's; violins draw a bounded sample."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.dot_plot import dot_plot, kept_groups, violin_values
from sgm_core.errors import InputError


@pytest.mark.parametrize("expressing", [False, True])
def test_the_numbers_are_scanpys(demo_dataset, expressing: bool) -> None:
    import scanpy as sc

    genes = demo_dataset.var.nlargest(8, "n_cells")["gene"].tolist()
    adata = demo_dataset.to_anndata()
    adata.X = demo_dataset.lognorm()
    adata.obs["cell_type"] = pd.Categorical(adata.obs["cell_type"])
    plot = sc.pl.dotplot(
        adata, genes, "cell_type", return_fig=True, show=False, mean_only_expressed=expressing
    )
    mine = dot_plot(demo_dataset, genes, demo_dataset.labels())
    column = "mean_expressing" if expressing else "mean"
    means = mine.pivot(index="group", columns="gene", values=column).reindex(columns=genes)
    shares = mine.pivot(index="group", columns="gene", values="share").reindex(columns=genes)
    levels = [level for level in means.index if level in plot.dot_color_df.index]
    assert len(levels) > 10
    np.testing.assert_allclose(means.loc[levels], plot.dot_color_df.loc[levels].fillna(0), atol=1e-5)
    np.testing.assert_allclose(shares.loc[levels], plot.dot_size_df.loc[levels], atol=1e-6)


def test_cells_without_a_group_are_left_out(demo_dataset) -> None:
    gene = str(demo_dataset.genes[3])
    groups = pd.Series(["x", None] * 300)
    table = dot_plot(demo_dataset, [gene], groups)
    assert table[["group", "n_cells"]].to_numpy().tolist() == [["x", 300]]
    values = demo_dataset.lognorm(genes=[gene]).toarray().ravel()[::2]
    assert table["mean"].iloc[0] == pytest.approx(values.mean(), rel=1e-5)


def test_violins_are_of_a_bounded_sample_and_its_own_cells(demo_dataset) -> None:
    gene = str(demo_dataset.var.nlargest(1, "n_cells")["gene"].iloc[0])
    groups = pd.Series(pd.Categorical(np.repeat(["many", "few"], [580, 20])))
    values = violin_values(demo_dataset, [gene], groups, most=50)
    assert values.groupby("group").size().to_dict() == {"few": 20, "many": 50}
    every = demo_dataset.lognorm(genes=[gene]).toarray().ravel()
    np.testing.assert_allclose(np.sort(values.loc[values["group"] == "few", "value"]), np.sort(every[580:]))


def test_of_many_groups_the_largest_are_kept_by_name() -> None:
    groups = pd.Series(np.repeat(["c", "A", "b", None], [5, 2, 9, 30]))
    assert kept_groups(groups, 2) == ["b", "c"]
    assert kept_groups(groups) == ["A", "b", "c"]


def test_what_cannot_be_drawn_is_refused(demo_dataset) -> None:
    groups = pd.Series([None] * 600, dtype=object)
    with pytest.raises(InputError, match="no cell has a value"):
        dot_plot(demo_dataset, [str(demo_dataset.genes[0])], groups)
    with pytest.raises(InputError, match="no gene is chosen"):
        dot_plot(demo_dataset, [], demo_dataset.labels())
    with pytest.raises(InputError, match="no gene 'NOPE'"):
        dot_plot(demo_dataset, ["NOPE"], demo_dataset.labels())

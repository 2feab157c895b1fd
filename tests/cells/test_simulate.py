import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.simulate import CELL_TYPES, UNLABELLED, make_demo, simulate
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.resources.panel import read_panel


@pytest.fixture(scope="module")
def cells():
    return simulate()


def test_the_niche_has_donors_timepoints_and_types(cells):
    counts, obs, genes = cells
    assert counts.shape == (3000, 1000) == (len(obs), len(genes))
    assert obs["cell"].is_unique
    aml = obs[obs["condition"] == "AML"]
    assert aml["donor"].nunique() == 8
    assert obs.loc[obs["condition"] == "Healthy", "donor"].nunique() == 4
    assert set(aml["timepoint"]) == {"Diagnosis", "Treatment", "Relapse"}
    assert (aml.groupby("donor")["timepoint"].nunique() >= 2).all()
    labelled = obs[obs["cell_type"] != UNLABELLED]
    assert set(labelled["cell_type"]) == set(CELL_TYPES)
    assert labelled["cell_type"].value_counts().min() >= 20
    assert labelled.groupby("cell_type")["donor"].nunique().min() >= 5
    assert 0.003 < (obs["cell_type"] == UNLABELLED).mean() < 0.03
    assert set(obs.loc[obs["malignant"] == "yes", "condition"]) == {"AML"}


def test_counts_are_as_sparse_and_as_dispersed_as_a_real_assay(cells):
    counts, _, _ = cells
    assert counts.dtype.kind == "i" and counts.data.min() >= 1
    detected = np.diff(counts.indptr)
    assert 200 <= np.median(detected) <= 320
    assert detected.min() >= 100
    dense = counts.toarray()
    mean, variance = dense.mean(axis=0), dense.var(axis=0)
    assert (variance[mean > 0.5] > 1.2 * mean[mean > 0.5]).all()


def test_markers_are_where_they_belong_and_housekeeping_genes_everywhere(cells):
    counts, obs, genes = cells
    mean = pd.DataFrame(counts.toarray(), columns=genes).groupby(obs["cell_type"].to_numpy()).mean()
    mean = mean.loc[list(CELL_TYPES)]
    for gene, cell_type in {
        "CD79A": "B cell",
        "HBB": "Late erythroid",
        "GNLY": "NK",
        "ELANE": "GMP",
        "CD8A": "CD8 T",
        "S100A12": "CD14 monocyte",
        "LILRA4": "pDC",
        "IGHG1": "Plasma cell",
        "AVP": "HSC",
        "CD1C": "cDC",
        "KLF1": "Early erythroid",
    }.items():
        assert cell_type in mean[gene].nlargest(2).index, gene
    for gene in ("B2M", "ACTB", "RPLP0", "MT-CO1"):
        assert mean[gene].min() > 2 and mean[gene].max() < 3 * mean[gene].min(), gene


def test_states_move_their_genes(cells):
    counts, obs, genes = cells
    frame = pd.DataFrame(counts.toarray() / counts.sum(axis=1).A1[:, None], columns=genes)
    blasts = obs["malignant"] == "yes"
    myeloid = obs["cell_type"].isin(["HSC", "LMPP", "GMP"]) & ~blasts
    assert frame.loc[blasts, "PRAME"].mean() > 2 * frame.loc[myeloid, "PRAME"].mean()
    relapse = blasts & (obs["timepoint"] == "Relapse")
    diagnosis = blasts & (obs["timepoint"] == "Diagnosis")
    assert frame.loc[relapse, "HLA-DRA"].mean() < frame.loc[diagnosis, "HLA-DRA"].mean()
    by_donor = frame.groupby(obs["donor"].to_numpy())[["XIST", "RPS4Y1"]].sum() > 0
    assert by_donor["XIST"].any() and by_donor["RPS4Y1"].any()
    assert not (by_donor["XIST"] & by_donor["RPS4Y1"]).any()


def test_types_are_learnable_across_donors_but_not_trivial(cells):
    from sklearn.decomposition import PCA
    from sklearn.metrics import f1_score
    from sklearn.model_selection import GroupKFold
    from sklearn.neighbors import KNeighborsClassifier

    counts, obs, _ = cells
    known = (obs["cell_type"] != UNLABELLED).to_numpy()
    values = np.log1p(1e4 * counts.toarray() / counts.sum(axis=1).A1[:, None])[known]
    labels, donors = obs["cell_type"].to_numpy()[known], obs["donor"].to_numpy()[known]
    scores = []
    for train, test in GroupKFold(4).split(values, labels, donors):
        pca = PCA(50, random_state=0).fit(values[train])
        model = KNeighborsClassifier(15).fit(pca.transform(values[train]), labels[train])
        predicted = model.predict(pca.transform(values[test]))
        scores.append(f1_score(labels[test], predicted, average="macro", labels=np.unique(labels[test])))
    assert 0.75 < np.mean(scores) < 0.93


def test_seed_decides():
    first, obs, genes = simulate(seed=3, n_cells=300, n_genes=100)
    again, obs_again, _ = simulate(seed=3, n_cells=300, n_genes=100)
    other, _, _ = simulate(seed=4, n_cells=300, n_genes=100)
    assert (first != again).nnz == 0 and obs.equals(obs_again)
    assert (first != other).nnz > 0
    assert list(genes) == sorted(set(genes)) and len(genes) == 100


@pytest.mark.parametrize(("n_cells", "n_genes"), [(300, 10), (300, 1001), (20, 100), (120, 100)])
def test_impossible_sizes_are_refused(n_cells, n_genes):
    with pytest.raises(InputError, match="take"):
        simulate(n_cells=n_cells, n_genes=n_genes)


def test_the_demo_is_a_dataset_made_once_and_labelled():
    demo = make_demo("little", n_cells=400, n_genes=120)
    assert demo.simulated and demo.meta["note"].startswith("SIMULATED")
    assert demo.unlabelled == (UNLABELLED,)
    assert (demo.donor_column, demo.cell_type_column, demo.timepoint_column) == (
        "donor",
        "cell_type",
        "timepoint",
    )
    before = (demo.path / "dataset.json").stat().st_mtime_ns
    assert make_demo("little", n_cells=500).n_cells == 400
    assert (demo.path / "dataset.json").stat().st_mtime_ns == before


def test_two_processes_that_make_the_demo_at_once_get_one(sgm_home, monkeypatch):
    from sgm_core.cells import simulate as module

    first = make_demo("little", n_cells=200, n_genes=50)
    real, answers = module.open_dataset, iter([NotFoundError("not yet")])

    def not_there_at_first(name):
        for error in answers:
            raise error
        return real(name)

    monkeypatch.setattr(module, "open_dataset", not_there_at_first)
    assert make_demo("little", n_cells=200, n_genes=50).content_hash == first.content_hash
    assert [path.name for path in (sgm_home / "datasets").iterdir()] == ["little"]


def test_the_demo_never_stands_in_for_real_cells():
    counts, obs, genes = simulate(n_cells=200, n_genes=50)
    write_dataset("mine", [counts], obs, genes, roles={"donor": "donor", "cell_type": "cell_type"})
    with pytest.raises(InputError, match="another name"):
        make_demo("mine")


def test_panel_is_complete():
    panel = read_panel()
    assert len(panel.genes) == 1000 == len(set(panel.genes))
    assert set(CELL_TYPES) < set(panel.effects.columns)
    assert ((panel.effects > 0).sum() >= 5).drop("relapsed").all()


def test_panel_symbols_are_approved(shared):
    lists = shared / "data" / "gene_lists"
    backbone = set(pd.read_csv(lists / "OS_scRNA_gene_index.19264.tsv", sep="\t")["gene_name"])
    hgnc = set(pd.read_csv(lists / "hgnchelper_symbol_map_2022-04.tsv", sep="\t")["Approved.Symbol"].dropna())
    unknown = [gene for gene in read_panel().genes if gene not in backbone | hgnc]
    assert unknown == []

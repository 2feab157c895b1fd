import shutil

import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.build import import_dataset
from sgm_core.cells.read.geo import sample_origin
from sgm_core.errors import InputError

COUNTS = {"AML1-D0": (1, ["ACTB", "CD34"]), "AML1-D31": (2, ["CD34", "LYZ"]), "BM1": (3, ["ACTB", "CD34"])}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "geo"
    path.mkdir()
    for sample, (seed, genes) in COUNTS.items():
        cells = [f"{sample}_{c}" for c in "ACGT"]
        counts = np.random.default_rng(seed).integers(1, 5, (2, 4))
        dem = pd.DataFrame(counts, index=pd.Index(genes, name="Gene"), columns=cells)
        dem.to_csv(path / f"GSM{seed}_{sample}.dem.txt.gz", sep="\t")
        anno = pd.DataFrame(
            {"Cell": cells[::-1], "CellType": ["T", "HSC", "T", None], "PredictionRefined": "normal"}
        )
        anno.to_csv(path / f"GSM{seed + 100}_{sample}.anno.txt.gz", sep="\t", index=False)
    return path


@pytest.mark.parametrize(
    ("sample", "donor", "timepoint"),
    [
        ("AML314-D0", "AML314", "D0"),
        ("AML420B-D35", "AML420B", "D35"),
        ("BM1", "BM1", "healthy"),
        ("BM5-34p38n", "BM5", "healthy"),
        ("OCI-AML3", "OCI-AML3", None),
        ("MUTZ3", "MUTZ3", None),
    ],
)
def test_sample_names(sample, donor, timepoint):
    assert sample_origin(sample) == (donor, timepoint)


def test_a_folder_of_pairs(folder):
    ds = import_dataset(folder, "geo", unlabelled=["nan"], min_genes=1, min_cells=1)
    assert ds.genes.tolist() == ["ACTB", "CD34", "LYZ"]
    assert ds.obs["sample"].unique().tolist() == ["AML1-D0", "AML1-D31", "BM1"]
    assert ds.donors().unique().tolist() == ["AML1", "BM1"]
    assert (ds.cell_type_column, ds.timepoint_column) == ("CellType", "timepoint")
    # The anno file lists the cells in another order than the dem file.
    assert ds.labels()[:4].tolist() == [None, "T", "HSC", "T"]
    assert ds.obs["PredictionRefined"].unique().tolist() == ["normal"]
    got = pd.DataFrame(ds.counts().toarray(), index=ds.obs["sample"], columns=ds.genes)
    for sample, (seed, genes) in COUNTS.items():
        assert np.array_equal(got.loc[sample, genes].T, np.random.default_rng(seed).integers(1, 5, (2, 4)))
        assert got.loc[sample].drop(columns=genes).sum().sum() == 0


def test_one_pair_by_its_dem_file(folder):
    with pytest.raises(InputError, match=r"one donor only \(BM1\)"):
        import_dataset(folder / "GSM3_BM1.dem.txt.gz", "one", unlabelled=["nan"])


def test_a_pair_without_annotation(folder):
    (folder / "GSM103_BM1.anno.txt.gz").unlink()
    with pytest.raises(InputError, match=r"GSM3_BM1\.dem\.txt\.gz has no \*\.anno\.txt\.gz"):
        import_dataset(folder, "geo")


def test_annotation_of_other_cells(folder):
    shutil.copy(folder / "GSM101_AML1-D0.anno.txt.gz", folder / "GSM103_BM1.anno.txt.gz")
    with pytest.raises(InputError, match=r"GSM103_BM1\.anno\.txt\.gz does not name each cell of GSM3_BM1"):
        import_dataset(folder, "geo")


def test_a_dem_file_cut_short(folder):
    file = folder / "GSM1_AML1-D0.dem.txt.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"GSM1_AML1-D0\.dem\.txt\.gz is damaged or cut short"):
        import_dataset(folder, "geo")

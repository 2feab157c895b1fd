import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sgm_core.cells.quality import cell_quality, class_table, composition, donor_table, gene_families
from sgm_core.cells.write import write_dataset


@pytest.fixture
def dataset():
    counts = np.array([[1, 3, 0], [0, 0, 8], [2, 2, 4], [5, 5, 0]])
    obs = pd.DataFrame({"cell": list("wxyz"), "donor": list("aabb"), "type": ["T", "T", "B", "?"]})
    roles = {"donor": "donor", "cell_type": "type", "timepoint": None}
    return write_dataset("q", [sparse.csr_matrix(counts)], obs, ["ACTB", "MT-CO1", "MT-ND1"], roles, ["?"])


def test_quality_per_cell(dataset):
    quality = cell_quality(dataset)
    assert quality["n_genes"].tolist() == [2, 1, 3, 2]
    assert quality["n_counts"].tolist() == [4, 8, 8, 10]
    assert quality["percent_mito"].tolist() == [75, 100, 75, 50]
    assert (dataset.path / "quality.parquet").is_file()
    pd.testing.assert_frame_equal(cell_quality(dataset), quality)


def test_tables_per_donor_and_class(dataset):
    donors = donor_table(dataset).set_index("donor")
    assert donors.loc["a"].tolist() == [2, 1, 1.5, 6, 87.5]
    assert donors.loc["b", ["cells", "classes"]].tolist() == [2, 1]
    classes = class_table(dataset).set_index("cell_type")
    assert classes.index.tolist() == ["B", "T"]
    assert classes.loc["T", ["cells", "donors"]].tolist() == [2, 1]


def test_composition_shows_cells_without_a_label(dataset):
    table = composition(dataset)
    assert table["cells"].sum() == 4
    assert set(table["cell_type"]) == {"T", "B", "(no label)"}


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        ("mitochondrial", ["MT-CO1", "MT-ND4L", "MT-RNR2"], ["MTOR", "MT1X"]),
        (
            "ribosomal",
            ["RPL3", "RPS6", "RPL36A", "RPS27A", "RPS4X", "RPLP0", "RPSA"],
            ["RPS6KA1", "RPA1", "MRPL3"],
        ),
        ("haemoglobin", ["HBB", "HBA1", "HBG2"], ["HBP1", "HBEGF", "HBS1L"]),
        (
            "immunoglobulin_tcr",
            [
                "IGKC",
                "IGHM",
                "IGHG1",
                "IGHA2",
                "IGHV3-23",
                "IGLC2",
                "JCHAIN",
                "TRAC",
                "TRBC1",
                "TRBV20-1",
                "TRDV2",
            ],
            ["IGF1", "IGFBP2", "TRAF1", "TRADD", "TRBP", "TRGK", "TRAPPC1", "IGSF1", "IGHMBP2"],
        ),
        ("sex_linked", ["XIST", "RPS4Y1", "DDX3Y"], ["DDX3X"]),
        ("stress", ["FOS", "JUN", "HSPA1A"], ["MYC"]),
    ],
)
def test_gene_families(family, inside, outside):
    assert gene_families(inside)[family].all(), gene_families(inside)[family]
    assert not gene_families(outside)[family].any(), gene_families(outside)[family]

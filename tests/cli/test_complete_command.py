"""`sgm data complete`: what an older program's import lacks is said, and made."""

import shutil

from sgm_core.cells.facts import gene_moments
from sgm_core.cells.quality import cell_quality
from sgm_core.cli import main


def test_what_is_lacking_is_said_and_made(demo_dataset, capsys) -> None:
    mean, mito = gene_moments(demo_dataset).over().mean, cell_quality(demo_dataset)
    assert main(["data", "show", demo_dataset.name]) == 0
    assert "lacks" not in capsys.readouterr().out
    for name in ("by_gene", "facts"):
        shutil.rmtree(demo_dataset.path / name)
    (demo_dataset.path / "quality.parquet").unlink()
    assert main(["data", "show", demo_dataset.name]) == 0
    assert f"'sgm data complete {demo_dataset.name}'" in capsys.readouterr().out
    assert main(["data", "complete", demo_dataset.name]) == 0
    assert main(["data", "show", demo_dataset.name]) == 0
    assert "lacks" not in capsys.readouterr().out
    assert (gene_moments(demo_dataset).over().mean == mean).all()
    assert cell_quality(demo_dataset).equals(mito)

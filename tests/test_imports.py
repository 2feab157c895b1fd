"""The direction of imports, and what must stay out of start-up."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "gseapy", "umap", "scanpy", "sklearn", "numba")
LIGHT = (
    "sgm_core.cells.dataset",
    "sgm_core.runs.store",
    "sgm_core.runs.launch",
    "sgm_core.runs.worker",
    "sgm_core.runs.measure",
    "sgm_core.training.config",
    "sgm_core.analysis.metrics",
    "sgm_core.analysis.masks",
    "sgm_core.analysis.enrichment",
    "sgm_core.analysis.selection",
    "sgm_core.demo",
    *(f"sgm_core.figures.{path.stem}" for path in sorted((ROOT / "sgm_core/figures").glob("[a-z]*.py"))),
)


@pytest.mark.parametrize("module", LIGHT)
def test_pages_can_import_it_cheaply(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = "import sys; from sgm_core.cli.frame import build_parser; build_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pandas", "numpy", *HEAVY} & set(loaded.split())


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout

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
    "sgm_core.analysis.composition",
    "sgm_core.analysis.selected_masks",
    "sgm_core.runs.differential",
    "sgm_core.annotation.corrected",
    "sgm_core.annotation.own_maps",
    "sgm_core.annotation.recommend",
    "sgm_core.annotation.shares",
    "sgm_core.annotation.signatures",
    "sgm_core.demo",
    *(f"sgm_core.figures.{path.stem}" for path in sorted((ROOT / "sgm_core/figures").glob("[a-z]*.py"))),
)


# What light modules may take is loaded once; each is then imported in a process of its own, as the first.
EACH_ALONE = """
import importlib, os, sys, traceback
import numpy, pandas, plotly.graph_objects, psutil, pyarrow.parquet, scipy.sparse
heavy, modules = sys.argv[1].split(), sys.argv[2:]
for module in modules:
    if (child := os.fork()) == 0:
        try:
            importlib.import_module(module)
            print(module, *[name for name in heavy if name in sys.modules], flush=True)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def imported() -> tuple[dict[str, list[str]], str]:
    """What each light module brought of the heavy ones; one that can't be imported is missing. And stderr."""
    command = [sys.executable, "-c", EACH_ALONE, " ".join(HEAVY), *LIGHT]
    answer = subprocess.run(command, capture_output=True, text=True)
    return {line.split()[0]: line.split()[1:] for line in answer.stdout.splitlines()}, answer.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_pages_can_import_it_cheaply(module: str, imported: tuple[dict[str, list[str]], str]) -> None:
    found, errors = imported
    assert module in found, errors
    assert found[module] == []


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = "import sys; from sgm_core.cli.frame import build_parser; build_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pandas", "numpy", *HEAVY} & set(loaded.split())


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout

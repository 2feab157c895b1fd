"""The written report of a comparison says of few labels what its tables do."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from synthetic_run import make_compare_run

from sgm_core.analysis.budget_words import budget_finding
from sgm_core.home import write_table
from sgm_core.runs.store import Run, open_run

REPORT = Path(__file__).resolve().parents[2] / "benchmarks" / "compare_report.py"


@pytest.fixture
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_report", REPORT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(demo_dataset) -> Run:
    return open_run(make_compare_run(demo_dataset.name, budgets=True))


def test_scores_and_main_differences_by_number_of_labels(report, run):
    lines = report.few_labels(run)
    text = "\n".join(lines)
    paired, summary = (run.read_table(f"budget_{name}") for name in ("paired", "summary"))
    assert f"{budget_finding(paired)[0]}." in lines
    one = summary.query("arm == 'uniform' and scheme == 'partial'").set_index("labels")
    cells = [f"{100 * r['mean']:.1f} ({100 * r['low']:.1f} to {100 * r['high']:.1f})" for r in
             (one.loc[10], one.loc[30], one.loc[0])]  # fmt: skip
    assert f"| Uniform | partial | {' | '.join(cells)} |" in text
    row = paired.query("main and labels == 30 and against == 'hvg-logistic'").iloc[0]
    assert (
        f"| 30 | Self-guided | Variable genes + logistic regression | {100 * row['difference']:+.1f} |"
        in text
    )
    assert text.count("| No pretraining | +") == 3  # main at each number of labels, the others are left out


def test_with_all_labels_alone_the_report_has_no_such_part(report, run):
    path = run.table_path("budgets")
    write_table(path, pd.read_parquet(path).query("labels == 0"))
    assert report.few_labels(run) == []

"""README's strategy works as it stands: one new file, and configuration, arms, command and model know it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from strategy_models import model_of, toy_cells, toy_numbers

from sgm_core.model import strategies
from sgm_core.model.masking import draw_masks
from sgm_core.model.reconstruction import MaskedModel

README = Path(__file__).resolve().parents[3] / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with README's file, to stand beside the strategies' own."""
    section = README.read_text().split("### Adding a masking strategy")[1].split("\n## ")[0]
    name = re.search(r"`sgm_core/model/strategies/(\w+\.py)`", section)
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert name and block and block[1].count("\n") <= 20
    (tmp_path / name[1]).write_text(block[1])
    return tmp_path


def test_its_masks_follow_its_equation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(folder)])
    assert "middle" in strategies.strategy_names()
    other, values = model_of("uniform"), toy_cells(30)
    model = MaskedModel(other.backbone, {**other.masking, "masker": "middle"}, other.eligible)
    noise, subset = toy_numbers(30)
    expected = draw_masks(-((values - 2) ** 2) / 2, noise, values, other.eligible, "strata", 0.3, 0.03)
    assert torch.equal(model.draw(values, noise, subset).masked, expected)


def test_nothing_else_has_to_be_told(folder: Path) -> None:
    code = f"""
import sys
from sgm_core.model import strategies
strategies.__path__.append({str(folder)!r})
from sgm_core.comparison.config import CompareConfig
from sgm_core.figures.palette import arm_name
from sgm_core.training.config import PretrainConfig
assert PretrainConfig(masker="middle").masker == "middle"
assert CompareConfig(arms=("middle+summary", "uniform+summary"))
assert arm_name("middle+summary") == "Middle + summary"
assert "torch" not in sys.modules
from sgm_core.cli import main
main(["pretrain", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=README.parent)
    assert "middle" in done.stdout, done.stderr

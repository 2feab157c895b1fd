import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sgm_core.cells.simulate import make_demo
from sgm_core.cli import main

FIT = ["model", "fit", "--data", "d", "--name", "m", "--folds", "3", "--no-map"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with the model ``m`` that the command made, and what it said."""
    home, out = tmp_path_factory.mktemp("model") / "home", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setenv("SGM_HOME", str(home))
        make_demo(name="d", n_cells=300, n_genes=200)
        assert main(["model", "list"]) == 0 and "no models yet" in out.getvalue()
        out.truncate(0)
        out.seek(0)
        assert main(FIT) == 0
    return home, out.getvalue()


def test_a_model_from_fit_to_annotation(fitted, sgm_home: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(fitted[0], sgm_home, dirs_exist_ok=True)
    said, fit = fitted[1], FIT
    assert said.startswith("# Model m") and "nothing says that another arm is not better" in said
    assert main([*fit, "--json"]) == 2 and "exists already" in capsys.readouterr().err
    assert main(["model", "show", "m", "--json", "--out", str(tmp_path / "card.md")]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["arm"] == "hvg-logistic" and card["unknown"]["false_alarm"] == 0.05
    assert (tmp_path / "card.md").read_text().startswith("# Model m")
    assert main(["model", "export", "m", "--out", str(tmp_path / "m.zip")]) == 0
    assert main(["model", "import", str(tmp_path / "m.zip"), "--name", "n"]) == 0
    capsys.readouterr()
    out = tmp_path / "x.h5ad"
    assert main(["annotate", "d", "--model", "n", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_cells"] == 300 and out.exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--backbone", "none", "--data", "d"], "backbone is 'none': choose a size"),
        (["--data", "d", "--arm", "self-guided"], "can't be kept as a model: choose hvg-logistic"),
        (["--backbone", "tiny", "--data", "d", "--scheme", "last-block"], "can't be kept as a model: choose"),
        ([], "give one"),
        (["nothing"], "no run 'nothing'"),
        (["--data", "none"], "no dataset 'none'"),
        (["--data", "d", "--false-alarm", "0.9"], "false-alarm rate"),
    ],
)
def test_what_can_not_be_fitted_is_one_line(demo_dataset, more: list[str], said: str, capsys) -> None:
    more = ["small" if each == "d" else each for each in more]
    assert main(["model", "fit", "--name", "m", *more]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error

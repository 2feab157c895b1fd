"""What the official file can be instead of whole and right."""

import collections
import copy
import re
import zipfile
from pathlib import Path

import pytest
import torch

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.checkpoint import open_official, read_official

TABLE = "model.token_emb.emb.weight"


@pytest.fixture(scope="module")
def file(shared: Path) -> Path:
    return shared / "fixtures" / "scfoundation_tiny" / "models.ckpt"


@pytest.fixture(scope="module")
def stored(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def changed(stored: dict, folder: Path, change) -> Path:
    """Write a copy of the checkpoint after `change` of the tensors of ``gene``."""
    stored = copy.deepcopy(stored)
    stored["gene"]["state_dict"] = state = dict(stored["gene"]["state_dict"])
    change(state)
    torch.save(stored, folder / "models.ckpt")
    return folder / "models.ckpt"


@pytest.mark.parametrize("share", (0.0, 0.001, 0.1, 0.5, 0.9, 0.999))
@pytest.mark.parametrize("legacy", (False, True), ids=("zip", "legacy"))
def test_a_truncated_file_is_one_line(file: Path, stored: dict, tmp_path: Path, share: float, legacy) -> None:
    whole = tmp_path / "whole.ckpt"
    torch.save(stored, whole, _use_new_zipfile_serialization=not legacy)
    assert set(open_official(whole)) == {"cell", "gene", "rde"}
    data = whole.read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError) as error:
        open_official(cut)
    assert "cut.ckpt" in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "models.ckpt"
    path.write_text("<html>Sign in to SharePoint</html>")
    with pytest.raises(InputError, match=r"models\.ckpt"):
        open_official(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match=r"models\.ckpt"):
        open_official(path)
    with pytest.raises(NotFoundError, match="download"):
        open_official(tmp_path / "none.ckpt")


RAN: list[str] = []


class Payload:
    def __reduce__(self):
        return (RAN.append, ("ran",))


@pytest.mark.parametrize(
    "inside", (Payload(), collections.Counter("a"), Path("x")), ids=("call", "counter", "path")
)
def test_a_file_with_a_class_inside_is_refused_and_nothing_runs(stored: dict, tmp_path: Path, inside) -> None:
    torch.save({**stored, "extra": inside}, tmp_path / "models.ckpt")
    if isinstance(inside, collections.Counter):  # torch knows this one for a plain container
        assert "gene" in open_official(tmp_path / "models.ckpt")
        return
    with pytest.raises(InputError, match="could run code"):
        open_official(tmp_path / "models.ckpt")
    assert RAN == []


@pytest.mark.parametrize(
    "content",
    ([1, 2], {"state_dict": {}}, {"gene": {"config": {}}}, {"gene": torch.zeros(2)}, torch.zeros(3)),
    ids=("list", "flat", "no-tensors", "a-tensor", "tensor"),
)
def test_another_layout_is_named(tmp_path: Path, content) -> None:
    torch.save(content, tmp_path / "models.ckpt")
    with pytest.raises(InputError, match="layout"):
        open_official(tmp_path / "models.ckpt")


def test_wrong_shape(stored: dict, tmp_path: Path) -> None:
    path = changed(stored, tmp_path, lambda state: state.update({TABLE: torch.zeros(10, 31)}))
    with pytest.raises(InputError, match=re.escape("token_emb.emb.weight is (10, 31), expected (10, 32)")):
        read_official(path)
    assert read_official(path, "cell").config.n_genes == 200


def test_missing_and_extra_tensors_are_named_the_first_few(stored: dict, tmp_path: Path) -> None:
    path = changed(stored, tmp_path, lambda state: state.pop(TABLE))
    with pytest.raises(InputError, match=r"token_emb\.emb\.weight \(10, 32\) is missing"):
        read_official(path)
    path = changed(stored, tmp_path, lambda state: state.update({"model.more": torch.zeros(1)}))
    with pytest.raises(InputError, match="more is not part of the model"):
        read_official(path)
    path = changed(stored, tmp_path, lambda state: [state.pop(name) for name in list(state)[:20]])
    with pytest.raises(InputError, match=r"is missing;.* and \d+ more$"):
        read_official(path)


@pytest.mark.parametrize("value", (float("nan"), float("inf")))
def test_nan(stored: dict, tmp_path: Path, value: float) -> None:
    path = changed(stored, tmp_path, lambda state: state[TABLE].view(-1)[3:4].fill_(value))
    with pytest.raises(InputError, match=r"token_emb\.emb\.weight holds NaN or infinite"):
        read_official(path)


def test_a_configuration_of_another_model(stored: dict, tmp_path: Path) -> None:
    for change, message in (
        ({"model": "mae"}, "type 'mae'"),
        ({"model_config": {}}, "no usable configuration"),
        ({"model_config": 3}, "no usable configuration"),
    ):
        other = copy.deepcopy(stored)
        other["gene"]["config"].update(change)
        torch.save(other, tmp_path / "models.ckpt")
        with pytest.raises(InputError, match=message):
            read_official(tmp_path / "models.ckpt")


def test_a_file_with_one_weight_set(stored: dict, tmp_path: Path) -> None:
    torch.save({"rde": stored["rde"]}, tmp_path / "models.ckpt")
    assert read_official(tmp_path / "models.ckpt", "rde").config.n_genes == 200
    with pytest.raises(NotFoundError, match=r"'gene'.*it has rde"):
        read_official(tmp_path / "models.ckpt", "gene")

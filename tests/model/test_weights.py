import hashlib
import json
import random
from pathlib import Path

import pytest
import torch

from sgm_core.errors import Cancelled, InputError, NotFoundError
from sgm_core.model.checkpoint import KEYS, read_official
from sgm_core.model.gene_list import check_official_order
from sgm_core.model.weights import import_weights, load_backbone
from sgm_core.progress import Observer

GENES = [f"GENE{i}" for i in range(200)]


@pytest.fixture(scope="module")
def file(shared: Path) -> Path:
    return shared / "fixtures/scfoundation_tiny/models.ckpt"


@pytest.fixture(scope="module")
def official(shared: Path) -> list[str]:
    """The official list's lines, header first."""
    return (shared / "data/gene_lists/OS_scRNA_gene_index.19264.tsv").read_text().splitlines()


def write_list(path: Path, genes: list[str]) -> Path:
    path.write_text("\n".join(["gene_name\tindex", *(f"{gene}\t{i}" for i, gene in enumerate(genes))]) + "\n")
    return path


def left_behind(home: Path) -> list[str]:
    return [path.name for path in (home / "weights").iterdir()]


def test_every_tensor_arrives(file: Path) -> None:
    bundle = import_weights(file, GENES, "mine")
    assert bundle.meta["source"] == {
        "file": "models.ckpt",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    for key in KEYS:
        theirs, ours = read_official(file, key), load_backbone("mine", key)
        assert ours.config == theirs.config and ours.genes == tuple(GENES)
        assert not ours.training
        assert all(parameter.requires_grad for parameter in ours.parameters())
        expected, found = theirs.state_dict(), ours.state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert bundle.n_parameters == sum(parameter.numel() for parameter in ours.parameters())
    assert load_backbone("mine", compat="official").config.compat == "official"


def test_loaded_weights_can_be_trained_and_the_file_stays(file: Path) -> None:
    bundle = import_weights(file, GENES, "mine")
    before = (bundle.path / "gene.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in load_backbone("mine").parameters():
            parameter.zero_()
    assert (bundle.path / "gene.safetensors").read_bytes() == before


def test_a_file_with_one_weight_set(file: Path, tmp_path: Path) -> None:
    torch.save({"cell": torch.load(file, weights_only=True)["cell"]}, tmp_path / "models.ckpt")
    assert import_weights(tmp_path / "models.ckpt", GENES, "one").keys == ("cell",)
    with pytest.raises(NotFoundError, match=r"no set 'gene'; they have cell"):
        load_backbone("one")


def test_what_is_wrong_leaves_nothing_behind(file: Path, tmp_path: Path, sgm_home: Path) -> None:
    stored = torch.load(file, weights_only=True)
    name = next(name for name in stored["rde"]["state_dict"] if name.endswith("to_final.weight"))
    stored["rde"]["state_dict"][name][0, 0] = float("nan")
    torch.save(stored, tmp_path / "models.ckpt")
    with pytest.raises(InputError, match=r"models\.ckpt\[rde\].*to_final\.weight holds NaN"):
        import_weights(tmp_path / "models.ckpt", GENES, "mine")
    (tmp_path / "cut.ckpt").write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"cut\.ckpt"):
        import_weights(tmp_path / "cut.ckpt", GENES, "mine")
    assert left_behind(sgm_home) == []


def test_weight_sets_of_two_shapes_are_refused(
    file: Path, shared: Path, tmp_path: Path, sgm_home: Path
) -> None:
    other = torch.load(shared / "fixtures/scfoundation_end_to_end/models.ckpt", weights_only=True)
    stored = {**torch.load(file, weights_only=True), "rde": other["rde"]}
    torch.save(stored, tmp_path / "models.ckpt")
    with pytest.raises(InputError, match=r"cell and rde of .* have different shapes"):
        import_weights(tmp_path / "models.ckpt", GENES, "mine")
    assert left_behind(sgm_home) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-3], "has 197 genes and the weights have 200"),
        (lambda lines: [*lines, "MORE\t200"], "has 201 genes"),
        (lambda lines: [*lines[:7], "GENE2\t6", *lines[8:]], "names 'GENE2' twice"),
        (
            lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
            r"line 5 has index '4', expected 3; line 6",
        ),
        (lambda lines: [lines[0], *reversed(lines[1:])], r"line 2 has index '199', expected 0"),
        (lambda lines: [line.replace("\t", ",") for line in lines], "has not the columns"),
        (lambda lines: lines[1:], "has not the columns"),
        (lambda lines: [*lines[:3], "GENE2", *lines[4:]], "line 4 has index 'none', expected 2"),
        (lambda lines: [], "has not the columns"),
    ],
    ids=("short", "long", "twice", "swapped", "reversed", "commas", "no-header", "no-index", "empty"),
)
def test_a_wrong_gene_list(file: Path, tmp_path: Path, sgm_home: Path, change, message: str) -> None:
    path = write_list(tmp_path / "genes.tsv", GENES)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(InputError, match=message):
        import_weights(file, path, "mine")
    assert left_behind(sgm_home) == []


def test_no_such_file(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file .*none\.tsv: download"):
        import_weights(file, tmp_path / "none.tsv", "mine")
    with pytest.raises(NotFoundError, match=r"no file .*none\.ckpt: download"):
        import_weights(tmp_path / "none.ckpt", GENES, "mine")


def test_names_that_cannot_be_used(file: Path) -> None:
    import_weights(file, GENES, "mine")
    with pytest.raises(InputError, match="exist already"):
        import_weights(file, GENES, "mine")
    with pytest.raises(InputError, match="trained from scratch"):
        import_weights(file, GENES, "tiny")
    with pytest.raises(InputError, match="can't be used"):
        import_weights(file, GENES, "../mine")


def test_it_can_be_stopped_and_says_what_it_does(file: Path, sgm_home: Path) -> None:
    class Impatient(Observer):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def message(self, text: str) -> None:
            self.seen.append(text)

        def progress(self, done: float, total: float, what: str = "") -> None:
            assert 0 <= done <= total
            self.seen.append(what)

        def check(self) -> None:
            if "writing gene" in self.seen:
                raise Cancelled("stopped")

    observer = Impatient()
    with pytest.raises(Cancelled):
        import_weights(file, GENES, "mine", observer)
    assert left_behind(sgm_home) == []
    assert any("non-commercial" in text for text in observer.seen)


def test_damaged_files_of_a_bundle(file: Path) -> None:
    bundle = import_weights(file, GENES, "mine")
    weights = bundle.path / "gene.safetensors"
    whole = weights.read_bytes()
    for data in (b"", whole[:100], whole[:-100], (bundle.path / "genes.tsv").read_bytes()):
        weights.write_bytes(data)
        with pytest.raises(InputError, match="import the weights again"):
            load_backbone("mine")
    weights.unlink()
    with pytest.raises(InputError, match="import the weights again"):
        load_backbone("mine")
    weights.write_bytes(whole)
    meta = json.loads((bundle.path / "bundle.json").read_text())
    for config in ({**meta["config"], "width": 64}, {**meta["config"], "colour": "red"}):
        (bundle.path / "bundle.json").write_text(json.dumps({**meta, "config": config}))
        with pytest.raises(InputError, match="damaged"):
            load_backbone("mine")
    with pytest.raises(InputError, match="compat"):
        (bundle.path / "bundle.json").write_text(json.dumps(meta))
        load_backbone("mine", compat="strange")


def test_the_official_list_is_known_by_its_order(official: list[str]) -> None:
    names = [line.split("\t")[0] for line in official[1:]]
    check_official_order(names, "the list")
    check_official_order(GENES, "a list of another length")
    swapped = [*names[:700], names[701], names[700], *names[702:]]
    with pytest.raises(InputError, match=r"same names in another order.*indices 602-902, which here"):
        check_official_order(swapped, "the list")
    with pytest.raises(InputError, match="same names in another order"):
        check_official_order(sorted(names), "the list")
    renamed = [*names[:-1], "ZZZ4"]
    with pytest.raises(InputError, match=r"other names.*indices 18963-19263, which"):
        check_official_order(renamed, "the list")
    shuffled = random.Random(0).sample(names, len(names))
    with pytest.raises(InputError, match=r"0-300, 301-601, .* and 59 more ranges"):
        check_official_order(shuffled, "the list")


def test_a_sorted_list_with_a_repaired_index_is_refused(
    shared: Path, official: list[str], tmp_path: Path, sgm_home: Path
) -> None:
    names = sorted(line.split("\t")[0] for line in official[1:])
    file = shared / "fixtures/scfoundation_end_to_end/models.ckpt"
    with pytest.raises(InputError, match=r"genes\.tsv has the same names in another order"):
        import_weights(file, write_list(tmp_path / "genes.tsv", names), "mine")
    assert left_behind(sgm_home) == []

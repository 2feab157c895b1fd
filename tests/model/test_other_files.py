"""What an import of scGPT's and scBERT's files refuses, and that nothing of it is left behind."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from other_bundles import copy_fixture

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.released import RELEASED
from sgm_core.model.scgpt_file import plain_name
from sgm_core.model.weights import import_weights, load_backbone
from sgm_core.progress import Observer

GENES = [f"GENE{i:03d}" for i in range(40)]


class Keep(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def scgpt(shared: Path, tmp_path: Path) -> Path:
    return copy_fixture("scgpt", shared, tmp_path / "scgpt")


@pytest.fixture
def scbert(shared: Path, tmp_path: Path) -> Path:
    return copy_fixture("scbert", shared, tmp_path / "scbert")


def change(path: Path, function) -> None:
    """Rewrite a file of weights, or of JSON."""
    path.chmod(0o644)
    if path.suffix == ".json":
        path.write_text(json.dumps(function(json.loads(path.read_text()))))
    else:
        torch.save(function(torch.load(path, weights_only=True)), path)


def refused(path: Path, genes, message: str, home: Path, kind=InputError) -> None:
    with pytest.raises(kind, match=message):
        import_weights(path, genes, "mine")
    assert not list((home / "weights").glob("*")), "nothing is left behind"


def test_every_tensor_of_scgpt_arrives_under_any_of_its_names(scgpt: Path) -> None:
    watcher, stored = Keep(), torch.load(scgpt / "best_model.pt", weights_only=True)
    torch.save({**stored, "cls_decoder.out_layer.bias": torch.ones(4)}, scgpt / "best_model.pt")
    bundle = import_weights(scgpt, None, "flash", watcher)
    assert bundle.genes == tuple(GENES) and bundle.keys == ("model",) and bundle.kind == "scgpt"
    assert "No licence is stated" in watcher.said[0] and "left out: cls_decoder.out" in watcher.said[1]
    flash = load_backbone("flash", "gene").state_dict()
    assert torch.equal(flash["values.flag"], stored.pop("flag_encoder.weight")[1])  # which a file may lack
    assert torch.equal(flash["positions.weight"], stored["encoder.embedding.weight"][[*range(40), 41, 40]])
    assert torch.equal(
        flash["blocks.1.qkv.weight"], stored["transformer_encoder.layers.1.self_attn.Wqkv.weight"]
    )
    names = {
        "plain": plain_name,
        "newer": lambda name: name.replace(".self_attn.", ".self_attn._impl."),
        "distributed": lambda name: f"module.{name}",
    }
    for kind, rename in names.items():
        torch.save({rename(name): tensor for name, tensor in stored.items()}, scgpt / "best_model.pt")
        import_weights(scgpt / "best_model.pt", None, kind)
        for name, tensor in load_backbone(kind).state_dict().items():
            assert torch.equal(tensor, flash[name]), name
        assert set(flash) - set(load_backbone(kind).state_dict()) == {"values.flag"}


def test_half_precision_becomes_single_and_it_is_said(scgpt: Path) -> None:
    change(scgpt / "best_model.pt", lambda stored: {name: tensor.half() for name, tensor in stored.items()})
    watcher = Keep()
    import_weights(scgpt, None, "half", watcher)
    assert "float16 and become float32" in watcher.said[-1]
    assert {tensor.dtype for tensor in load_backbone("half").state_dict().values()} == {torch.float32}


def test_a_vocabulary_in_another_order_moves_the_rows(scgpt: Path) -> None:
    stored = torch.load(scgpt / "best_model.pt", weights_only=True)["encoder.embedding.weight"]
    change(
        scgpt / "vocab.json", lambda vocabulary: {name: (id_ + 5) % 43 for name, id_ in vocabulary.items()}
    )
    bundle = import_weights(scgpt, None, "moved")
    assert bundle.genes[:3] == ("GENE038", "GENE039", "GENE000")
    rows = load_backbone("moved").positions.weight
    assert torch.equal(rows[2], stored[5]) and torch.equal(rows[-2], stored[(41 + 5) % 43])


@pytest.mark.parametrize(
    ("file", "function", "message"),
    [
        ("vocab.json", lambda v: {**v, "NEW": 43}, "has 44 tokens and the weights have 43 rows"),
        ("vocab.json", lambda v: {n: i for n, i in v.items() if n != "<cls>"}, "numbers its 42 tokens not"),
        ("vocab.json", lambda v: {("X" if n == "<cls>" else n): i for n, i in v.items()}, "no token <cls>"),
        ("vocab.json", lambda v: list(v), "no table of tokens"),
        ("args.json", lambda a: {**a, "nlayers": 3}, r"layers\.2\.self_attn\..* is missing.* and 7 more"),
        ("args.json", lambda a: {**a, "embsize": 64}, r"is \(96, 32\), expected \(192, 64\).* more"),
        ("args.json", lambda a: {**a, "nheads": 5}, "5 heads, which don't divide embsize 32"),
        ("args.json", lambda a: {"mask_ratio": 0.4}, "no usable sizes"),
        ("args.json", lambda a: {**a, "pre_norm": True}, "pre_norm"),
        ("args.json", lambda a: {**a, "input_emb_style": "category"}, "only 'continuous' is known"),
        ("best_model.pt", lambda s: {**s, "bn.weight": torch.ones(32)}, "bn.weight is not part of the model"),
        (
            "best_model.pt",
            lambda s: {n: t for n, t in s.items() if "mvc" not in n},
            r"mvc_decoder.* is missing",
        ),
        ("best_model.pt", lambda s: {**s, "decoder.fc.4.bias": torch.tensor([torch.nan])}, "holds NaN"),
        ("best_model.pt", lambda s: [1, 2], "no weights by name"),
        ("best_model.pt", lambda s: {"fc.bias": torch.ones(2)}, "is not of a scGPT model; it holds fc.bias"),
        (
            "best_model.pt",
            lambda s: {**s, "dsbn.bns.0.running_mean": torch.ones(32)},
            "no other cell has one",
        ),
        (
            "best_model.pt",
            lambda s: {**s, "decoder.fc.0.weight": s["decoder.fc.0.weight"].to_sparse()},
            "decoder.fc.0.weight is stored as sparse_coo",
        ),
    ],
)
def test_files_of_scgpt_that_do_not_fit(
    scgpt: Path, sgm_home: Path, file: str, function, message: str
) -> None:
    change(scgpt / file, function)
    refused(scgpt, None, message, sgm_home)


def test_damaged_and_missing_files_of_scgpt(scgpt: Path, sgm_home: Path, tmp_path: Path) -> None:
    whole = (scgpt / "best_model.pt").read_bytes()
    (scgpt / "best_model.pt").write_bytes(whole[:-3000])
    refused(scgpt, None, "best_model.pt", sgm_home)
    (scgpt / "best_model.pt").write_bytes(pickle.dumps(print))
    refused(scgpt, None, "could run code|damaged", sgm_home)
    (scgpt / "best_model.pt").write_bytes(whole)
    (scgpt / "args.json").write_text("{")
    refused(scgpt, None, "args.json is damaged", sgm_home)
    (scgpt / "args.json").unlink()
    refused(scgpt, None, r"no file .*args\.json: download", sgm_home, NotFoundError)
    (scgpt / "best_model.pt").rename(tmp_path / "model.pt")
    refused(tmp_path / "model.pt", GENES, "looks like scGPT's weights: they come as a folder", sgm_home)
    refused(scgpt, None, "has none of the files best_model.pt, models.ckpt", sgm_home)


def test_every_tensor_of_scbert_arrives(scbert: Path) -> None:
    watcher, genes = Keep(), json.loads((scbert / "genes.json").read_text())
    lists = {"h5ad": scbert / "genes.h5ad", "text": scbert / "genes.txt", "index": scbert / "genes.tsv"}
    import anndata as ad
    import pandas as pd

    ad.AnnData(np.zeros((1, 30)), var=pd.DataFrame(index=genes)).write_h5ad(lists["h5ad"])
    lists["text"].write_text("\n".join(genes))
    lists["index"].write_text("\n".join(["gene_name\tindex", *(f"{g}\t{i}" for i, g in enumerate(genes))]))
    stored = torch.load(scbert / "panglao_pretrain.pth", weights_only=True)["model_state_dict"]
    for name, path in {**lists, "json": scbert / "genes.json"}.items():
        bundle = import_weights(scbert, path, name, watcher)
        assert bundle.genes == tuple(genes) and bundle.kind == "scbert"
    assert "GNU General Public License" in watcher.said[0]
    assert "those of gene2vec_30.npy" in watcher.said[1] and "can't be checked" in watcher.said[1]
    state = load_backbone("json").state_dict()
    assert torch.equal(state["positions.weight"], stored["pos_emb.emb.weight"])
    projection = stored["performer.net.layers.1.0.fn.fast_attention.projection_matrix"]
    assert torch.equal(state["blocks.1.attention.projection"], projection)
    whole = {"epoch": 1, "model_state_dict": stored, "optimizer_state_dict": {}, "losses": 1.0}
    torch.save(whole, scbert / "panglao_pretrain.pth")
    import_weights(scbert / "panglao_pretrain.pth", genes, "whole")
    torch.save(stored, scbert / "panglao_pretrain.pth")
    import_weights(scbert / "panglao_pretrain.pth", genes, "bare")
    for name in ("whole", "bare"):
        again = load_backbone(name).state_dict()
        assert all(torch.equal(tensor, again[key]) for key, tensor in state.items())


def test_files_of_scbert_that_do_not_fit(scbert: Path, sgm_home: Path) -> None:
    file, genes = scbert / "panglao_pretrain.pth", json.loads((scbert / "genes.json").read_text())
    refused(file, None, "needs the order of its genes", sgm_home)
    refused(file, genes[:-1], r"has 29 genes and the weights have 30: download panglao", sgm_home)
    refused(file, [*genes[:-1], genes[0]], "twice", sgm_home)
    refused(file, scbert / "none.h5ad", "no file", sgm_home, NotFoundError)
    vectors = np.load(scbert / "gene2vec_30.npy")
    (scbert / "gene2vec_30.npy").chmod(0o644)
    np.save(scbert / "gene2vec_30.npy", vectors[[1, 0, *range(2, 30)]])
    refused(file, genes, "other rows than the weights, first number 0, 2 in all", sgm_home)
    np.save(scbert / "gene2vec_30.npy", vectors[:-1])
    refused(file, genes, r"is \(29, 20\), and the weights have positions \(30, 20\)", sgm_home)
    (scbert / "gene2vec_30.npy").write_bytes(b"no array")
    refused(file, genes, "gene2vec_30.npy can't be read", sgm_home)
    np.save(scbert / "gene2vec_30.npy", vectors)
    for path in (scbert / "genes.h5ad", scbert / "damaged.json"):
        path.write_bytes(b"\x89 damaged")
        refused(file, path, path.name, sgm_home)
    head = torch.load(scbert / "finetune_head.pth", weights_only=True)["model_state_dict"]
    change(file, lambda one: {n: t for n, t in one["model_state_dict"].items() if n[:7] != "to_out."} | head)
    refused(file, genes, r"to_out.weight \(7, 20\) is missing.*conv1", sgm_home)
    torch.save({"model_state_dict": {"token_emb.weight": torch.ones(7, 20)}}, file)
    refused(file, genes, "has not the layout of scBERT's", sgm_home)


def test_what_is_said_of_every_released_model() -> None:
    for one in RELEASED.values():
        assert one.title in one.licence and one.where.startswith("download ")
        assert one.command.startswith("sgm weights import ") and one.purposes

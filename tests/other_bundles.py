"""Imported weights of scGPT and scBERT for any genes: the fixtures' tensors with rows for these genes."""

import json
import shutil
from pathlib import Path

import torch

from sgm_core.model.bundle import Bundle
from sgm_core.model.weights import import_weights

KINDS = ("scgpt", "scbert")


def other_bundle(kind: str, genes: list[str], shared: Path, folder: Path, **args: object) -> Bundle:
    """Write files in the released layout into `folder` and import them under the kind's name."""
    return import_weights(*released_files(kind, genes, shared, folder, **args), kind)


def released_files(
    kind: str, genes: list[str], shared: Path, folder: Path, **args: object
) -> tuple[Path, list[str] | None]:
    """Return the path to import, and its gene list; `args` go into scGPT's ``args.json``."""
    source, generator = shared / f"fixtures/{kind}_tiny", torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "scgpt":
        vocabulary = {name: i for i, name in enumerate([*genes, "<pad>", "<cls>", "<eoc>"])}
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        known = json.loads((source / "args.json").read_text())
        (folder / "args.json").write_text(json.dumps({**known, "max_seq_len": 1200, **args}))
        stored = torch.load(source / "best_model.pt", weights_only=True)
        stored["encoder.embedding.weight"] = torch.randn(len(vocabulary), 32, generator=generator)
        torch.save(stored, folder / "best_model.pt")
        return folder, None
    stored = torch.load(source / "panglao_pretrain.pth", weights_only=True)["model_state_dict"]
    rows = torch.randn(len(genes) + 1, 20, generator=generator, dtype=torch.float64)
    rows[-1] = 0
    stored["pos_emb.emb.weight"] = rows
    torch.save({"model_state_dict": stored, "epoch": 3}, folder / "panglao_pretrain.pth")
    return folder / "panglao_pretrain.pth", genes


def copy_fixture(kind: str, shared: Path, folder: Path) -> Path:
    """Return a copy of a fixture's folder that can be changed."""
    shutil.copytree(shared / f"fixtures/{kind}_tiny", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    return folder

"""What a run is called where nobody gave it a name: a few words from what was asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def corpus_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the further datasets that a run pretrains on, from its parameters; most runs have none."""
    nested = parameters.get("pretrain")
    own = nested if isinstance(nested, Mapping) else parameters
    names = own.get("corpus") or ()
    return tuple(names.split(",")) if isinstance(names, str) else tuple(names)


def run_title(kind: str, dataset: str, parameters: Mapping[str, Any], source: str = "") -> str:
    """Return e.g. 'Compare tiny on demo' or 'Pretrain tiny self-guided on demo, fold 2 left out'.

    Parameters
    ----------
    kind, dataset, parameters
        As `sgm_core.runs.store.create_run` takes them.
    source
        Title of the pretraining that a finetuning starts from.
    """
    backbone = str(parameters.get("backbone") or "")
    if corpus := corpus_of(parameters):
        dataset = " + ".join([dataset, *corpus])
    if kind == "compare":
        return f"Compare {backbone or 'the arms'} on {dataset}"
    if kind == "sweep":
        what = " ".join(filter(None, [backbone, str(parameters.get("arm") or "")]))
        return f"Sweep {what} on {dataset}"
    if kind == "pretrain":
        what = " ".join(filter(None, ["Pretrain", backbone, str(parameters.get("masker") or "")]))
        fold = parameters.get("fold")
        return f"{what} on {dataset}, " + ("shared by all folds" if fold is None else f"fold {fold} left out")
    if kind == "finetune":
        scheme = str(parameters.get("scheme") or "").replace("-", " ")
        start = source.removeprefix("Pretrain ") or f"{backbone or 'a model'} on {dataset}"
        return ", ".join(filter(None, [f"Finetune {start}", scheme]))
    if kind == "differential":
        return f"{parameters.get('name_a') or 'A'} against {parameters.get('name_b') or 'B'}"
    if kind == "prerank":
        return f"All genes of {parameters.get('run') or dataset} ranked against {parameters.get('library')}"
    if kind == "model":
        return f"Model {parameters.get('name') or ''} of {dataset}"
    if kind == "annotate" and parameters.get("file"):
        return f"h5ad of annotation {parameters['name']}"
    if kind == "annotate":
        what = Path(str(parameters.get("data") or parameters.get("path") or "cells")).name
        return f"Annotate {what} by model {parameters.get('model') or ''}"
    if kind == "import":
        return f"Import {Path(str(parameters.get('path') or 'a file')).name} as {dataset}"
    some = f", the cells of {parameters['name']}" if parameters.get("cells") else ""
    return f"Map of {parameters.get('run') or dataset}{some}"

"""The report's section on repeating the run: versions, hashes, and the commands."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import SGMError
from sgm_core.model.bundle import weights_hash
from sgm_core.report.content import Block, Commands, Facts, Said, Section
from sgm_core.report.source import Source
from sgm_core.resources.store import Resource
from sgm_core.runs.provenance import code_version
from sgm_core.runs.run import Run
from sgm_core.runs.store import open_run
from sgm_core.saved.code import deciding_code
from sgm_core.training.config import Settings, finetune_config, pretrain_config
from sgm_core.units import duration, written


def repeat_section(source: Source, library: Resource | None) -> Section:
    """Return versions and hashes of all that the numbers rest on, and the commands that repeat them."""
    run, config = source.run, source.run.config
    rows = [("Run", f"{run.id} ({run.kind}, {run.state})"), ("Asked for", config["created"])]
    status = run.status
    if status.get("started") and status.get("finished"):
        started, finished = (datetime.fromisoformat(status[name]) for name in ("started", "finished"))
        rows.append(("Took", duration(max(0.0, (finished - started).total_seconds()))))
    rows.append(("Version of the run", config["code_version"]))
    if code_version() != config["code_version"]:
        rows.append(("Version of the report", code_version()))
    rows += [("Machine", written(config["hardware"])), ("Seed", written(config.get("seed")))]
    rows.append((f"Dataset {run.dataset_name}", f"content hash {config.get('dataset_hash')}"))
    rows += [(f"Corpus {name}", f"content hash {of}") for name, of in config.get("corpus_hashes", {}).items()]
    if weights := weights_hash(str(run.parameters.get("backbone", ""))):
        rows.append((f"Weights {run.parameters['backbone']}", f"hash {weights}"))
    if library is not None:
        rows.append((f"Gene sets {library.name}", f"sha256 {_sha256(library)}"))
    blocks: list[Block] = [Facts(tuple(rows))]
    if run.kind == "compare":
        text = (
            "The same command, dataset, weights and code give a run of the same ID; the code that decides "
            f"its numbers has the hash {deciding_code()} today."
        )
        blocks.append(Said(text))
    lines = [*dataset_commands(source.dataset), *run_commands(run)]
    more = f" --genesets {shlex.quote(library.name)}" if library is not None and not library.built_in else ""
    lines.append(f"sgm report {run.id} --out report.html{more}")
    blocks.append(Commands(tuple(lines)))
    return Section("repeat", "How to repeat it", tuple(blocks))


def dataset_commands(dataset: Dataset) -> list[str]:
    """Return the command that makes a dataset, from what the dataset remembers of its import."""
    meta = dataset.meta
    origin, filters = meta.get("source") or {}, meta.get("filters") or {}
    if dataset.simulated or not origin:
        return [f"# {dataset.name} is simulated: `sgm app` makes the demo"] if dataset.simulated else []
    roles = {"donor": "--donor", "cell_type": "--cell-type", "timepoint": "--timepoint"}
    words = ["sgm", "data", "import", str(origin["path"]), "--name", dataset.name]
    for role, option in roles.items():
        if column := meta["roles"].get(role):
            words += [option, column]
    if meta.get("unlabelled"):
        words += ["--unlabelled", *map(str, meta["unlabelled"])]
    for name, usual in (("min_genes", 200), ("min_cells", 3)):
        if filters.get(name, usual) != usual:
            words += [f"--{name.replace('_', '-')}", str(filters[name])]
    return [shlex.join(words)]


def run_commands(run: Run) -> list[str]:
    """Return the commands that ask for a run again."""
    values = dict(run.parameters)
    if run.kind == "compare":
        return [compare_command(values)]
    if run.kind == "pretrain":
        return [_pretrain(values)]
    return [*_source_commands(values), _finetune(values)]


def compare_command(values: dict[str, Any]) -> str:
    """Return the command of a comparison, from its parameters."""
    config = CompareConfig.from_dict(values)
    usual = CompareConfig.from_dict({"data": config.data, "backbone": config.backbone})
    words = ["sgm", "compare", "--data", config.data, "--backbone", config.backbone]
    for name in ("split", "folds", "label", "seeds", "seeded", "seed", "device", "label_draws"):
        if getattr(config, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    if config.train_cells != usual.train_cells:
        words += ["--train-cells", "none" if config.train_cells is None else str(config.train_cells)]
    if config.labels != usual.labels:
        words += ["--labels", ",".join(config.labels)]
    for name in ("arms", "schemes"):
        if getattr(config, name) != getattr(usual, name):
            words += [f"--{name}", *getattr(config, name)]
    nested = {f"pretrain.{name}": value for name, value in config.pretrain.items()}
    nested |= {f"finetune.{name}": value for name, value in config.finetune.items()}
    return shlex.join(words + _set(nested))


def _pretrain(values: dict[str, Any]) -> str:
    named = {name: values[name] for name in ("data", "backbone", "masker") if name in values}
    preset = str(values.get("preset", "sgm"))
    words = ["sgm", "pretrain", "--data", values["data"], "--preset", preset]
    words += ["--backbone", values.get("backbone", "tiny"), "--masker", values.get("masker", "self-guided")]
    return shlex.join(words + _set(_changed(pretrain_config(preset, **named), values)))


def _source_commands(values: dict[str, Any]) -> list[str]:
    if not values.get("run"):
        return []
    try:
        return run_commands(open_run(values["run"]))
    except SGMError:
        return [f"# the pretraining {values['run']} is not in this home folder any more"]


def _finetune(values: dict[str, Any]) -> str:
    preset, backbone = str(values.get("preset", "sgm")), str(values.get("backbone") or "")
    words = ["sgm", "finetune", "--preset", preset]
    if values.get("run"):
        words += ["--run", values["run"]]
        try:
            backbone = str(open_run(values["run"]).parameters.get("backbone", ""))
        except SGMError:
            backbone = "tiny"
    else:
        words += ["--backbone", backbone, "--data", values["data"]]
    words += ["--scheme", values.get("scheme", "linear-probe")]
    named = {name: values[name] for name in ("data", "run", "scheme") if values.get(name)}
    return shlex.join(words + _set(_changed(finetune_config(backbone, preset, **named), values)))


def _changed(usual: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a command has to name: those that it would not have by itself."""
    own = usual.to_dict()
    config = type(usual).from_dict(values).to_dict()
    return {name: value for name, value in config.items() if value != own[name]}


def _set(fields: Mapping[str, Any]) -> list[str]:
    return ["--set", *(f"{name}={_plain(value)}" for name, value in fields.items())] if fields else []


def _plain(value: Any) -> str:
    """Return a value as ``--set`` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _sha256(library: Resource) -> str:
    with library.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""The report's section on the configuration: what was asked for, and where it differs from the paper."""

import dataclasses
from typing import Any

import pandas as pd

from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import ARMS, DECIDED, CompareConfig
from sgm_core.report.content import Block, Said, Section, Table
from sgm_core.report.source import Source
from sgm_core.runs.parameters import CONFIGS, complete, differences, flat, with_defaults
from sgm_core.runs.run import Run
from sgm_core.training.config import Settings
from sgm_core.units import count, written


def configuration_section(source: Source) -> Section:
    """Say what differs from the paper and from the defaults, and list every field."""
    run = source.run
    paper = paper_differences(run)
    blocks: list[Block] = [Said(_paper_sentence(run, paper))]
    if len(paper):
        blocks.append(Table("differs-from-paper", paper, "Other than the paper", folded=True))
    changed = differences({"Default": with_defaults(run.kind, {}), "Here": complete(run)})
    changed = changed[changed["parameter"] != "data"].rename(columns={"parameter": "Field"})
    if len(changed):
        blocks.append(Table("differs-from-defaults", changed, "Other than the defaults"))
    rows = [(name, written(value)) for name, value in flat(complete(run)).items()]
    every = pd.DataFrame(rows, columns=["Field", "Value"])
    blocks.append(Table("parameters", every, "Every field", folded=True))
    return Section("configuration", "Configuration", tuple(blocks))


def paper_differences(run: Run) -> pd.DataFrame:
    """Return the fields whose value in the paper is known and another: Field, Here, Paper, Meaning."""
    rows = []
    for prefix, config in _parts(run).items():
        for field in dataclasses.fields(config):  # type: ignore[arg-type]
            paper = field.metadata.get("paper")
            here = getattr(config, field.name)
            inside = prefix and run.kind == "compare"
            if paper is None or _same(here, paper) or (inside and field.name in DECIDED):
                continue
            name = f"{prefix}.{field.name}" if prefix else field.name
            rows.append((name, written(here), written(paper), field.metadata["help"]))
    return pd.DataFrame(rows, columns=["Field", "Here", "Paper", "Meaning"])


def _paper_sentence(run: Run, paper: pd.DataFrame) -> str:
    known = sum(
        field.metadata.get("paper") is not None
        for config in _parts(run).values()
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
    )
    if paper.empty:
        return f"All {count(known, 'field')} whose value in the paper is known have that value."
    return f"{len(paper):,} of the {count(known, 'field')} whose value in the paper is known differ from it."


def _parts(run: Run) -> dict[str, Settings]:
    """Return the configurations of a run by the prefix of their fields, as an arm has them."""
    config: Any = CONFIGS[run.kind].from_dict(run.parameters)
    if not isinstance(config, CompareConfig):
        return {"": config}
    trained = [arm for arm in config.arms if ARMS[arm]]
    arm = "self-guided" if "self-guided" in trained else (trained or list(config.arms))[0]
    pretrain, finetune = settings(config, arm)
    return {"": config, "pretrain": pretrain, "finetune": finetune}


def _same(here: Any, paper: Any) -> bool:
    if isinstance(here, int | float) and isinstance(paper, int | float):
        return float(here) == float(paper)
    return bool(here == paper)

"""The facts of a model that its card shows and ``model.json`` keeps."""

from datetime import UTC, datetime
from typing import Any

import sgm_core
from sgm_core.analysis.chance import chance
from sgm_core.analysis.metrics import score_predictions
from sgm_core.annotation.bounds import Bounds
from sgm_core.annotation.tables import never_shown
from sgm_core.annotation.task import Task

OWN = "trained here on the dataset named above, from no imported weights"
UNLABELLED = (
    "scores, calibration and thresholds are of backbones that never saw the fold's test donors; classes were "
    "held out of the classifier, while pretraining read their cells without labels"
)
ENSEMBLE = "the folds' classifiers read one backbone, so that they agree more than separate models would"
TUNED = ", and the labels of all donors tuned it"


def facts(task: Task, bounds: Bounds) -> dict[str, Any]:
    """Return what a model was trained on, how it was calibrated and bounded, and its scores."""
    dataset, split = task.dataset, task.split
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": sgm_core.__version__,
        "arm": task.arm,
        "scheme": task.scheme,
        "dataset": {"name": dataset.name, "hash": dataset.content_hash, "n_cells": dataset.n_cells},
        "simulated": dataset.simulated,
        "label": task.label,
        "classes": task.classes,
        "folds": len(split),
        "fold_donors": [
            {part: list(getattr(fold, part)) for part in ("train", "validation", "test")} for fold in split
        ],
        "n_genes": dataset.n_genes,
        "least_genes": max(1, int(dataset.n_genes_per_cell()[task.codes >= 0].min())),
        "most_counts": float(dataset.totals().max()),
        "calibration": {
            "temperature": bounds.temperature,
            "ece_before": bounds.ece_before,
            "ece": bounds.ece,
        },
        "unknown": _unknown(bounds),
        **_scores(task, bounds),
        "never_shown": never_shown(task),
        **_weights(task),
    }


def _weights(task: Task) -> dict[str, Any]:
    """Return what the weights come from, under which licence, and what scores leave open of a backbone."""
    if task.backbones is None:
        return {"licences": [OWN], "notes": []}
    about = task.backbones.facts()
    notes = [UNLABELLED] if about["trained"] else []
    notes += [about["corpus"]] if about["imported"] else []
    return {
        "backbone": about,
        "licences": [about["licence"]] if about["imported"] else [OWN],
        "notes": [*notes, ENSEMBLE + (TUNED if task.finetunes else "")],
    }


def _unknown(bounds: Bounds) -> dict[str, Any]:
    tested, held_out = bounds.tested, bounds.held_out
    rare = tested[~bounds.known]
    return {
        "false_alarm": bounds.false_alarm,
        "nominal": bounds.nominal,
        "threshold": bounds.threshold,
        "weight": bounds.rarity.weight,
        "false_alarm_elsewhere": float(tested["alarm_elsewhere"][tested["shown"]].mean()),
        "found_rare": float(rare["unknown"].mean()) if len(rare) else None,
        "auroc_mean": float(held_out["auroc"].mean()) if len(held_out) else None,
    }


def _scores(task: Task, bounds: Bounds) -> dict[str, Any]:
    one = bounds.tested[bounds.known]
    true, predicted = one["true"].to_numpy(str), one["predicted"].to_numpy(str)
    luck = chance(true, predicted, one["donor"].to_numpy(str), task.seed)
    scored = score_predictions(true, predicted, one["confidence"].to_numpy(float), task.classes)
    return {
        "chance": {
            "macro_f1": luck.macro_f1,
            "expected": luck.expected,
            "p": luck.p,
            "useful": luck.useful,
            "sentence": luck.sentence,
        },
        "scores": {key: scored[key] for key in ("macro_f1", "weighted_f1", "micro_f1")},
    }

"""Fit an annotation model: on all donors, calibrated and bounded by donors and classes that were held out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import sgm_core
from sgm_core import home
from sgm_core.analysis.chance import chance
from sgm_core.analysis.metrics import expected_calibration_error, per_class, score_predictions
from sgm_core.annotation.calibration import cross_fitted, fit_temperature, probabilities
from sgm_core.annotation.member import ARMS, Member, train_member
from sgm_core.annotation.signatures import choose_signatures, describe, weights
from sgm_core.annotation.store import Model, write_model
from sgm_core.annotation.unknown import WEIGHTS, Judged, rarity_of, threshold
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import MIN_CELLS, MIN_DONORS, Fold, donor_folds, fold_cells, scored_classes
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.config.settings import BY_SIZE

_BLOCK = 4096
_AIMS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
_MOST_TESTED = 4000  # cells that a held-out class is looked for among


def fit_model(
    data: str | Dataset,
    name: str,
    arm: str = "hvg-logistic",
    label: str | None = None,
    folds: int = 5,
    false_alarm: float = 0.05,
    signatures: Mapping[str, Sequence[str]] | None = None,
    why: str = "",
    with_map: bool = True,
    train_cells: int | str | None = BY_SIZE,
    seed: int = 0,
    observer: Observer | None = None,
) -> Model:
    """Fit a model that names cells, and keep it as ``$SGM_HOME/models/NAME``.

    Each donor fold trains a classifier as the comparison does; its test donors' cells give the temperature,
    the scores of the card and the false alarms of 'unknown', so no donor judges what it trained. All have
    the median of the penalties that the folds' validation donors choose. The classifier that is used trains
    on all donors; those of the folds say how far it can be relied on. A classifier without each class says
    how well an unknown class is found.

    Parameters
    ----------
    data : a dataset or its name
    name : of the model
    arm : ``hvg-logistic`` or ``pca-logistic``, as in a comparison
    label : the label column
    folds : number of donor folds
    false_alarm : share of known cells of unseen donors that may be called unknown, 0 to 0.5
    signatures : gene sets whose scores are compared with the predictions
    why : how the arm was chosen, for the card
    with_map : work out a map of the reference in the model's own space, which takes half a minute
    train_cells : as in a comparison
    seed : of the map and the draws
    observer : is told the progress

    Raises
    ------
    InputError
        If the name is taken, the arm can't be kept as a model, or fewer than two classes have 20 cells and 5
        donors.
    """
    observer = observer or Observer()
    dataset = open_dataset(data) if isinstance(data, str) else data
    dataset.require_counts("a model that names cells")
    _check(name, arm, false_alarm)
    labels = dataset.labels(label)
    classes, others = scored_classes(dataset, label)
    if len(classes) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(classes)} classes with at least {MIN_CELLS} cells and "
            f"{MIN_DONORS} donors under {label or dataset.cell_type_column!r}: a model needs two"
        )
    codes = pd.Index(classes).get_indexer(pd.Index(labels))  # -1: rare or without a label
    split = donor_folds(dataset, "cv", folds, 0, label)
    steps = _Steps(observer, 3 * len(split) + len(classes) + 4)
    members = [_fold_member(dataset, fold, codes, arm, train_cells, seed, steps) for fold in split]
    chosen = [member.linear.strength for member in members]
    strength = float(np.median(chosen))
    strength = min(ARMS[arm], key=lambda c: abs(np.log(c / strength)))
    # one temperature fits classifiers of one penalty alone
    members = [
        member
        if member.linear.strength == strength
        else _fold_member(dataset, fold, codes, arm, train_cells, seed, steps, strength)
        for member, fold in zip(members, split)
    ]
    tested = pd.concat(
        [_tested(dataset, m, f, labels, codes, steps) for m, f in zip(members, split)], ignore_index=True
    )
    rows = np.flatnonzero(codes >= 0)
    final = train_member(
        dataset, rows, codes[rows], arm, steps.said("training on all donors"),
        strength=strength, asked=train_cells, seed=seed,
    )  # fmt: skip
    known = tested["code"].to_numpy() >= 0
    logits, truth = np.stack(tested.pop("logits").to_list()), tested["code"].to_numpy()
    temperature = fit_temperature(logits[known], truth[known])
    fold_of = tested["fold"].to_numpy()
    fair = np.empty(logits.shape)
    fair[known] = cross_fitted(logits[known], truth[known], fold_of[known])
    fair[~known] = probabilities(logits[~known], temperature)
    tested["predicted"] = np.array(classes)[fair.argmax(1)]
    tested["confidence"] = fair.max(1)
    heated = probabilities(logits, temperature)
    judged_by = Judged(tested["distance"].to_numpy(), heated.max(1), heated.argmax(1))
    null = judged_by.of(known)
    held, weight = _held_out(dataset, split, members, codes, classes, arm, temperature, null, steps)
    rarity = rarity_of(null, len(classes), weight)
    scores = rarity.score(judged_by)[0]
    nominal, tested["alarm_elsewhere"] = _alarms(judged_by, known, fold_of, len(classes), weight, false_alarm)
    least = threshold(scores[known], nominal)
    tested["unknown"] = scores < least
    tables = {
        "genes": _genes(dataset),
        "classes": _classes(tested, known, classes, labels, dataset),
        "donors": _donors(dataset, tested, known, classes),
        "held_out": held,
        "out_of_donor": tested.drop(columns=["code"]),
    }
    found = _signatures(dataset, codes, classes, signatures or {}, steps)
    tables["reference"] = _reference(
        dataset, final, np.array(classes)[codes[final.reference_rows]], with_map, seed
    )
    right = (tested["predicted"] == tested["true"]).to_numpy()[known]
    one = tested[known]
    luck = chance(one["true"].to_numpy(str), one["predicted"].to_numpy(str), one["donor"].to_numpy(str), seed)
    said = (one["true"].to_numpy(), one["predicted"].to_numpy(), one["confidence"].to_numpy(float))
    scored = score_predictions(*said, classes)
    unseen = tested[~known & (tested["true"] != "")]
    meta = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": sgm_core.__version__,
        "arm": arm,
        "scheme": "baseline",
        "why": why or "asked for by name",
        "dataset": {"name": dataset.name, "hash": dataset.content_hash, "n_cells": dataset.n_cells},
        "simulated": dataset.simulated,
        "label": label or dataset.cell_type_column,
        "classes": classes,
        "folds": len(split),
        "fold_donors": [
            {part: list(getattr(fold, part)) for part in ("train", "validation", "test")} for fold in split
        ],
        "strength": strength,
        "fold_strengths": chosen,
        "n_genes": len(tables["genes"]),
        "n_genes_read": len(final.genes),
        "least_genes": int(dataset.n_genes_per_cell()[rows].min()),
        "most_counts": float(dataset.totals().max()),
        "calibration": {
            "temperature": temperature,
            "ece_before": expected_calibration_error(right, probabilities(logits[known], 1.0).max(1)),
            "ece": expected_calibration_error(right, fair[known].max(1)),
        },
        "unknown": {
            "false_alarm": false_alarm,
            "nominal": nominal,
            "threshold": least,
            "weight": weight,
            "false_alarm_elsewhere": float(tested["alarm_elsewhere"][known].mean()),
            "found_rare": float(unseen["unknown"].mean()) if len(unseen) else None,
            "auroc_mean": float(held["auroc"].mean()) if len(held) else None,
        },
        "chance": {
            "macro_f1": luck.macro_f1, "expected": luck.expected, "p": luck.p, "useful": luck.useful,
            "sentence": luck.sentence,
        },
        "scores": {key: scored[key] for key in ("macro_f1", "weighted_f1", "micro_f1")},
        "never_shown": _never_shown(dataset, others),
        "licences": ["trained here on the dataset named above, from no imported weights"],
    }  # fmt: skip
    model = write_model(name, meta, [final, *members], rarity, tables, found)
    observer.progress(1, 1, "model written")
    return model


class _Steps(Observer):
    """Counts the steps of a fit."""

    def __init__(self, observer: Observer, total: int) -> None:
        self._observer, self._total, self._done = observer, total, 0

    def said(self, what: str) -> "_Steps":
        """Say that the next step begins."""
        self._observer.check()
        self._observer.progress(self._done, self._total, what)
        self._done += 1
        return self

    def check(self) -> None:
        """Ask whom it stands for."""
        self._observer.check()


def _check(name: str, arm: str, false_alarm: float) -> None:
    home.check_name(name, "model name")
    if (home.folder("models") / name).exists():
        raise InputError(f"a model {name!r} exists already: choose another name")
    if arm not in ARMS:
        raise InputError(f"arm {arm!r} can't be kept as a model yet: choose {' or '.join(ARMS)}")
    if not 0 < false_alarm <= 0.5:
        raise InputError(f"the false-alarm rate is {false_alarm}: give a share above 0 and up to 0.5")


def _fold_member(
    dataset: Dataset,
    fold: Fold,
    codes: np.ndarray,
    arm: str,
    asked: int | str | None,
    seed: int,
    steps: _Steps,
    strength: float | None = None,
) -> Member:
    train, validation, _ = (rows[codes[rows] >= 0] for rows in fold_cells(dataset, fold))
    there, own = _dense(codes[train], fold)
    chosen = validation[np.isin(codes[validation], there)]
    member = train_member(
        dataset, train, own, arm, steps.said(f"fold {fold.index}: training"),
        (chosen, np.searchsorted(there, codes[chosen])), strength, asked, seed,
    )  # fmt: skip
    return _widened(member, there, int(codes.max()) + 1)


def _dense(codes: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    there, own = np.unique(codes, return_inverse=True)
    if len(there) < 2:
        raise InputError(
            f"the training donors of fold {fold.index} have {len(there)} classes: take other folds"
        )
    return there, own


def _widened(member: Member, there: np.ndarray, n: int) -> Member:
    """Return a member with a logit for every class; one that its donors lack is never named."""
    from dataclasses import replace

    if len(there) == n:
        return member
    weight = np.zeros((n, member.linear.weight.shape[1]), np.float32)
    bias = np.full(n, -30.0, np.float32)
    weight[there], bias[there] = member.linear.weight, member.linear.bias
    return replace(member, linear=member.linear._replace(weight=weight, bias=bias))


def _tested(
    dataset: Dataset, member: Member, fold: Fold, labels: pd.Series, codes: np.ndarray, steps: _Steps
) -> pd.DataFrame:
    """Return what a fold's classifier says of its test donors' labelled cells."""
    test = fold_cells(dataset, fold)[2]
    test = test[labels.notna().to_numpy()[test]]
    steps.said(f"fold {fold.index}: naming cells of its test donors")
    logits, distance = judged(dataset, member, test, steps)
    return pd.DataFrame(
        {
            "cell": test,
            "fold": fold.index,
            "donor": dataset.donors().iloc[test].astype(str).to_numpy(),
            "true": labels.iloc[test].astype(str).to_numpy(),
            "code": codes[test],
            "logits": list(logits),
            "distance": distance,
        }
    )


def judged(
    dataset: Dataset, member: Member, rows: np.ndarray, observer: Observer
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (n, C) and the distances (n,) of cells of a dataset, block by block."""
    logits, distances = [], []
    for start in range(0, len(rows), _BLOCK):
        observer.check()
        vectors = member.vectors(dataset.lognorm(rows[start : start + _BLOCK]))
        logits.append(member.logits(vectors))
        distances.append(member.nearest(member.place(vectors))[0].mean(1))
    n_classes = len(member.linear.bias)
    return np.concatenate([np.empty((0, n_classes)), *logits]), np.concatenate([np.empty(0), *distances])


def _held_out(
    dataset: Dataset,
    split: list[Fold],
    members: list[Member],
    codes: np.ndarray,
    classes: list[str],
    arm: str,
    temperature: float,
    null: Judged,
    steps: _Steps,
) -> tuple[pd.DataFrame, float]:
    """Look for each class with a classifier that never saw it; return AUROCs, and the weight they choose.

    The AUROC of a class is at the weight that the other classes choose.
    """
    found: list[list[float]] = []
    rows: list[dict[str, Any]] = []
    parts = [fold_cells(dataset, fold) for fold in split]
    for number, name in enumerate(classes):
        steps.said(f"a classifier without {name}")
        at = int(np.argmax([(codes[part[2]] == number).sum() for part in parts]))
        train, _, test = (part[codes[part] >= 0] for part in parts[at])
        train = train[codes[train] != number]
        if len(np.unique(codes[train])) < 2 or len(classes) < 3:
            continue
        if len(test) > _MOST_TESTED:
            test = np.sort(np.random.default_rng([number, 72]).permutation(test)[:_MOST_TESTED])
        inside = codes[test] == number
        if inside.sum() < 5 or inside.all():
            continue
        there, own = np.unique(codes[train], return_inverse=True)
        without = train_member(
            dataset, train, own, arm, steps, strength=members[at].linear.strength, asked=BY_SIZE
        )
        logits, distance = judged(dataset, without, test, steps)
        p = probabilities(logits, temperature)
        by_cell = Judged(distance, p.max(1), there[p.argmax(1)])
        by = [
            float(roc_auc_score(inside, -rarity_of(null, len(classes), weight).score(by_cell)[0]))
            for weight in WEIGHTS
        ]
        found.append(by)
        rows.append(
            {
                "cell_type": name,
                "fold": split[at].index,
                "n_cells": int(inside.sum()),
                "n_others": int((~inside).sum()),
            }
        )
    if not found:
        return pd.DataFrame(columns=["cell_type", "fold", "n_cells", "n_others", "auroc"]), 0.5
    table = np.array(found)
    for number, row in enumerate(rows):
        others = np.delete(table, number, axis=0) if len(table) > 1 else table
        row["auroc"] = float(table[number, others.mean(0).argmax()])
    return pd.DataFrame(rows), WEIGHTS[int(table.mean(0).argmax())]


def _alarms(
    judged_by: Judged, known: np.ndarray, fold: np.ndarray, n: int, weight: float, rate: float
) -> tuple[float, np.ndarray]:
    """Return the rate that thresholds aim at, and which cells are unknown by those of other donors.

    Cells of a new donor are farther than those of the donors that a threshold comes from, so it aims at
    less than the stated rate: at the most by which, of the known cells of donors that set no threshold, at
    most the stated rate is called unknown.
    """
    parts = []
    for one in np.unique(fold):
        null = judged_by.of((fold != one) & known)
        rarity = rarity_of(null, n, weight)
        own = fold == one
        parts.append((own, rarity.score(null)[0], rarity.score(judged_by.of(own))[0]))
    for share in _AIMS:
        alarms = np.zeros(len(fold), bool)
        for own, theirs, here in parts:
            alarms[own] = here < threshold(theirs, share * rate)
        if alarms[known].mean() <= rate:
            break
    return share * rate, alarms


def _genes(dataset: Dataset) -> pd.DataFrame:
    ids = dataset.var.get("ensembl")
    return pd.DataFrame(
        {"gene": dataset.genes, "ensembl": np.full(dataset.n_genes, None) if ids is None else ids}
    )


def _classes(
    tested: pd.DataFrame, known: np.ndarray, classes: list[str], labels: pd.Series, dataset: Dataset
) -> pd.DataFrame:
    one = tested[known].assign(arm="model", scheme="model", seed=0, scored=True, fold=0)
    table = per_class(one)
    table = table[table["fold"] == -1].set_index("cell_type").reindex(classes).reset_index()
    table["n_cells"] = labels.value_counts().reindex(classes).to_numpy()
    donors = dataset.donors().groupby(labels.to_numpy()).nunique()
    table["n_donors"] = donors.reindex(classes).to_numpy()
    alarms = tested[known].groupby("true")["alarm_elsewhere"].mean()
    table["false_alarms"] = alarms.reindex(classes).to_numpy()
    return table[["cell_type", "n_cells", "n_donors", "precision", "recall", "f1", "support", "false_alarms"]]


def _donors(dataset: Dataset, tested: pd.DataFrame, known: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return one row a donor: cells, false alarms, columns that are the same in all its cells, ``n:CLASS``.

    Numbers of classes are by the predictions of the fold that did not train on the donor, so that they can
    be compared with predictions of new samples.
    """
    donors = dataset.donors().astype(str)
    table = pd.DataFrame({"n_cells": donors.value_counts().sort_index()})
    table["false_alarms"] = tested[known].groupby("donor")["alarm_elsewhere"].mean().reindex(table.index)
    for column in dataset.grouping_columns():
        if column in (dataset.donor_column, dataset.cell_type_column):
            continue
        values = dataset.annotations[column].groupby(donors.to_numpy())
        if (values.nunique(dropna=False) == 1).all():
            table[f"is:{column}"] = values.first().astype(str).reindex(table.index)
    counts = pd.crosstab(tested["donor"], tested["predicted"]).reindex(
        table.index, columns=classes, fill_value=0
    )
    return table.join(counts.add_prefix("n:")).rename_axis("donor").reset_index()


def _reference(
    dataset: Dataset, member: Member, labels: np.ndarray, with_map: bool, seed: int
) -> pd.DataFrame:
    rows = member.reference_rows
    table = pd.DataFrame(
        {
            "cell": rows,
            "name": dataset.obs["cell"].iloc[rows].astype(str).to_numpy(),
            "donor": dataset.donors().iloc[rows].astype(str).to_numpy(),
            "cell_type": labels,
        }
    )
    place = np.full((len(rows), 2), np.nan, np.float32)
    if with_map and len(rows) >= 5:
        from sgm_core.analysis.umap_map import umap

        place = umap(member.reference, seed)
    return table.assign(x=place[:, 0], y=place[:, 1])


def _signatures(
    dataset: Dataset, codes: np.ndarray, classes: list[str], sets: Mapping[str, Sequence[str]], steps: _Steps
) -> dict[str, Any]:
    """Return the signatures with their scores among the training cells; the cells are read twice."""
    steps.said("scores of signatures")
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > 5 * _BLOCK:
        rows = np.sort(np.random.default_rng(73).permutation(rows)[: 5 * _BLOCK])
    sums, n = np.zeros((len(classes), dataset.n_genes)), np.bincount(codes[rows], minlength=len(classes))
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    for block in blocks:
        values, own = dataset.lognorm(block), codes[block]
        for number in np.unique(own):
            sums[number] += np.asarray(values[own == number].sum(0)).ravel()
    found = choose_signatures(dataset, sums / np.maximum(n, 1)[:, None], classes, sets)
    matrix = weights(found, dataset.genes)
    scores = np.concatenate([(dataset.lognorm(block) @ matrix).toarray() for block in blocks])
    return describe(found, scores, np.array(classes)[codes[rows]])


def _never_shown(dataset: Dataset, others: pd.DataFrame) -> dict[str, Any]:
    """Return what the model was never shown: rare classes; and the timepoints that are all it was shown."""
    shown: dict[str, Any] = {"classes": others.to_dict("records")}
    if dataset.timepoint_column:
        shown["only_timepoints"] = sorted(
            dataset.annotations[dataset.timepoint_column].dropna().astype(str).unique()
        )
    return shown

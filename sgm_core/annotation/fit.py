"""Fit an annotation model: on all donors, calibrated and bounded by donors and classes that were held out."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgm_core import home
from sgm_core.annotation.arms import BASELINE
from sgm_core.annotation.bounds import bounds_of
from sgm_core.annotation.facts import facts
from sgm_core.annotation.folds import (
    common_epochs,
    finetuned_members,
    fold_member,
    fold_members,
    unseen_cells,
)
from sgm_core.annotation.store import Model, write_model
from sgm_core.annotation.tables import (
    classes_table,
    donors_table,
    genes_table,
    reference_table,
    signatures_table,
)
from sgm_core.annotation.task import check_fit, make_task
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.progress import Observer
from sgm_core.training.config.settings import BY_SIZE

if TYPE_CHECKING:
    from sgm_core.annotation.backbone import Backbones


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
    scheme: str = BASELINE,
    comparison: Mapping[str, Any] | None = None,
    run: str | Path | None = None,
    observer: Observer | None = None,
) -> Model:
    """Fit a model that names cells, and keep it as ``$SGM_HOME/models/NAME``.

    Each donor fold trains a classifier as the comparison does; its test donors' cells give the temperature,
    the scores of the card and the false alarms of 'unknown', so no donor judges what it trained. All have
    the median of the penalties that the folds' validation donors choose. The classifier that is used trains
    on all donors; those of the folds say how far it can be relied on. A classifier without each class says
    how well an unknown class is found.

    A classifier on a backbone reads vectors of one that never saw the fold's test donors, labels or none:
    the comparison's own, or one that is pretrained here. The backbone that is kept is pretrained on all
    donors, and the folds' classifiers that say how sure it is of new cells are fitted again on its vectors.

    Parameters
    ----------
    data : a dataset or its name
    name : of the model
    arm : ``hvg-logistic`` or ``pca-logistic``, or an arm with a backbone, as in a comparison
    label : the label column
    folds : number of donor folds
    false_alarm : share of known cells of unseen donors that may be called unknown, 0 to 0.5
    signatures : gene sets whose scores are compared with the predictions
    why : how the arm was chosen, for the card
    with_map : work out a map of the reference in the model's own space, which takes half a minute
    train_cells : as in a comparison
    seed : of the map and the draws
    scheme : ``baseline``, or ``linear-probe`` or ``partial`` for an arm with a backbone
    comparison : fields of `sgm_core.comparison.config.CompareConfig` that say how a backbone is trained
    run : folder of that comparison, whose folds' backbones are taken; without it they are pretrained here
    observer : is told the progress

    Raises
    ------
    InputError
        If the name is taken, the arm can't be kept as a model, or fewer than two classes have 20 cells and 5
        donors.
    """
    observer = observer or Observer()
    dataset = open_dataset(data) if isinstance(data, str) else data
    check_fit(name, arm, scheme, false_alarm)
    from sgm_core.annotation.finetuned import trained

    with ExitStack() as stack:
        backbones = None
        if scheme != BASELINE:
            scratch = stack.enter_context(home.scratch(home.folder("models") / name))
            compared = dict(comparison or {})
            same = (compared.get("folds") or 5, compared.get("label")) == (folds, label)
            compared |= {"data": dataset.name, "label": label, "folds": folds}
            # the folds of other donors are of no use
            backbones = _backbones(dataset, compared, arm, scheme, scratch, run if same else None)
        task = make_task(dataset, arm, label, folds, train_cells, seed, observer, backbones)
        members, chosen = fold_members(task)
        strength = members[0].linear.strength
        epochs: list[int] = []
        if task.finetunes:
            members, epochs = finetuned_members(task, members)
            task = replace(task, epochs=common_epochs(epochs))
        tested, logits = unseen_cells(task, members)
        rows = np.flatnonzero(task.codes >= 0)
        task.reader(None)
        task.steps.said("training on all donors")
        final = trained(task, None, rows, task.codes[rows], strength)
        bounds = bounds_of(task, tested, logits, strength, false_alarm)
        if backbones is not None:
            members = [fold_member(task, fold, final.reader, strength) for fold in task.split]
        tested, known = bounds.tested, bounds.known
        found = signatures_table(task, signatures or {})
        tables = {
            "genes": genes_table(dataset),
            "classes": classes_table(task, tested[known]),
            "donors": donors_table(task, tested),
            "held_out": bounds.held_out,
            "out_of_donor": tested.drop(columns=["code", "shown"]),
            "reference": reference_table(task, final, with_map),
        }
        meta: dict[str, Any] = facts(task, bounds) | {
            "why": why or "asked for by name",
            "strength": strength,
            "fold_strengths": chosen,
            "fold_epochs": epochs,
            "n_genes_read": len(final.reader.genes),
        }
        model = write_model(name, meta, [final, *members], bounds.rarity, tables, found, backbones)
    observer.progress(1, 1, "model written")
    return model


def _backbones(
    dataset: Dataset,
    comparison: Mapping[str, Any],
    arm: str,
    scheme: str,
    scratch: Path,
    run: str | Path | None,
) -> "Backbones":
    from sgm_core.annotation.backbone import Backbones
    from sgm_core.comparison.config import CompareConfig

    config = CompareConfig.from_dict({**comparison, "arms": [arm], "schemes": [scheme]})
    return Backbones(dataset, config, arm, scheme, scratch, None if run is None else Path(run))

"""What bounds a model: its temperature, and the thresholds of 'unknown', by donors that did not train it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.analysis.metrics import expected_calibration_error
from sgm_core.annotation.calibration import cross_fitted, fit_temperature, probabilities
from sgm_core.annotation.held_out import false_alarms, held_out_classes
from sgm_core.annotation.task import Task
from sgm_core.annotation.unknown import Judged, Rarity, rarity_of, threshold


@dataclass(frozen=True)
class Bounds:
    """What says how far a model can be relied on.

    Parameters
    ----------
    tested : labelled cells of donors that their fold did not train on: cell, fold, donor, true, code, shown,
        distance, predicted, confidence (at the temperature of the other folds), alarm_elsewhere (unknown by
        the other folds' threshold), unknown (by the model's)
    known : which of them are of a class of the model
    temperature : what logits are divided by
    ece_before, ece : expected calibration error without and with it
    rarity : the known cells that a new one is compared with
    false_alarm : the stated rate of known cells that may be unknown
    nominal : the rate that the threshold aims at
    threshold : the score below which a cell is unknown
    held_out : how well each class is found by a classifier without it
    """

    tested: pd.DataFrame
    known: np.ndarray
    temperature: float
    ece_before: float
    ece: float
    rarity: Rarity
    false_alarm: float
    nominal: float
    threshold: float
    held_out: pd.DataFrame


def bounds_of(
    task: Task, tested: pd.DataFrame, logits: np.ndarray, strength: float, false_alarm: float
) -> Bounds:
    """Work out the bounds of a model.

    Parameters
    ----------
    task : what is fitted
    tested, logits : from `sgm_core.annotation.folds.unseen_cells`
    strength : the penalty's inverse strength
    false_alarm : the stated rate
    """
    codes, fold = tested["code"].to_numpy(), tested["fold"].to_numpy()
    # a class that a fold's classifier was never shown is no known class to it
    known = tested["shown"].to_numpy()
    temperature = fit_temperature(logits[known], codes[known])
    fair = probabilities(logits, temperature)
    fair[known] = cross_fitted(logits[known], codes[known], fold[known])
    cells = Judged(tested["distance"].to_numpy(), logits.max(1))
    null = cells.of(known)
    held_out, weight = held_out_classes(task, strength, null)
    rarity = rarity_of(null, weight)
    nominal, alarms = false_alarms(cells, known, fold, weight, false_alarm)
    scores = rarity.score(cells)[0]
    least = threshold(scores[known], nominal)
    right = fair.argmax(1)[known] == codes[known]
    return Bounds(
        tested.assign(
            predicted=np.array(task.classes)[fair.argmax(1)],
            confidence=fair.max(1),
            alarm_elsewhere=alarms,
            unknown=scores < least,
        ),
        codes >= 0,
        temperature,
        expected_calibration_error(right, probabilities(logits[known], 1.0).max(1)),
        expected_calibration_error(right, fair[known].max(1)),
        rarity,
        false_alarm,
        nominal,
        least,
        held_out,
    )

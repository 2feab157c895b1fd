"""How validation donors choose: the epoch, the penalty, the strength of a baseline.

They never train, in no arm, scheme or baseline. Whatever is chosen (an epoch of finetuning, the epoch and the
weight decay of a head, the inverse strength of a logistic regression) is chosen by `validation_score`.
"""

import numpy as np
import pandas as pd

_SMALLEST = 1e-12  # probability: one that rounds to zero would cost infinitely much


def validation_score(codes: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """Return how well validation cells are named: the larger pair is the better one.

    Parameters
    ----------
    codes : (n,) class numbers of the cells, n > 0, all of them among the C classes
    probabilities : (n, C) of every class

    Returns
    -------
    tuple
        The mean F1 over the classes with at least one of the cells (0 to 1), and, for ties, minus the mean
        cross-entropy in nats. Both are minus infinity where a probability is not finite.
    """
    if not np.isfinite(probabilities).all():
        return -np.inf, -np.inf
    n_classes, predicted = probabilities.shape[1], probabilities.argmax(1)
    support = np.bincount(codes, minlength=n_classes)
    named = np.bincount(predicted, minlength=n_classes)
    hits = np.bincount(codes[predicted == codes], minlength=n_classes)
    f1 = 2 * hits / np.maximum(support + named, 1)
    of_true = probabilities[np.arange(len(codes)), codes].astype(np.float64)
    return float(f1[support > 0].mean()), float(np.log(of_true.clip(min=_SMALLEST)).mean())


def encode_classes(
    train: pd.Series | np.ndarray, validation: pd.Series | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Number the classes of the training cells.

    A validation cell of a class that no training donor has can't be named right by anything, so it has no
    part in a choice.

    Parameters
    ----------
    train, validation : labels of the cells

    Returns
    -------
    tuple
        The C classes, sorted; the class number of each training cell; which validation cells are of these
        classes (bool); the class numbers of those.
    """
    classes, codes = np.unique(np.asarray(train, dtype=str), return_inverse=True)
    others = np.asarray(validation, dtype=str)
    known = np.isin(others, classes)
    return classes, codes, known, np.searchsorted(classes, others[known])

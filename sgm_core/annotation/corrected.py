"""A kept annotation with its corrections by hand, as h5ad or CSV."""

from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.annotation.annotated import Annotated, check_origin
from sgm_core.annotation.kept import Annotation, open_annotation
from sgm_core.annotation.output import COLUMNS, write_csv, write_h5ad
from sgm_core.cells.export import exported
from sgm_core.progress import Observer

CORRECTED = (*COLUMNS, "source", "when")
"""Columns of an output with corrections: the last say who named the cell, the model or a person, and when."""


def corrected(annotation: Annotation) -> Annotated:
    """Return the annotation with the label that holds as ``cell_type``, who gave it, and when."""
    predictions, labels = annotation.predictions(), annotation.labels()
    for column in ("cell_type", "source", "when"):
        predictions[column] = labels[column].to_numpy()
    by_hand = labels["source"].to_numpy(str) != "model"
    predictions["reason"] = np.where(by_hand, "", predictions["reason"])
    about = annotation.about
    return Annotated(str(about["data"]), annotation.obs(), predictions, about)


def corrected_csv(annotation: Annotation, out: Path) -> Path:
    """Write the cells' own columns, what the model says and the corrections as CSV."""
    return write_csv(corrected(annotation), out, CORRECTED)


def corrected_h5ad(annotation: Annotation, out: Path, observer: Observer | None = None) -> Path:
    """Write the annotated file or dataset as it is, with the corrected columns added to ``obs``.

    Raises
    ------
    InputError
        If what was annotated is gone, has changed, or is no h5ad that columns can be added to.
    """
    origin = check_origin(annotation.about)
    return write_h5ad(corrected(annotation), origin, out, observer, CORRECTED)


def corrected_run(parameters: dict[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``annotate`` that writes a kept annotation as ``exports/FILE.h5ad``.

    Parameters
    ----------
    parameters : ``name`` of the annotation, ``file`` without its ending
    folder : the run's folder, for a uniform call
    observer : is told the progress
    """
    path = exported(parameters["file"])
    observer.message(f"writing {path}")
    corrected_h5ad(open_annotation(parameters["name"]), path, observer)
    observer.message(f"wrote {path}, {path.stat().st_size / 1e6:,.0f} MB")

"""Make the report of a run."""

from __future__ import annotations

from datetime import UTC, datetime

from sgm_core.cells.dataset import open_dataset
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.report.cell_map import map_section
from sgm_core.report.configuration import configuration_section
from sgm_core.report.content import Report, Section
from sgm_core.report.data import data_section, folds_section
from sgm_core.report.enriched import chosen_library, enrichment_section
from sgm_core.report.limits import limits_section, summary_section
from sgm_core.report.masked import masked_section
from sgm_core.report.repeat import repeat_section
from sgm_core.report.reviewed import review_section, reviews_of
from sgm_core.report.scores import scores_section
from sgm_core.report.source import Source
from sgm_core.report.training import training_section
from sgm_core.runs.provenance import code_version
from sgm_core.runs.run import Run

KINDS = ("compare", "pretrain", "finetune")
"""Kinds of runs that a report is made of."""
_INSTEAD = {
    "model": "`sgm model show NAME --out CARD.md` writes a model's card",
    "annotate": "the page Annotate shows an annotation, and exports it",
    "differential": "`sgm de` prints the table and says where it lies",
    "import": "`sgm data show NAME` says what was imported",
    "umap": "the page Cells draws the map",
    "export": "an export is a file to send as it is",
}
RESULTS = ("folds", "mask_cells", "reconstruction")
"""Tables of which a run must have one."""


def make_report(run: Run, library: str | None = None, observer: Observer | None = None) -> Report:
    """Return the report of a run as a document of plain text, tables and figures.

    Parameters
    ----------
    run
        A comparison, a pretraining or a finetuning; of one that has not finished, the parts that are there.
    library
        Name of registered gene sets for the enrichment; by default the first of the user's own.
    observer
        Is told about the progress.

    Raises
    ------
    InputError
        If a run of this kind can't be reported, has no results yet, or its dataset has other cells now.
    NotFoundError
        If its dataset, or the library, is gone.
    """
    check_reportable(run)
    observer = observer or Observer()
    dataset = open_dataset(run.dataset_name)
    source = Source(run, dataset)
    chosen = chosen_library(library) if source.arms else None
    reviews = reviews_of(run)
    steps = (
        lambda: data_section(source),
        lambda: folds_section(source),
        lambda: configuration_section(source),
        lambda: training_section(source),
        lambda: scores_section(source),
        lambda: map_section(source),
        lambda: masked_section(source, reviews),
        lambda: review_section(reviews),
        lambda: enrichment_section(source, chosen) if chosen is not None else None,
    )
    sections: list[Section] = []
    for number, step in enumerate(steps):
        observer.check()
        observer.progress(number, len(steps), "report")
        if (section := step()) is not None:
            sections.append(section)
    ends = (limits_section(source, sections), repeat_section(source, chosen))
    observer.progress(len(steps), len(steps), "report")
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, version {code_version()}"
    every = (summary_section(sections), *sections, *ends)
    return Report(run.id, run.title, dataset.simulated, made, every)


def check_reportable(run: Run) -> None:
    """Refuse a run that can't be reported.

    Raises
    ------
    InputError
        As `make_report` says.
    """
    if run.kind not in KINDS:
        instead = _INSTEAD.get(run.kind, "`sgm runs show ID` shows it")
        raise InputError(
            f"run {run.id} is of kind {run.kind!r}: a report is made of a comparison, a pretraining or a "
            f"finetuning ({', '.join(KINDS)}); {instead}"
        )
    run.check_dataset()
    if not any(run.table_path(name).exists() for name in RESULTS):
        raise InputError(
            f"run {run.id} is {run.state} and has no results yet: a report needs scores or mask counts "
            f"(`sgm runs show {run.id}` says how far it is)"
        )

"""Self-guided masking for single-cell foundation models in acute myeloid leukaemia."""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    **dict.fromkeys(
        (
            "biology",
            "compare",
            "enrich",
            "enrich_pair",
            "finetune",
            "judge",
            "masks",
            "planted",
            "prerank",
            "pretrain",
            "review_queue",
            "split",
            "sweep",
            "umap",
            "verdict",
            "write_report",
        ),
        "sgm_core.api",
    ),
    **dict.fromkeys(("list_selections", "open_selection", "save_selection"), "sgm_core.cells.selections"),
    **dict.fromkeys(
        ("export_model", "import_model", "list_models", "open_model"), "sgm_core.annotation.store"
    ),
    **dict.fromkeys(("export_verdicts", "import_verdicts", "verdicts"), "sgm_core.review"),
    **dict.fromkeys(("list_annotations", "open_annotation"), "sgm_core.annotation.kept"),
    "annotate": "sgm_core.annotation.annotate",
    "composition": "sgm_core.analysis.composition",
    "differential": "sgm_core.analysis.differential",
    "embed": "sgm_core.embedding.cells",
    "fit_model": "sgm_core.annotation.fit",
    "import_dataset": "sgm_core.cells.build",
    "load_backbone": "sgm_core.model.weights",
    "make_demo": "sgm_core.cells.simulate",
    "open_dataset": "sgm_core.cells.dataset",
    **dict.fromkeys(("cancel_run", "list_runs", "open_run", "pause_run"), "sgm_core.runs.store"),
    **dict.fromkeys(("move_run", "set_priority"), "sgm_core.runs.order"),
    **dict.fromkeys(("labels_of", "note_run", "tag_run"), "sgm_core.runs.labels"),
    "find_runs": "sgm_core.runs.find",
    "export_to": "sgm_core.runs.trackers",
    "resume_run": "sgm_core.runs.resume",
    **dict.fromkeys(("export_run", "import_run"), "sgm_core.runs.carry"),
    **dict.fromkeys(("delete_run", "restore_run"), "sgm_core.runs.trash"),
    "score_genes": "sgm_core.analysis.gene_scores",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    # looked up when asked for: the command line and the pages import this package and must start at once
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

"""Naming cells of unseen donors: our model against kNN on PCA, CellTypist and scANVI, on the same folds.

``SGM_HOME=... python benchmarks/annotate.py DATASET [--folds 5] [--peers celltypist scvi] [--out FILE.md]``;
with ``--folds donors`` one donor at a time is left out. Everything is measured in this call.
"""

import argparse
import importlib.metadata
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from annotate_peers import QUERY_EPOCHS, SCANVI_EPOCHS, SCANVI_GENES, SCVI_EPOCHS, celltypist, knn, scanvi

from sgm_core import home
from sgm_core.analysis.metrics import expected_calibration_error, score_predictions
from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.fit import fit_model
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.split import donor_folds, scored_classes

PEERS: dict[str, tuple[str, Callable[..., pd.DataFrame], str]] = {
    "celltypist": (
        "CellTypist",
        celltypist,
        "CellTypist trains in its two-step way (SGD on all genes, then 300 genes a class); its confidence is "
        "each class's own (one against the rest), without majority voting.",
    ),
    "scvi": (
        "scANVI",
        scanvi,
        f"scANVI takes {SCANVI_GENES:,} variable genes, {SCVI_EPOCHS} epochs of scVI, {SCANVI_EPOCHS} of "
        f"scANVI, and {QUERY_EPOCHS} that fit it to the test donors' counts (never their labels): fewer than "
        "scvi-tools' own rule.",
    ),
}
"""By the module that must be there."""


def scored(parts: list[pd.DataFrame], classes: list[str]) -> dict[str, float]:
    by_fold = [
        score_predictions(
            p["true"].to_numpy(), p["predicted"].to_numpy(), p["confidence"].to_numpy(), classes
        )
        for p in parts
    ]
    whole = pd.concat(parts)
    columns = (whole[name].to_numpy() for name in ("true", "predicted", "confidence"))
    all_cells = score_predictions(*columns, classes)
    right = (whole["true"] == whole["predicted"]).to_numpy()
    return {
        "macro F1, mean of folds": float(np.mean([each["macro_f1"] for each in by_fold])),
        "SD of folds": float(np.std([each["macro_f1"] for each in by_fold], ddof=1)),
        "macro F1, all cells": float(all_cells["macro_f1"]),
        "weighted F1, all cells": float(all_cells["weighted_f1"]),
        "calibration error": expected_calibration_error(right, whole["confidence"].to_numpy(float)),
    }


def text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(text, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--folds", default="5", help="number of donor folds, or donors")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="modules")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "annotate.md")
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    classes, _ = scored_classes(dataset)
    n_folds = dataset.donors().nunique() if options.folds == "donors" else int(options.folds)
    folds = donor_folds(dataset, "cv", n_folds, 0)
    started = time.perf_counter()
    with home.scratch(home.folder("models") / "benchmark") as folder:
        model = fit_model(dataset, f"benchmark-{folder.name[-8:]}", folds=n_folds, with_map=False)
    seconds = time.perf_counter() - started
    own = model.table("out_of_donor")
    own = own[own["true"].isin(classes)]
    found = {f"sgm model, {model.meta['arm']}, calibrated": [part for _, part in own.groupby("fold")]}
    found["kNN on PCA(50)"] = [knn(dataset, fold, classes) for fold in folds]
    notes = []
    for module in options.peers:
        name, peer, note = PEERS[module]
        if not importlib.util.find_spec(module):
            notes.append(f"{name} can't be imported here, so it is not in the table.")
            continue
        version = importlib.metadata.version({"scvi": "scvi-tools"}.get(module, module))
        found[f"{name} {version}"] = [peer(dataset, fold, classes) for fold in folds]
        notes.append(note)
    rows = [{"classifier": name, **scored(parts, classes)} for name, parts in found.items()]
    with tempfile.TemporaryDirectory() as work:
        result = annotate(options.data, model, Path(work) / "x")
    facts, held = model.meta["unknown"], model.table("held_out")
    order = ["cell_type", "n_cells", "n_others", "auroc"]
    left_out = f"{len(folds)} donor folds" if options.folds != "donors" else "one left out at a time,"
    lines = [
        "# Annotation of cells of unseen donors",
        "",
        f"`python benchmarks/annotate.py {' '.join(sys.argv[1:])}`: {dataset.n_cells:,} cells, {left_out} of "
        f"{dataset.donors().nunique()} donors, the {len(classes)} classes with 20 cells and 5 donors, label "
        f"`{dataset.cell_type_column}`, no cell called unknown; all train on the same donors. "
        f"{' '.join(notes)}",
        "",
        markdown(pd.DataFrame(rows)),
        "",
        "## Unknown",
        "",
        f"Stated false-alarm rate {facts['false_alarm']:.0%}; on donors that set no threshold "
        f"{facts['false_alarm_elsewhere']:.1%} of known cells were called unknown. Each class was held out "
        "of training once; AUROC of its cells among those of the same test donors: mean "
        f"{facts['auroc_mean']:.3f}, {int((held['auroc'] >= 0.85).sum())} of {len(held)} classes at 0.85 or "
        f"above. Distance counts {facts['weight']} and the largest logit the rest, chosen on the held-out "
        "classes; a class's AUROC is at the weight that the others choose.",
        "",
        markdown(held[order].sort_values("auroc", ascending=False)),
        "",
        "## Time",
        "",
        f"Fit {seconds:.0f} s; {len(result.obs) / result.about['seconds']:,.0f} cells/s named, one thread, "
        "reading and signature scores among it.",
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print(options.out.read_text())


if __name__ == "__main__":
    main()

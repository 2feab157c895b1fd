"""Search the shape and training of `tiny` on VALIDATION donors.

``python benchmarks/tiny_search.py DATASET [OUT.md]``

Every candidate is trained on the training donors of a fold and scored on its validation donors; test donors
are never looked at. One row a candidate: macro F1 of the probe and of partial finetuning, and CPU seconds.
About 40 CPU minutes on the AML data; without arguments it only says so.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sgm_core.analysis.metrics import score_predictions
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, fold_cells, scored_classes
from sgm_core.comparison.baselines import run_baseline
from sgm_core.comparison.config import ARMS
from sgm_core.model.sizes import backbone_config
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import FinetuneConfig, pretrain_config
from sgm_core.training.data import Values, informative_genes
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.pretrain import pretrain, untrained
from sgm_core.training.probe import probe
from sgm_core.training.train_cells import every_cell

UNTRAINED: dict[str, dict[str, Any]] = {
    "as chosen, untrained": {},
    "1,000 genes": {"n_genes": 1000},
    "width 64": {"shape": {"width": 64}},
    "width 256": {"shape": {"width": 256}},
    "depth 2": {"shape": {"depth": 2}},
    "tokens keep no value": {"shape": {"value_scaling": False}},
    "pool max and mean": {"shape": {"pool": ("max", "mean")}},
    "pool weighted alone": {"shape": {"pool": ("weighted",)}},
}
PRETRAINED: dict[str, dict[str, Any]] = {
    "uniform, 2 epochs": {"arm": "uniform"},
    "no cell context in the decoder": {"arm": "uniform", "shape": {"cell_context": False}},
    "15 % of all positions": {"arm": "uniform", "mask_basis": "all", "mask_ratio": 0.15},
    "backbone rate 3e-4": {"arm": "uniform", "lr_backbone": 3e-4},
    "self-guided, 2 epochs": {"arm": "self-guided"},
    "self-guided, temperature 0.5": {"arm": "self-guided", "temperature": 0.5},
}


def cells_of(dataset: Dataset, fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return labelled training and validation rows with their labels."""
    labels = dataset.labels()
    train, validation, _ = fold_cells(dataset, fold)
    known = labels.notna().to_numpy()
    train, validation = train[known[train]], validation[known[validation]]
    text = labels.astype(str).to_numpy()
    return train, validation, text[train], text[validation]


def macro(dataset: Dataset, true: np.ndarray, classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Return macro F1 over the scored classes."""
    scored, _ = scored_classes(dataset)
    predicted = classes[probabilities.argmax(1)].astype(str)
    return float(score_predictions(true, predicted, probabilities.max(1), scored)["macro_f1"])


def evaluate(
    dataset: Dataset,
    fold: Fold,
    arm: str = "no-pretraining",
    shape: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[float, float, float]:
    """Return the probe's and partial finetuning's macro F1 on validation donors, and CPU seconds."""
    started = time.process_time()
    own = ARMS[arm] or ARMS["uniform"]
    config = pretrain_config("sgm", data=dataset.name, device="cpu", epochs=2, **fields, **own)
    finetuning = FinetuneConfig(epochs=3, device="cpu", scheme="partial")
    everyone = fold_cells(dataset, fold)[0]
    train, validation, known, true = cells_of(dataset, fold)
    genes = informative_genes(dataset, everyone, config.n_genes)
    size = backbone_config("tiny", len(genes), **(shape or {}))
    model = pretrain(dataset, config, fold, None, size).model if ARMS[arm] else untrained(size, config)
    values = Values(dataset, genes, torch.device("cpu"))
    classes, codes = np.unique(known, return_inverse=True)
    vectors = pooled_vectors(model, values, np.concatenate([train, validation]))
    cut = len(train)
    # the validation donors judge here, so they choose neither epoch nor weight decay
    none, n = codes[:0], len(classes)
    probed, _ = probe(vectors[:cut], codes, vectors[:0], none, vectors[cut:], n, finetuning)
    tuned, _ = train_classifier(
        model, values, every_cell(train), codes, train[:0], none, validation, n, finetuning
    )
    f1 = [macro(dataset, true, classes, result) for result in (probed, tuned)]
    return f1[0], f1[1], time.process_time() - started


def main() -> None:
    if len(sys.argv) < 2:
        print(__doc__)
        return
    torch.set_num_threads(1)
    dataset = open_dataset(sys.argv[1])
    fold = donor_folds(dataset)[1]
    lines = [
        f"# Search of `tiny` on {dataset.name}",
        "",
        f"`python benchmarks/tiny_search.py {dataset.name}`; fold 1, trained on {len(fold.train)} donors, "
        f"scored on the VALIDATION donors {', '.join(fold.validation)}; seed 0, one thread; partial "
        "finetuning 3 epochs, pretraining 2.",
        "Two donors and one seed: differences under 0.03 are noise.",
        "",
        "| candidate | linear probe | partial finetune | CPU s | partial F1 per CPU minute |",
        "| --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    train, validation, known, true = cells_of(dataset, fold)
    for name in ("pca-knn", "pca-logistic", "hvg-logistic"):
        started = time.process_time()
        x_train, x_scored = dataset.lognorm(train), dataset.lognorm(validation)
        fitted = run_baseline(name, x_train, known, x_scored[:0], known[:0], x_scored)
        seconds = time.process_time() - started
        lines.append(
            f"| {name} | | {macro(dataset, true, fitted.classes, fitted.probabilities):.3f} | {seconds:.0f} | |"
        )
        print(lines[-1], flush=True)
    for name, fields in (UNTRAINED | PRETRAINED).items():
        probed, tuned, seconds = evaluate(dataset, fold, **fields)
        f1_rate = 60 * tuned / seconds
        lines.append(f"| {name} | {probed:.3f} | {tuned:.3f} | {seconds:.0f} | {f1_rate:.2f} |")
        print(lines[-1], flush=True)
        if len(sys.argv) > 2:
            Path(sys.argv[2]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Naming cells of unseen donors: our model against kNN on PCA and CellTypist, on the same donor folds.

``SGM_HOME=... python benchmarks/annotate.py DATASET [OUT.md]``. CellTypist is used where it can be imported
(``pip install celltypist``), trained on the same cells. Everything is measured in this call.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from sgm_core import home
from sgm_core.analysis.metrics import expected_calibration_error, score_predictions
from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.fit import fit_model
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, fold_cells, scored_classes
from sgm_core.comparison.baselines import run_baseline


def rows_of(dataset: Dataset, fold: Fold, classes: list[str]) -> list[np.ndarray]:
    labels = dataset.labels()
    return [rows[labels.iloc[rows].isin(classes).to_numpy()] for rows in fold_cells(dataset, fold)]


def knn(dataset: Dataset, fold: Fold, classes: list[str]) -> pd.DataFrame:
    train, validation, test = rows_of(dataset, fold, classes)
    y = dataset.labels().astype(str).to_numpy()
    values = [dataset.lognorm(rows) for rows in (train, validation, test)]
    fitted = run_baseline("pca-knn", values[0], y[train], values[1], y[validation], values[2])
    best = fitted.probabilities.argmax(1)
    return pd.DataFrame(
        {"true": y[test], "predicted": fitted.classes[best], "confidence": fitted.probabilities.max(1)}
    )


def one_against_rest(multi_class: str = "ovr", n_jobs: int | None = None, **fields: Any) -> Any:
    """Return the logistic regression that CellTypist asks for; scikit-learn 1.8 dropped ``multi_class``."""

    class Ovr(LogisticRegression):
        def fit(self, x: Any, y: Any, sample_weight: Any = None) -> "Ovr":
            self.classes_ = np.unique(y)
            each = [LogisticRegression(**fields).fit(x, y == name) for name in self.classes_]
            self.coef_ = np.concatenate([one.coef_ for one in each])
            self.intercept_ = np.concatenate([one.intercept_ for one in each])
            self.n_features_in_ = x.shape[1]
            return self

    return Ovr(**fields)


def celltypist(dataset: Dataset, fold: Fold, classes: list[str]) -> pd.DataFrame:
    """Train CellTypist as its tutorial does: all genes, then a second fit on its 300 best of each class."""
    import celltypist as ct
    from anndata import AnnData

    # the package has a function of the module's name
    sys.modules["celltypist.train"].LogisticRegression = one_against_rest  # type: ignore[attr-defined]
    train, _, test = rows_of(dataset, fold, classes)
    y = dataset.labels().astype(str).to_numpy()
    part = [
        AnnData(dataset.lognorm(rows), var=pd.DataFrame(index=pd.Index(dataset.genes)))
        for rows in (train, test)
    ]
    first = ct.train(part[0], y[train], n_jobs=1, max_iter=5, use_SGD=True, check_expression=False)
    best = np.argpartition(np.abs(first.classifier.coef_), -300, axis=1)[:, -300:]
    genes = np.unique(best)
    model = ct.train(part[0][:, genes].copy(), y[train], n_jobs=1, max_iter=100, check_expression=False)
    said = ct.annotate(part[1], model=model)
    named = said.predicted_labels.iloc[:, 0].astype(str).to_numpy()
    return pd.DataFrame(
        {"true": y[test], "predicted": named, "confidence": said.probability_matrix.max(axis=1).to_numpy()}
    )


def scored(parts: list[pd.DataFrame], classes: list[str]) -> dict[str, float]:
    by_fold = [
        score_predictions(
            p["true"].to_numpy(), p["predicted"].to_numpy(), p["confidence"].to_numpy(), classes
        )
        for p in parts
    ]
    whole = pd.concat(parts)
    right = (whole["true"] == whole["predicted"]).to_numpy()
    return {
        "macro F1, mean of folds": float(np.mean([each["macro_f1"] for each in by_fold])),
        "SD of folds": float(np.std([each["macro_f1"] for each in by_fold], ddof=1)),
        "weighted F1": float(np.mean([each["weighted_f1"] for each in by_fold])),
        "calibration error": expected_calibration_error(right, whole["confidence"].to_numpy(float)),
    }


def text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(text, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def main(name: str, out: Path) -> None:
    dataset = open_dataset(name)
    classes, _ = scored_classes(dataset)
    folds = donor_folds(dataset, "cv", 5, 0)
    started = time.perf_counter()
    with home.scratch(home.folder("models") / "benchmark") as folder:
        model = fit_model(dataset, f"benchmark-{folder.name[-8:]}", with_map=False)
    seconds = time.perf_counter() - started
    own = model.table("out_of_donor")
    own = own[own["true"].isin(classes)]
    parts = [part for _, part in own.groupby("fold")]
    rows = [{"classifier": "sgm model, hvg-logistic, calibrated", **scored(parts, classes)}]
    rows += [{"classifier": "kNN on PCA(50)", **scored([knn(dataset, f, classes) for f in folds], classes)}]
    note = "CellTypist can't be imported here, so it is not in the table."
    if importlib.util.find_spec("celltypist"):
        import celltypist as ct

        rows.append(
            {
                "classifier": f"CellTypist {ct.__version__}",
                **scored([celltypist(dataset, f, classes) for f in folds], classes),
            }
        )
        note = (
            f"CellTypist {ct.__version__} trains on the same training donors, in its two-step way (SGD on "
            "all genes, then 300 genes a class). It has no use for validation donors; ours choose by them. "
            "Its confidence is each class's own (one against the rest), without majority voting."
        )
    with tempfile.TemporaryDirectory() as work:
        result = annotate(name, model, Path(work) / "x")
    facts, held = model.meta["unknown"], model.table("held_out")
    lines = [
        "# Annotation of cells of unseen donors",
        "",
        f"`python benchmarks/annotate.py {name}`: {dataset.n_cells:,} cells, {len(folds)} donor folds of "
        f"{dataset.donors().nunique()} donors, the {len(classes)} classes with 20 cells and 5 donors, label "
        f"`{dataset.cell_type_column}`, no cell called unknown. {note}",
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
        markdown(held[["cell_type", "n_cells", "n_others", "auroc"]].sort_values("auroc", ascending=False)),
        "",
        "## Time",
        "",
        f"Fit {seconds:.0f} s; {len(result.obs) / result.about['seconds']:,.0f} cells/s named, one thread, "
        "reading and signature scores among it.",
    ]
    out.write_text("\n".join(lines) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main(
        sys.argv[1],
        Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "results" / "annotate.md",
    )

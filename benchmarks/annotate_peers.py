"""What others name cells with, trained on the same training donors: kNN on PCA, CellTypist, scANVI.

Each function returns the test cells of a donor fold: true, predicted and confidence. CellTypist and scANVI
take part where they can be imported (``pip install celltypist scvi-tools``, in an environment of their own).
"""

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, fold_cells
from sgm_core.comparison.baselines import run_baseline

SCANVI_GENES, SCVI_EPOCHS, SCANVI_EPOCHS, QUERY_EPOCHS = 2000, 60, 20, 30
"""Epochs are fewer than scvi-tools' own rule takes (400 for scVI at this size: hours of a processor)."""


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


def scanvi(dataset: Dataset, fold: Fold, classes: list[str]) -> pd.DataFrame:
    """Train scVI and scANVI on the training donors, and map the test donors by surgery, as its tutorial does.

    Validation donors train it too (it has no use for them otherwise). The test donors' counts, not their
    labels, are seen when the model is fitted to them.
    """
    import scanpy as sc
    import scvi
    from anndata import AnnData

    scvi.settings.seed = 0
    warnings.filterwarnings("ignore")
    train, validation, test = rows_of(dataset, fold, classes)
    known = np.sort(np.concatenate([train, validation]))
    y = dataset.labels().astype(str).to_numpy()
    donors = dataset.donors().astype(str).to_numpy()
    names = pd.DataFrame(index=pd.Index(dataset.genes))

    def cells(rows: np.ndarray, labels: np.ndarray | str) -> AnnData:
        obs = pd.DataFrame({"donor": donors[rows], "label": labels}, index=rows.astype(str))
        return AnnData(dataset.take(rows).astype(np.float32), obs=obs, var=names)

    reference, query = cells(known, y[known]), cells(test, "none")
    sc.pp.highly_variable_genes(reference, n_top_genes=SCANVI_GENES, flavor="seurat_v3", subset=True)
    query = query[:, reference.var_names].copy()
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    scvi.model.SCVI.setup_anndata(reference, batch_key="donor", labels_key="label")
    surgery = {"use_layer_norm": "both", "use_batch_norm": "none", "encode_covariates": True}
    base = scvi.model.SCVI(reference, n_layers=2, dropout_rate=0.2, **surgery)
    base.train(max_epochs=SCVI_EPOCHS, **quiet)
    model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category="none")
    model.train(max_epochs=SCANVI_EPOCHS, n_samples_per_label=100, **quiet)
    scvi.model.SCANVI.prepare_query_anndata(query, model)
    mapped = scvi.model.SCANVI.load_query_data(query, model)
    mapped.train(max_epochs=QUERY_EPOCHS, plan_kwargs={"weight_decay": 0.0}, **quiet)
    said = mapped.predict(query, soft=True)
    return pd.DataFrame(
        {
            "true": y[test],
            "predicted": said.columns.to_numpy(dtype=str)[said.to_numpy().argmax(1)],
            "confidence": said.max(axis=1).to_numpy(),
        }
    )

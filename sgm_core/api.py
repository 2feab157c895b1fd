"""What `import sgm_core` offers: the steps of the command line as functions; runs and tables come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.verdict import Verdict
    from sgm_core.cells.dataset import Dataset
    from sgm_core.cells.split import Fold
    from sgm_core.progress import Observer
    from sgm_core.runs.run import Run


def split(data: str | Dataset, folds: int = 5, label: str | None = None, scheme: str = "cv") -> list[Fold]:
    """Return the donor folds that a run on a dataset uses; a donor is never on both sides.

    Parameters
    ----------
    data : a dataset or its name
    folds : number of folds of ``cv``
    label : the label column to stratify by; by default the cell type
    scheme : ``cv``, ``holdout`` (80 / 10 / 10 % of the donors) or ``authors`` (draws of the hold-out's cells)

    Examples
    --------
    >>> sgm_core.split("aml")[0].test  # doctest: +SKIP
    ('AML328', 'BM2', ...)
    """
    from sgm_core.training.folds import scored_folds

    return scored_folds(_dataset(data), {"split": scheme, "folds": folds, "label": label})


def pretrain(
    data: str | Dataset, preset: str = "sgm", observer: Observer | None = None, **fields: Any
) -> Run:
    """Pretrain a backbone in this process, as ``sgm pretrain`` does.

    Parameters
    ----------
    data : a dataset or its name
    preset : ``sgm``, ``paper`` or ``authors``
    observer : is told messages, progress and metrics
    fields : of `sgm_core.training.config.PretrainConfig`, such as ``masker="uniform"``, ``fold=0``

    Returns
    -------
    Run
        Its tables (``read_table``): masks, masks_start, mask_cells; its model: ``path / "checkpoint"``.

    Raises
    ------
    InputError
        If a field is unknown or a value does not fit it, or the dataset can't be used.
    TrainingError
        If a loss is not a finite number.

    Examples
    --------
    >>> run = sgm_core.pretrain("aml", masker="self-guided", fold=0)  # doctest: +SKIP
    """
    from sgm_core.training.config import pretrain_config

    name = _name(data)
    return _carry_out("pretrain", name, pretrain_config(preset, data=name, **fields).to_dict(), observer)


def finetune(
    source: str | Run,
    data: str | Dataset | None = None,
    preset: str = "sgm",
    observer: Observer | None = None,
    **fields: Any,
) -> Run:
    """Train a cell-type classifier in this process, as ``sgm finetune`` does.

    Parameters
    ----------
    source : a pretraining run or its ID; with `data`, the name of imported weights
    data : the dataset, for imported weights; a run has its own
    preset, observer : as in `pretrain`
    fields : of `sgm_core.training.config.FinetuneConfig`, such as ``scheme="partial"``

    Returns
    -------
    Run
        Its tables: predictions, folds, pooled, per_class, per_donor.

    Examples
    --------
    >>> scores = sgm_core.finetune(run, scheme="partial").read_table("folds")  # doctest: +SKIP
    """
    from sgm_core.training.config import finetune_config

    if data is not None:
        name, given = _name(data), {"data": _name(data)}
        config = finetune_config(str(source), preset, **given, **fields)
    else:
        run = _run(source)
        name = run.dataset_name
        config = finetune_config(run.parameters.get("backbone", ""), preset, run=run.id, **fields)
    return _carry_out("finetune", name, config.to_dict(), observer)


def compare(data: str | Dataset, observer: Observer | None = None, **fields: Any) -> Run:
    """Compare every arm, scheme and baseline over donor folds, as ``sgm compare`` does.

    The same call goes on where an earlier one was stopped. It starts processes: a script needs
    ``if __name__ == "__main__":`` around it.

    Parameters
    ----------
    data : a dataset or its name
    observer : as in `pretrain`
    fields : of `sgm_core.comparison.config.CompareConfig`, such as ``folds=5``, ``seeds=3``,
        ``pretrain={"epochs": 2}``

    Returns
    -------
    Run
        Its tables: folds, summary, paired, pooled, per_class, per_donor, predictions, masks ...

    Examples
    --------
    >>> sgm_core.compare("aml", seeds=3).read_table("paired")  # doctest: +SKIP
    """
    from sgm_core.comparison.config import CompareConfig

    name = _name(data)
    return _carry_out("compare", name, CompareConfig.from_dict({"data": name, **fields}).to_dict(), observer)


def masks(run: str | Run, arm: str | None = None) -> pd.DataFrame:
    """Return how often each gene was hidden, against its expression and against other seeds.

    Parameters
    ----------
    run : a pretraining or comparison, or its ID
    arm : by default ``self-guided``

    Returns
    -------
    DataFrame
        See `sgm_core.analysis.masks.gene_statistics`.

    Examples
    --------
    >>> sgm_core.masks(run).nsmallest(20, "frequency_rank")  # doctest: +SKIP
    """
    from sgm_core.analysis.masks import gene_statistics

    run = _run(run)
    return gene_statistics(_table(run, "masks"), _dataset(run.dataset_name), arm)


def verdict(run: str | Run, arm: str | None = None) -> Verdict:
    """Say whether an arm's masks are guided at all: a sentence, and ``proven``, ``undecided`` or ``chance``.

    Parameters
    ----------
    run, arm : as in `masks`

    Examples
    --------
    >>> print(sgm_core.verdict(run))  # doctest: +SKIP
    """
    from sgm_core.analysis import verdict as judged
    from sgm_core.analysis.diagnostic import diagnostic, mask_basis

    run = _run(run)
    basis, start = mask_basis(run.parameters), run.read_table("masks_start")
    found = diagnostic(_table(run, "masks"), _table(run, "mask_cells"), arm, basis=basis, start=start)
    return judged.verdict(found)


def enrich(
    run: str | Run, genesets: str | Path, arm: str | None = None, by: str = "frequency", top: int = 200
) -> pd.DataFrame:
    """Return the over-representation of the most hidden genes among gene sets.

    Parameters
    ----------
    run, arm : as in `masks`
    genesets : a GMT file, or the name of registered gene sets
    by : ``frequency``, ``lift`` (genes whose lower bound is above 1) or ``expression`` (a control)
    top : how many genes

    Raises
    ------
    InputError
        If the run can't be ranked so.

    Examples
    --------
    >>> sgm_core.enrich(run, "go.gmt").query("q_value < 0.05")  # doctest: +SKIP
    """
    from sgm_core.analysis.enrichment import enrich_run
    from sgm_core.resources.store import read_gene_sets, resource_path

    run = _run(run)
    path = Path(genesets) if Path(genesets).is_file() else resource_path("genesets", str(genesets))
    found = enrich_run(_table(run, "masks"), read_gene_sets(path).terms, arm, top)
    if by not in found.lists:
        raise InputError(f"run {run.id}: {found.notes.get(by, f'there is no ranking by {by!r}')}")
    return found.table[found.table["ranking"] == by].reset_index(drop=True)


def _dataset(data: str | Dataset) -> Dataset:
    from sgm_core.cells.dataset import open_dataset

    return open_dataset(data) if isinstance(data, str) else data


def _name(data: str | Dataset) -> str:
    return data if isinstance(data, str) else data.name


def _run(run: str | Run) -> Run:
    from sgm_core.runs.store import open_run

    found = open_run(run) if isinstance(run, str) else run
    found.check_dataset()
    return found


def _table(run: Run, name: str) -> pd.DataFrame:
    found = run.read_table(name)
    if found is None:
        raise NotFoundError(f"run {run.id} ({run.state}) has no table {name!r} (yet)")
    return found


def _carry_out(kind: str, dataset: str, parameters: dict[str, Any], observer: Observer | None) -> Run:
    from sgm_core.progress import Observer as Silent
    from sgm_core.runs.store import create_run
    from sgm_core.runs.worker import run_in_foreground

    run = create_run(kind, dataset, parameters, device=parameters["device"])
    return run_in_foreground(run, observer or Silent())

"""What `import sgm_core` offers: the steps of the command line as functions; runs and tables come back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sgm_core.analysis.term_pairs import TermPair
    from sgm_core.analysis.verdict import Verdict
    from sgm_core.cells.dataset import Dataset
    from sgm_core.cells.split import Fold
    from sgm_core.progress import Observer
    from sgm_core.resources.gmt import GeneSets
    from sgm_core.runs.run import Run
    from sgm_core.training.config import Settings


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
    data: str | Dataset,
    preset: str = "sgm",
    observer: Observer | None = None,
    launcher: str = "local",
    processes: int | None = None,
    priority: int = 0,
    **fields: Any,
) -> Run:
    """Pretrain a backbone, as ``sgm pretrain`` does.

    Parameters
    ----------
    data : a dataset or its name
    preset : ``sgm``, ``paper`` or ``authors``
    observer : is told messages, progress and metrics
    launcher : ``local`` (this process), ``torchrun`` (several of this machine train one model) or ``slurm``,
        which returns the queued run
    processes : how many train it
    priority : of its waiting for the device, -100 to 100; higher is sooner
    fields : of `sgm_core.training.config.PretrainConfig`, such as ``masker="uniform"``, ``fold=0``

    Returns
    -------
    Run
        Its tables (``read_table``): masks, masks_start, mask_cells, reconstruction; its model:
        ``path / "checkpoint"``.

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

    dataset = _dataset(data)
    config = pretrain_config(preset, data=dataset.name, **fields)
    return carry_out(
        "pretrain", config, dataset, observer, launcher=launcher, processes=processes, priority=priority
    )


def finetune(
    source: str | Run,
    data: str | Dataset | None = None,
    preset: str = "sgm",
    observer: Observer | None = None,
    launcher: str = "local",
    processes: int | None = None,
    priority: int = 0,
    **fields: Any,
) -> Run:
    """Train a cell-type classifier, as ``sgm finetune`` does.

    Parameters
    ----------
    source : a pretraining run or its ID; with `data`, the name of imported weights
    data : the dataset, for imported weights; a run has its own
    preset, observer, launcher, processes, priority : as in `pretrain`
    fields : of `sgm_core.training.config.FinetuneConfig`, such as ``scheme="partial"``

    Returns
    -------
    Run
        Its tables: predictions, folds, pooled, per_class, per_donor.

    Raises
    ------
    InputError
        As in `pretrain`, or if the run's dataset has other cells than it was pretrained on.
    TrainingError
        If a loss is not a finite number.

    Examples
    --------
    >>> scores = sgm_core.finetune(run, scheme="partial").read_table("folds")  # doctest: +SKIP
    """
    from sgm_core.training.config import finetune_config

    if data is None:
        run = _run(source)
        dataset = _dataset(run.dataset_name)
        config = finetune_config(run.parameters.get("backbone", ""), preset, run=run.id, **fields)
        return carry_out("finetune", config, dataset, observer, run.title, launcher, processes, priority)
    if not isinstance(source, str):
        raise InputError(f"run {source.id} has a dataset of its own: leave `data` out")
    dataset = _dataset(data)
    config = finetune_config(source, preset, data=dataset.name, **fields)
    return carry_out(
        "finetune", config, dataset, observer, launcher=launcher, processes=processes, priority=priority
    )


def compare(
    data: str | Dataset,
    observer: Observer | None = None,
    launcher: str = "local",
    processes: int | None = None,
    priority: int = 0,
    **fields: Any,
) -> Run:
    """Compare every arm, scheme and baseline over donor folds, as ``sgm compare`` does.

    The same call goes on where an earlier one was stopped. It starts processes: a script needs
    ``if __name__ == "__main__":`` around it.

    Parameters
    ----------
    data : a dataset or its name
    observer, priority : as in `pretrain`
    launcher, processes : ``local`` works on as many tasks at once; ``slurm`` makes each a job
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

    dataset = _dataset(data)
    config = CompareConfig.from_dict({"data": dataset.name, **fields})
    return carry_out(
        "compare", config, dataset, observer, launcher=launcher, processes=processes, priority=priority
    )


def sweep(
    data: str | Dataset,
    space: Iterable[str],
    observer: Observer | None = None,
    launcher: str = "local",
    priority: int = 0,
    **fields: Any,
) -> Run:
    """Search over settings, scored on validation donors alone, as ``sgm sweep`` does.

    Parameters
    ----------
    data : a dataset or its name
    space : what is searched, a field each: ``"pretrain.lr_backbone=1e-4..1e-2:log"``, ``"R=1,2,4"``
    observer : as in `pretrain`
    launcher : ``local``, or ``slurm`` for one job
    priority : as in `pretrain`
    fields : of `sgm_core.sweeps.config.SweepConfig`, such as ``arm="uniform"``, ``trials=30``

    Returns
    -------
    Run
        Its tables: trials, fold_scores, importance.

    Examples
    --------
    >>> run = sgm_core.sweep("aml", ["R=1,2,4"], trials=3, sampler="grid")  # doctest: +SKIP
    >>> run.read_table("trials").sort_values("score")  # doctest: +SKIP
    """
    from sgm_core.sweeps.config import SweepConfig

    dataset = _dataset(data)
    config = SweepConfig.from_dict({"data": dataset.name, "space": tuple(space), **fields})
    config.require_space()
    return carry_out("sweep", config, dataset, observer, launcher=launcher, priority=priority)


def masks(
    run: str | Run, arm: str | None = None, fold: int = -1, by: str = "all", level: str = ""
) -> pd.DataFrame:
    """Return how often each gene was hidden, against its expression and against other seeds.

    Parameters
    ----------
    run : a pretraining or comparison, or its ID
    arm : by default ``self-guided``
    fold : one fold; -1 = all, summed
    by, level : a group of cells, such as ``"cell_type", "HSC"``

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
    return gene_statistics(_masks(run, by), _dataset(run.dataset_name), arm, fold, by, level)


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
    found = diagnostic(_masks(run), _table(run, "mask_cells"), arm, basis=basis, start=start)
    return judged.verdict(found)


def biology(run: str | Run, arm: str | None = None, top: int = 100) -> pd.DataFrame:
    """Hold the most hidden genes, and the controls, against transcription factors and signatures.

    The sets are those of ``sgm resources list``; each list is held against expression-matched random lists.

    Parameters
    ----------
    run, arm : as in `masks`
    top : how many genes

    Returns
    -------
    DataFrame
        See `sgm_core.analysis.biology.biology`.

    Raises
    ------
    NotFoundError
        If there is neither a list of transcription factors nor a signature.

    Examples
    --------
    >>> sgm_core.biology(run).query("beyond_controls")  # doctest: +SKIP
    """
    from sgm_core.runs.biology import run_biology

    return run_biology(_run(run), arm, top)[0]


def enrich(
    run: str | Run,
    genesets: str | Path,
    arm: str | None = None,
    by: str = "frequency",
    top: int = 200,
    min_size: int | None = 5,
    max_size: int | None = 500,
    background: str | Path | Collection[str] | None = None,
    without: Collection[str] = (),
) -> pd.DataFrame:
    """Return the over-representation of the most hidden genes among gene sets.

    Parameters
    ----------
    run, arm : as in `masks`
    genesets : a GMT file, or the name of registered gene sets
    by : ``frequency``, ``lift`` (genes hidden more than their equals), or a control: ``uniform``, ``start``
        (before training), ``expression``, ``inverse``
    top : how many genes
    min_size, max_size : sizes, within the genes that could be hidden, that a term must have; None = no limit
    without : genes to leave out of lists and universe, such as ``sgm_core.review.artefacts(run)``
    background : a narrower universe: genes, a file of them, or ``"detected:0.05"`` (in 5 % of the draws)

    Returns
    -------
    DataFrame
        See `sgm_core.analysis.enrichment.over_representation`; ``attrs["notes"]`` lists what was put right in
        the gene sets or left out; for the arm's own rankings ``attrs["claim"]`` says what the terms tell of
        the model, and ``attrs["confidence"]`` how sure that is.

    Raises
    ------
    InputError
        If the run can't be ranked so.

    Examples
    --------
    >>> sgm_core.enrich(run, "go.gmt").query("q_value < 0.05")  # doctest: +SKIP
    """
    from sgm_core.analysis.rankings import OWN
    from sgm_core.analysis.term_claim import claim
    from sgm_core.runs.terms import diagnosed, run_terms

    run, sets = _run(run), _gene_sets(genesets)
    found = run_terms(run, sets.terms, arm, top, min_size, max_size, background, without)
    if by not in found.lists:
        raise InputError(f"run {run.id}: {found.notes.get(by, f'there is no ranking by {by!r}')}")
    table = found.table[found.table["ranking"] == by].reset_index(drop=True)
    table.attrs["notes"] = [*sets.put_right, *found.changes, *filter(None, [found.notes.get(by)])]
    if by in OWN:
        said = claim(found, by, diagnosed(run, found.arm), f"the {len(found.lists[by])} genes")
        table.attrs.update(claim=said.sentence, confidence=said.confidence)
    return table


def enrich_pair(
    first: str | Run,
    second: str | Run,
    genesets: str | Path,
    arms: tuple[str | None, str | None] = (None, None),
    by: tuple[str, str] = ("frequency", "frequency"),
    top: int = 200,
    min_size: int | None = 5,
    max_size: int | None = 500,
) -> TermPair:
    """Put what two runs, or two rankings of one run, hide most side by side, in the genes of both.

    Parameters
    ----------
    first, second : runs, or their IDs; they may be the same
    genesets, top, min_size, max_size : as in `enrich`
    arms, by : of each side, as in `enrich`

    Returns
    -------
    TermPair
        See `sgm_core.analysis.term_pairs.TermPair`; ``.table`` has a row a term.

    Examples
    --------
    >>> sgm_core.enrich_pair(run, run, "go.gmt", by=("frequency", "expression")).table  # doctest: +SKIP
    """
    from sgm_core.analysis.term_pairs import pair_terms
    from sgm_core.runs.terms import ranked_genes

    sides = [ranked_genes(_run(run), arm, order) for run, arm, order in zip((first, second), arms, by)]
    return pair_terms(sides[0], sides[1], _gene_sets(genesets).terms, top, min_size, max_size)


def prerank(
    run: str | Run,
    genesets: str | Path,
    arm: str | None = None,
    by: str = "frequency",
    min_size: int = 5,
    max_size: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank all genes of a run by how it hid them, and ask where each term's genes lie (GSEA prerank).

    Parameters
    ----------
    run, arm : as in `masks`
    genesets, min_size, max_size : as in `enrich`
    by : ``frequency`` or ``lift``
    seed : of the permutations

    Returns
    -------
    DataFrame
        See `sgm_core.analysis.prerank.prerank`.

    Examples
    --------
    >>> sgm_core.prerank(run, "go.gmt", by="lift").query("q_value < 0.05")  # doctest: +SKIP
    """
    from sgm_core.analysis import prerank as ranked
    from sgm_core.analysis.universe import fit_terms
    from sgm_core.runs.terms import gene_values

    values = gene_values(_run(run), arm, by)
    terms, _ = fit_terms(_gene_sets(genesets).terms, values.index)
    return ranked.prerank(values, terms, min_size, max_size, seed=seed)


def planted(run: str | Run, arm: str | None = None, top: int = 50) -> pd.DataFrame:
    """Say how much of what a run on simulated cells hides most was planted there, against controls.

    Parameters
    ----------
    run, arm : as in `masks`
    top : how many genes of each ranking

    Returns
    -------
    DataFrame
        See `sgm_core.analysis.planted.planted_precision`.

    Raises
    ------
    InputError
        If the cells were not simulated: nothing is known to be planted in them.

    Examples
    --------
    >>> sgm_core.planted(run).query("ranking == 'frequency'")  # doctest: +SKIP
    """
    from sgm_core.runs.planted import run_planted

    return run_planted(_run(run), arm, top)


def review_queue(
    run: str | Run,
    order: str = "lift",
    arm: str | None = None,
    level: str = "",
    genes: Iterable[str] | None = None,
    top: int = 100,
) -> list[str]:
    """Return the genes to review, as the page Review orders them.

    Parameters
    ----------
    run, arm : as in `masks`
    order : ``lift``, ``frequency``, ``above``, ``term`` or ``list``, see `sgm_core.review.queue.ORDERS`
    level : a cell type, to look at its cells alone
    genes : of ``term`` and ``list``
    top : how many at most

    Examples
    --------
    >>> sgm_core.review_queue(run, "above", level="HSC-like")[:10]  # doctest: +SKIP
    """
    from sgm_core.review.queue import queue

    by = "cell_type" if level else "all"
    return queue(masks(run, arm, by=by, level=level), order, genes, top)


def judge(
    run: str | Run,
    gene: str,
    verdict: str,
    reviewer: str,
    tags: str | Iterable[str] = (),
    comment: str = "",
    ranking: str = "",
    arm: str | None = None,
) -> None:
    """Say what a masked gene is; what was said before stays in the history (`sgm_core.review.history`).

    Parameters
    ----------
    run, arm : as in `masks`
    gene : a gene that the run could hide
    verdict : ``known``, ``plausible``, ``artefact`` or ``unclear``
    reviewer : who says so
    tags, comment : free text
    ranking : the queue in which the gene was met

    Raises
    ------
    InputError
        If the run could not hide the gene, or a value can't be kept.

    Examples
    --------
    >>> sgm_core.judge(run, "HOXA9", "known", "Ada")  # doctest: +SKIP
    >>> sgm_core.verdicts(run)  # doctest: +SKIP
    """
    from sgm_core.review import record
    from sgm_core.review.queue import statistics_version

    run = _run(run)
    stats = masks(run, arm)
    if gene not in set(stats["gene"]):
        raise InputError(f"run {run.id} could not hide {gene!r}: take one of its {len(stats):,} genes")
    version = statistics_version(stats)
    record(
        run, gene, verdict, reviewer, ranking=ranking, tags=tags, comment=comment, statistics_version=version
    )


def umap(
    of: str | Dataset | Run,
    seed: int | None = None,
    observer: Observer | None = None,
    cells: np.ndarray | None = None,
    name: str = "",
) -> pd.DataFrame:
    """Map the cells of a dataset (by PCA), or a run's vectors of its cells, with UMAP, and keep the map.

    Parameters
    ----------
    of : a dataset, a run, or the name or ID of one
    seed : with a seed the same map comes again, on one thread; without, all cores work at it
    observer : as in `pretrain`
    cells : row numbers of the dataset's cells to map by themselves, at least 5; all by default
    name : what the map of these cells is called

    Returns
    -------
    DataFrame
        cell (row number), x, y and, of a run, source (arm and fold).

    Examples
    --------
    >>> sgm_core.umap("aml").plot.scatter("x", "y")  # doctest: +SKIP
    """
    import pandas as pd

    return pd.read_parquet(run_umap(of, seed, observer, cells, name)[1])


def run_umap(
    of: str | Dataset | Run,
    seed: int | None = None,
    observer: Observer | None = None,
    cells: np.ndarray | None = None,
    name: str = "",
) -> tuple[Run, Path]:
    """Carry out what `umap` says; returns the run and the file of the map.

    Raises
    ------
    NotFoundError
        If there is neither a dataset nor a run of that name, or the run kept no vectors of its cells.
    InputError
        If the cells or the map's name can't be used.
    """
    from sgm_core.analysis.embedding import DATASET_EMBEDDING, pooled_files
    from sgm_core.cells.dataset import Dataset, list_datasets
    from sgm_core.runs.store import create_run

    if isinstance(of, str):
        of = next((dataset for dataset in list_datasets() if dataset.name == of), of)
    if isinstance(of, Dataset):
        if cells is not None:
            from sgm_core.runs.maps import create_map_run

            run = create_map_run(of, cells, name, seed)
            return _finished(run, observer), of.path / "embeddings" / f"{name}.parquet"
        parameters: dict[str, Any] = {"data": of.name, "seed": seed}
        run = create_run("umap", of.name, parameters, title=f"UMAP of {of.name}")
        return _finished(run, observer), of.path / "embeddings" / f"{DATASET_EMBEDDING}.parquet"
    try:
        mapped = _run(of)
    except NotFoundError as error:
        raise NotFoundError(
            f"{of!r} is neither a dataset nor a run: see 'sgm data list' and 'sgm runs list'"
        ) from error
    if cells is not None:
        raise InputError("some of the cells are mapped by themselves for a dataset only, not for a run")
    pooled_files(mapped.path)  # refused before a run is made that could only fail
    parameters = {"run": mapped.id, "seed": seed}
    run = create_run("umap", mapped.dataset_name, parameters, title=f"UMAP of {mapped.id}")
    return _finished(run, observer), mapped.table_path("embedding")


def write_report(
    run: str | Run,
    out: str | Path,
    format: str = "html",
    genesets: str | None = None,
    observer: Observer | None = None,
) -> Path:
    """Write what a run did and found as one document to send, as ``sgm report`` does; returns its path.

    Parameters
    ----------
    run : a comparison, a pretraining or a finetuning, or its ID
    out : the file, or the folder, to write; nothing may be there
    format : ``html`` (one file, interactive, needs no network), ``md`` or ``folder`` (Markdown, SVG and CSV)
    genesets : name of registered gene sets for the enrichment; by default the first of your own
    observer : as in `pretrain`

    Raises
    ------
    InputError
        If a run of this kind can't be reported, it has no results yet, or `out` is there already.
    NotFoundError
        If the run, its dataset or the gene sets are not there.

    Examples
    --------
    >>> sgm_core.write_report(run, "report.html")  # doctest: +SKIP
    """
    from sgm_core.report import write
    from sgm_core.report.build import check_reportable, make_report

    found, path = _run(run), Path(out)
    check_reportable(found)
    write.check_target(path, format)  # refused before all else is worked out
    return write.write_report(make_report(found, genesets, observer), path, format)


def _dataset(data: str | Dataset) -> Dataset:
    from sgm_core.cells.dataset import open_dataset

    return open_dataset(data) if isinstance(data, str) else data


def _run(run: str | Run) -> Run:
    from sgm_core.runs.store import open_run

    found = open_run(run) if isinstance(run, str) else run
    found.check_dataset()
    return found


def _gene_sets(name: str | Path) -> GeneSets:
    """Read a GMT file, or the registered gene sets of that name."""
    from sgm_core.resources.store import read_gene_sets, resource_path

    return read_gene_sets(Path(name) if Path(name).is_file() else resource_path("genesets", str(name)))


def _masks(run: Run, by: str = "all") -> pd.DataFrame:
    from sgm_core.runs.masks import mask_counts

    return _there(run, "masks", mask_counts(run, by))


def _table(run: Run, name: str) -> pd.DataFrame:
    return _there(run, name, run.read_table(name))


def _there(run: Run, name: str, found: pd.DataFrame | None) -> pd.DataFrame:
    if found is None:
        raise NotFoundError(f"run {run.id} ({run.state}) has no table {name!r} (yet)")
    return found


def carry_out(
    kind: str,
    config: Settings,
    dataset: Dataset,
    observer: Observer | None = None,
    source: str = "",
    launcher: str = "local",
    processes: int | None = None,
    priority: int = 0,
) -> Run:
    """Carry out a configuration, for the functions above and the command line.

    In this process, in several under torchrun, or under Slurm: then it returns as soon as that is asked for.

    Parameters
    ----------
    kind : pretrain, finetune, compare or sweep
    config : its configuration
    dataset : what it works on
    observer : is told messages, progress and metrics
    source : title of the pretraining that a finetuning starts from
    launcher : ``local``, ``torchrun`` or ``slurm``
    processes : how many work on it; by default what pays on this machine, and one under Slurm
    priority : of its waiting for the device, -100 to 100; higher is sooner

    Raises
    ------
    InputError
        If it can't fit into this machine's memory, or that of a job, with what would; it is not started then.
        If the launcher is not at hand here, or does not go with the run.
    """
    from sgm_core.estimate.fit import warnings
    from sgm_core.estimate.measured import kept
    from sgm_core.runs.follow import follow
    from sgm_core.runs.launch import launch
    from sgm_core.runs.launchers import check_launcher
    from sgm_core.runs.room import require_room
    from sgm_core.runs.store import create_run
    from sgm_core.runs.titles import run_title

    observer = observer or _silent()
    parameters = config.to_dict()
    check_launcher(launcher, processes, kind, parameters)
    room = require_room(config, dataset, launcher, processes, kept(config, dataset))
    for warning in warnings(room):
        observer.message(warning)
    title = run_title(kind, dataset.name, parameters, source)
    run = create_run(kind, dataset.name, parameters, title, device=parameters["device"], priority=priority)
    if launcher == "local":
        return _finished(run, observer, processes)
    observer.message(f"run {run.id}")
    launch(run, launcher, processes)
    return run if launcher == "slurm" else follow(run, observer)


def _finished(run: Run, observer: Observer | None, processes: int | None = None) -> Run:
    from sgm_core.runs.worker import run_in_foreground

    observer = observer or _silent()
    observer.message(f"run {run.id}")
    return run_in_foreground(run, observer, processes)


def _silent() -> Observer:
    from sgm_core.progress import Observer

    return Observer()

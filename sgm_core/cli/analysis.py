"""`sgm masks`, `sgm enrich` and `sgm umap`: what a finished run says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.progress import Observer
    from sgm_core.resources.gmt import GeneSets
    from sgm_core.runs.store import Run

_SHOWN = [
    "gene",
    "masked",
    "opportunities",
    "frequency",
    "mean_expression",
    "detection",
    "lift",
    "lift_low",
    "lift_high",
]
_TERMS = ["term", "go_id", "n_term", "n_hits", "fold_enrichment", "p_value", "q_value"]
_TITLES = {
    "frequency": "most masked genes of {arm}",
    "lift": "genes of {arm} masked most beyond their expression",
    "uniform": "control: most masked genes under uniform masks",
    "start": "control: most masked genes of {arm} before training",
    "expression": "control: genes of the highest mean expression",
    "inverse": "control: genes of the lowest mean expression",
}


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm masks``, ``sgm enrich`` and ``sgm umap``."""
    masks = add_command(
        sub, "masks", "which genes a run hid, and whether its masks are guided at all", _masks
    )
    masks.add_argument("run", metavar="RUN", help="ID of the run (sgm runs list)")
    masks.add_argument("--arm", help="the arm to show (default self-guided)")
    masks.add_argument("--fold", type=int, default=-1, help="one fold (default all, summed)")
    masks.add_argument("--by", default="all", help="cell_type, donor, timepoint or epoch, with --level")
    masks.add_argument("--level", default="", help="the cell type, donor ... to show")
    masks.add_argument("--top", type=int, default=20, help="genes to print in each list (default 20)")
    masks.add_argument(
        "--biology", type=int, nargs="?", const=100, metavar="N",
        help="what the N (default 100) most masked genes are: transcription factors and signatures, against "
        "genes of equal expression and controls; kept beside the run as biology.csv",
    )  # fmt: skip
    enrich = add_command(sub, "enrich", "what the most masked genes, or any list of genes, do", _enrich)
    enrich.add_argument("run", metavar="RUN", nargs="?", help="ID of the run; or --genes and --universe")
    enrich.add_argument(
        "--genesets", required=True, metavar="GMT", help="a GMT file, or the name of a resource"
    )
    enrich.add_argument("--arm", help="the arm (default self-guided)")
    enrich.add_argument("--top", type=int, default=200, help="length of a run's gene lists (default 200)")
    enrich.add_argument(
        "--by", choices=("frequency", "lift"), help="one ranking (default: both, and the controls)"
    )
    enrich.add_argument(
        "--genes", type=Path, metavar="FILE", help="a list of genes, one a line, or a table with them"
    )
    enrich.add_argument("--universe", metavar="FILE|gmt", help="its universe; gmt: all genes of the GMT")
    enrich.add_argument(
        "--aliases", metavar="MAP", help="alias table for --genes, file or name (default: the registered one)"
    )
    enrich.add_argument(
        "--exact", action="store_true", help="take --genes as written: no aliases, dates, suffixes or case"
    )
    enrich.add_argument(
        "--min-size", type=int, default=5, help="smallest term tested (default 5; 0: no limit)"
    )
    enrich.add_argument(
        "--max-size", type=int, default=500, help="largest term tested (default 500; 0: no limit)"
    )
    enrich.add_argument(
        "--without-artefacts", action="store_true",
        help="leave out genes that most of their reviewers call artefacts (sgm review)",
    )  # fmt: skip
    enrich.add_argument(
        "--prerank", action="store_true", help="rank all of the run's genes instead of a top list"
    )
    enrich.add_argument("--seed", type=int, default=0, help="of the permutations of --prerank (default 0)")
    enrich.add_argument("--show", type=int, default=10, metavar="N", help="terms to print (default 10)")
    umap = add_command(
        sub, "umap", "map a dataset's cells (PCA), or a run's pooled vectors, with UMAP", _umap
    )
    umap.add_argument("name", metavar="RUN|NAME", help="ID of a run, or name of a dataset")
    umap.add_argument(
        "--seed", type=int, help="the same map each time, on one thread (default: no seed, all cores, faster)"
    )
    umap.add_argument(
        "--cells", type=Path, metavar="FILE", help="map these cells alone: names or row numbers, text or .npy"
    )
    umap.add_argument("--name", dest="map_name", metavar="MAP", help="what the map of --cells is called")


def _masks(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.analysis.diagnostic import diagnostic, mask_basis
    from sgm_core.analysis.mask_budgets import budget_sentence
    from sgm_core.analysis.mask_models import model_residuals, model_rows
    from sgm_core.analysis.masks import default_arm, gene_statistics, mask_arms, mask_levels
    from sgm_core.analysis.verdict import agreement_sentence, clearly_guided, verdict
    from sgm_core.errors import InputError
    from sgm_core.runs.biology import registered_sets
    from sgm_core.runs.masks import mask_groups
    from sgm_core.runs.store import open_run

    if args.biology is not None:
        if args.fold >= 0:
            raise InputError("--biology takes all folds together: leave --fold out")
        registered_sets()  # refused before all else is worked out
    run = open_run(args.run)
    run.check_dataset()
    masks, cells, start = _masks_of(run, args.by), _table(run, "mask_cells"), run.read_table("masks_start")
    arm = args.arm or default_arm(masks)
    models = {name: model_residuals(model_rows(masks, name, args.fold)) for name in mask_arms(masks)}
    stats = gene_statistics(
        masks, arm=arm, fold=args.fold, by=args.by, level=args.level, models=models.get(arm)
    )
    basis = mask_basis(run.parameters)
    facts = {name: diagnostic(masks, cells, name, args.fold, basis, start, models[name]) for name in models}
    arms: dict[str, dict[str, Any]] = {}
    for name, d in facts.items():
        found = verdict(d)
        facts_of = {"verdict": found.sentence, "confidence": found.confidence, "diagnostic": d}
        arms[name] = facts_of | {"agreement": agreement_sentence(d), "clear": clearly_guided(d)}
    data: dict[str, Any] = {"run": run.id, "arm": arm, **arms[arm], "arms": arms}
    data["levels"] = mask_levels(_there(run, "masks", mask_groups(run)))
    data["genes"] = stats.to_dict("records")
    lines = [f"{name}: {found['verdict']} [{found['confidence']}]" for name, found in arms.items()]
    lines += ["", *_diagnostic_lines(facts[arm]), f"  {arms[arm]['agreement']}", f"  {arms[arm]['clear']}"]
    if said := budget_sentence(cells):
        lines.append(f"  {said}")
    group = f", {args.by} {args.level}" if args.by != "all" else ""
    for by in ("frequency", "lift"):
        title = _TITLES[by].format(arm=arm).capitalize() + group
        lines += ["", *_gene_lines(stats, by, args.top, title)]
    if args.biology is not None:
        from sgm_core.cli.biology import biology_of

        data["biology"], more = biology_of(run, arm, models[arm], facts[arm], args.biology)
        lines += more
    return Output(data, "\n".join(lines))


def _gene_lines(stats: pd.DataFrame, by: str, top: int, title: str) -> list[str]:
    """List the first genes of an order; by lift, those whose lower bound is above 1."""
    from sgm_core.analysis.masks import lift_problem, preferred_genes, top_genes
    from sgm_core.analysis.rankings import NO_PREFERENCE

    if by == "lift":
        problem = lift_problem(stats)
        genes = [] if problem else preferred_genes(stats)[:top]
        if not genes:
            return [f"{title}: {problem or NO_PREFERENCE}"]
    else:
        genes = top_genes(stats, by, top)
    return [title, _text(stats.set_index("gene", drop=False).loc[genes, _SHOWN])]


def _diagnostic_lines(d: dict[str, Any]) -> list[str]:
    last, first = d["effective_share_last_epoch"], d["effective_share_start"]
    fixed = " (fixed by the basis)" if d["basis"] == "strata" else ""
    low, high = d["rank_correlation_low"], d["rank_correlation_high"]
    start = d["start"]
    before = f"; before training {start['residual_sd']:.1%}" if start else "; before training: not kept"
    added = f", training changed them by {d['added_sd']:.1%}" if start else ""
    models = f"{d['seeds']} seeds x {d['folds']} folds" if d["seeds"] > 1 or d["folds"] > 1 else "one model"
    lines = [
        f"{d['arm']}: {d['n_genes']:,} genes, {d['draws']:,} draws, {models}",
        f"  effective share {d['effective_share']:.3f} (1 = uniform), before training {_or_not_kept(first)}, "
        f"last epoch {last:.3f}",
        f"  masked share {d['masked_share']:.3f}, hidden share of a cell's counts "
        f"{_or_not_kept(d['hidden_counts'])}",
        f"  non-zero share {d['nonzero_share']:.3f}, base rate {d['base_rate']:.3f}{fixed}",
        f"  SD of gene frequencies beyond chance {d['spread']:.4f} = {d['spread_relative']:.1%} of the mean"
        f" (against a draw over all positions {d['spread_free_relative']:.1%})",
        f"  rank correlation with mean expression {d['rank_correlation']:.2f} ({low:.2f} to {high:.2f})",
        f"  genes of equal expression differ by {d['residual_sd']:.1%}{before}{added}",
        f"  being masked explains {d['value_leak']:.1%} of a value's variance",
    ]
    if d["seeds"] > 1:
        low, high = d["reproducible_sd_low"], d["reproducible_sd_high"]
        again = f"  of which comes back with every seed {d['reproducible_sd']:.1%} ({low:.1%} to {high:.1%})"
        lines.insert(-1, f"{again}, of one seed alone {d['own_sd']:.1%}")
    return lines


def _or_not_kept(value: float) -> str:
    return "not kept" if value != value else f"{value:.3f}"


def _enrich(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.errors import InputError

    path, sets = _gene_sets(args.genesets)
    if args.run and (args.genes or args.universe):
        raise InputError("give a run, or --genes with --universe, not both")
    if not args.run:
        if args.without_artefacts:
            raise InputError("--without-artefacts needs a run: verdicts are on a run's genes")
        return _enrich_list(args, path, sets)
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    run.check_dataset()
    return (_prerank if args.prerank else _enrich_run)(args, run, path, sets)


def _enrich_list(args: argparse.Namespace, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.enrichment import over_representation
    from sgm_core.analysis.universe import fit_list, fit_terms
    from sgm_core.cells.gene_lists import read_genes
    from sgm_core.errors import InputError

    if not (args.genes and args.universe):
        raise InputError("give the ID of a run, or --genes FILE with --universe FILE (or gmt)")
    if args.prerank:
        raise InputError("--prerank needs a run: a list of genes has no ranking statistic")
    asked = read_genes(args.genes)
    notes = [*sets.put_right, *asked.notes]
    if args.universe == "gmt":
        universe = tuple(sorted(sets.genes))
    else:
        pool = read_genes(args.universe)
        universe, notes = pool.genes, [*notes, *pool.notes]
    aliases, said = read_alias_table(args.aliases)
    fitted = fit_list(asked.genes, universe, aliases, args.exact)
    if any(note.startswith("mapped by alias") for note in fitted.notes):
        notes += said
    terms, changed = fit_terms(sets.terms, universe)
    notes += [*fitted.notes, *changed]
    genes = fitted.genes or asked.genes
    table = over_representation(genes, universe, terms, args.min_size or None, args.max_size or None)
    counts = {str(name): value for name, value in table.attrs.items()}
    outside = len(fitted.outside)
    counts["n_list_outside"] = outside
    data = {"genesets": path.name, **counts, "notes": notes, "terms": table.to_dict("records")}
    head = _counts_line(path, table.attrs["n_universe"], table.attrs["n_terms"])
    head += f"; list: {table.attrs['n_list']:,} genes" + (
        f" ({outside:,} outside the universe)" if outside else ""
    )
    shown = (
        _text(table[_TERMS].head(args.show)) if len(table) else "no term has an eligible size: see --min-size"
    )
    return Output(data, "\n".join([head, *(f"  {note}" for note in notes), "", shown]))


def _enrich_run(args: argparse.Namespace, run: Run, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.enrichment import enrich_run
    from sgm_core.errors import InputError

    without, said = _artefacts(args, run)
    result = enrich_run(
        _masks_of(run), sets.terms, args.arm, args.top, args.min_size or None, args.max_size or None, without
    )
    if args.by and args.by not in result.lists:
        raise InputError(f"run {run.id}: {result.notes[args.by]}")
    table = result.table[result.table["ranking"] == args.by] if args.by else result.table
    run.table("enrichment", result.table.assign(arm=result.arm, library=path.name, top=args.top))
    rankings = list(dict.fromkeys(table["ranking"]))
    n_terms = int((result.table["ranking"] == rankings[0]).sum())
    data: dict[str, Any] = {"run": run.id, "arm": result.arm, "genesets": path.name, "top": args.top}
    data |= {"n_universe": len(result.universe), "n_terms": n_terms}
    data["notes"] = [*sets.put_right, *result.changes, *said]
    data["lists"] = {name: result.lists[name] for name in rankings}
    data["rankings_left_out"] = result.notes
    data["terms"] = table.to_dict("records")
    lines = [_counts_line(path, len(result.universe), n_terms) + f"; lists: top {args.top}"]
    lines += [f"{note[0].upper()}{note[1:]}" for note in result.notes.values()]
    lines += [f"  {note}" for note in data["notes"]]
    for name in rankings:
        rows = table[table["ranking"] == name]
        found = int((rows["q_value"] < 0.05).sum())
        title = _TITLES[name].format(arm=result.arm).capitalize()
        lines += ["", f"{title}: {found} terms at q < 0.05", _text(rows[_TERMS].head(args.show))]
    return Output(data, "\n".join(lines))


def _prerank(args: argparse.Namespace, run: Run, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.enrichment import prerank
    from sgm_core.analysis.masks import default_arm, gene_statistics, lift_problem
    from sgm_core.analysis.universe import fit_terms
    from sgm_core.errors import InputError

    masks = _masks_of(run)
    arm, by = args.arm or default_arm(masks), args.by or "frequency"
    without, said = _artefacts(args, run)
    stats = gene_statistics(masks, arm=arm).set_index("gene").drop(index=without, errors="ignore")
    if by == "lift" and (problem := lift_problem(stats)):
        raise InputError(f"run {run.id} can't be ranked by lift: {problem}")
    terms, changed = fit_terms(sets.terms, stats.index)
    table = prerank(stats[by], terms, args.min_size or 1, args.max_size or len(stats), seed=args.seed)
    data: dict[str, Any] = {"run": run.id, "arm": arm, "by": by, "genesets": path.name}
    data["n_universe"] = len(stats)
    notes = [*sets.put_right, *changed, *said]
    data["notes"] = notes
    shown = table.reindex(table["p_value"].sort_values(kind="stable").index).head(args.show)
    head = (
        _counts_line(path, len(stats), len(table)) + f"; all genes of {arm} ranked by {by}, seed {args.seed}"
    )
    head = "\n".join([head, *(f"  {note}" for note in notes)])
    text = f"{head}\n\n{_text(shown.drop(columns='genes'))}"
    return Output(data | {"n_terms": len(table), "seed": args.seed, "terms": table.to_dict("records")}, text)


def _umap(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.api import run_umap
    from sgm_core.cells.cell_list import read_cells
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.errors import InputError

    if bool(args.cells) != bool(args.map_name):
        raise InputError("give --cells FILE and --name MAP together: the cells to map, and the map's name")
    cells = read_cells(open_dataset(args.name), args.cells) if args.cells else None
    run, target = run_umap(args.name, args.seed, observer, cells, args.map_name or "")
    return Output({"run": run.id, "path": str(target)}, str(target))


def _artefacts(args: argparse.Namespace, run: Run) -> tuple[list[str], list[str]]:
    """Return the genes to leave out as artefacts, and what is to be said of that."""
    from sgm_core.review import artefacts, left_out_sentence

    genes = artefacts(run) if args.without_artefacts else []
    return genes, [left_out_sentence(genes)] if args.without_artefacts else []


def _gene_sets(name: str) -> tuple[Path, GeneSets]:
    """Read a GMT file, or the registered gene sets of that name."""
    from sgm_core.resources.store import read_gene_sets, resource_path

    path = Path(name) if Path(name).is_file() else resource_path("genesets", name)
    return path, read_gene_sets(path)


def read_alias_table(given: str | None) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the alias table that is asked for, else the first registered one, and which it is."""
    from sgm_core.cells.genes import read_aliases
    from sgm_core.resources.store import list_resources, resource_path

    if given:
        path = Path(given) if Path(given).is_file() else resource_path("aliases", given)
        return read_aliases(path), [f"aliases from {path.name}"]
    for resource in list_resources("aliases"):
        return read_aliases(resource.path), [f"aliases from the registered table {resource.name}"]
    return {}, ["aliases from the built-in renamings"]


def _masks_of(run: Run, by: str = "all") -> pd.DataFrame:
    from sgm_core.runs.masks import mask_counts

    return _there(run, "masks", mask_counts(run, by))


def _table(run: Run, name: str) -> pd.DataFrame:
    return _there(run, name, run.read_table(name))


def _there(run: Run, name: str, table: pd.DataFrame | None) -> pd.DataFrame:
    from sgm_core.errors import NotFoundError

    if table is None:
        raise NotFoundError(
            f"run {run.id} has no table {name!r}: it is a {run.kind} run in state {run.state}; "
            "masks come from 'sgm compare' and 'sgm pretrain'"
        )
    return table


def _counts_line(path: Path, n_universe: int, n_terms: int) -> str:
    return f"{path.name}: {n_terms:,} terms of eligible size; universe: {n_universe:,} genes"


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.4g}")

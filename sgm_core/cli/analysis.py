"""`sgm masks` and `sgm umap`: what a finished run says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.progress import Observer
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
    "lift_q",
]
_TITLES = {
    "frequency": "most masked genes of {arm}",
    "lift": "genes of {arm} masked most beyond their expression",
}


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm masks`` and ``sgm umap``."""
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
    masks.add_argument(
        "--planted", action="store_true",
        help="of a run on simulated cells: how many of the 50 most masked genes the simulator planted",
    )  # fmt: skip
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
    if args.planted:
        data["planted"], more = _planted(run, arm)
        lines += more
    if args.biology is not None:
        from sgm_core.cli.biology import biology_of

        data["biology"], more = biology_of(run, arm, models[arm], facts[arm], args.biology)
        lines += more
    return Output(data, "\n".join(lines))


def _planted(run: Run, arm: str) -> tuple[dict[str, Any], list[str]]:
    """Return what a run on simulated cells found of what was planted, and lines that say it."""
    from sgm_core.analysis.planted import group_sentence, planted_by_group, planted_sentence
    from sgm_core.resources.panel import planted_in_types
    from sgm_core.runs.masks import mask_counts
    from sgm_core.runs.planted import run_planted

    table = run_planted(run, arm)
    types = planted_by_group(_there(run, "masks", mask_counts(run, "cell_type")), planted_in_types(), arm)
    said = [planted_sentence(table, name) for name in dict.fromkeys(table["planted"])]
    said.append(group_sentence(types))
    lines = [
        "",
        "What was planted (SIMULATED cells)",
        *(f"{each.sentence} [{each.confidence}]" for each in said),
    ]
    data = {"rankings": table.to_dict("records"), "cell_types": types.to_dict("records")}
    return data | {"sentences": [each._asdict() for each in said]}, lines


def _gene_lines(stats: pd.DataFrame, by: str, top: int, title: str) -> list[str]:
    """List the first genes of an order; by lift, those hidden more than their equals."""
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


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.4g}")

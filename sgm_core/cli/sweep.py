"""``sgm sweep``: a search over settings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command
from sgm_core.cli.train import (
    add_launcher,
    add_priority,
    changes,
    dry_run,
    given_of,
    nested_changes,
    submitted,
)

if TYPE_CHECKING:
    from sgm_core.progress import Observer
    from sgm_core.runs.store import Run


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    from sgm_core.comparison.config import ARMS
    from sgm_core.model.sizes import usual_backbone
    from sgm_core.sweeps.config import PRUNERS, SAMPLERS
    from sgm_core.training.config import SCHEMES

    parser = add_command(sub, "sweep", "search over settings, scored on validation donors alone", _sweep)
    parser.add_argument("data", metavar="DATASET", help="name of an imported dataset")
    parser.add_argument(
        "--space", nargs="+", default=[], metavar="FIELD=VALUES",
        help="what is searched: lr_backbone=1e-5..1e-3:log, finetune.epochs=2..8, R=1,2,4",
    )  # fmt: skip
    usual = f"a size or imported weights; default {usual_backbone()}"
    parser.add_argument("--backbone", metavar="NAME", help=usual)
    parser.add_argument("--arm", choices=list(ARMS), help="whose settings (default self-guided)")
    parser.add_argument("--scheme", choices=SCHEMES, help="how a trial names cells (default linear-probe)")
    parser.add_argument("--trials", type=int, help="settings, the default one among them (default 20)")
    parser.add_argument("--sampler", choices=list(SAMPLERS), help="who chooses the next one (default tpe)")
    parser.add_argument(
        "--pruner", choices=list(PRUNERS), help="whether poor ones end early (default median)"
    )
    parser.add_argument("--split", choices=("cv", "holdout"), help="donor folds, or the paper's hold-out")
    parser.add_argument("--n-folds", type=int, help="number of donor folds (default 5)")
    parser.add_argument("--fold", type=int, help="the fold whose test donors are held back (default 0)")
    parser.add_argument("--folds", type=int, help="other folds that validate, each in turn (default: all)")
    parser.add_argument("--label", help="label column (default: the cell type column)")
    parser.add_argument("--train-cells", metavar="N", help="training cells an epoch; none = all")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int)
    add_launcher(parser)
    add_priority(parser)
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE",
        help="change a field for all trials, for example pretrain.epochs=2 finetune.head=mlp",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, and say what the sweep would take"
    )
    parser.add_argument("--no-probe", action="store_true", help="with --dry-run: measure nothing")


def _sweep(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.api import carry_out
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.sweeps.config import SweepConfig

    dataset = open_dataset(args.data)
    names = ("data", "backbone", "arm", "scheme", "trials", "sampler", "pruner", "split", "n_folds", "fold")
    values = given_of(args, *names, "folds", "label", "train_cells", "device", "seed")
    config = SweepConfig.from_dict({**values, "space": args.space, **nested_changes(changes(args.set))})
    config.require_space()
    launcher = args.launcher or "local"
    if args.dry_run:
        return dry_run(config, dataset, not args.no_probe, observer, launcher, args.processes)
    run = carry_out("sweep", config, dataset, observer, "", launcher, args.processes, args.priority)
    return _found(run) if run.state == "done" else submitted(run)


def _found(run: Run) -> Output:
    """Say what a finished sweep found, and how it is confirmed."""
    from sgm_core.report.repeat import compare_command
    from sgm_core.sweeps.config import SweepConfig
    from sgm_core.sweeps.verdict import verdict
    from sgm_core.sweeps.words import comparison_of, setting_of, setting_text

    trials, folds = run.read_table("trials"), run.read_table("fold_scores")
    assert trials is not None and folds is not None
    config = SweepConfig.from_dict(run.parameters)
    data: dict[str, Any] = {"run": run.id, "state": run.state, "path": str(run.path)}
    data["trials"] = trials.to_dict("records")
    lines = [f"run {run.id}: {run.state}"]
    best = trials[trials["state"] == "done"].sort_values("score", ascending=False, kind="stable").head(5)
    for number, score in zip(best["number"].tolist(), best["score"].tolist(), strict=True):
        setting = "the default" if number == 0 else setting_text(setting_of(trials, number))
        lines.append(f"  trial {number:>3}  macro F1 {score:.3f}  {setting}")
    found = verdict(trials, folds)
    if found is None:
        return Output(data, "\n".join([*lines, "no setting but the default was scored"]))
    data["verdict"] = {**vars(found), "better": found.better, "sentence": found.sentence}
    lines += [f"{found.sentence}.", found.caution]
    if found.best:
        data["confirm"] = [
            compare_command(comparison_of(config, one).to_dict())
            for one in (setting_of(trials, found.best), {})
        ]
        lines += [
            f"To confirm it: score this setting, then the default one, on test donors, once. Only those of "
            f"fold {config.fold} had no part in this search.",
            *(f"  {command}" for command in data["confirm"]),
        ]
    return Output(data, "\n".join(lines))

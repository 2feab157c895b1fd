"""``sgm pretrain``, ``sgm finetune`` and ``sgm compare``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command
from sgm_core.errors import InputError
from sgm_core.runs.states import HIGHEST

if TYPE_CHECKING:
    from sgm_core.cells.dataset import Dataset
    from sgm_core.progress import Observer
    from sgm_core.runs.store import Run
    from sgm_core.training.config import Settings


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add the commands."""
    from sgm_core.comparison.config import ARMS
    from sgm_core.training.config import FINETUNE_PRESETS, MASKERS, PRESETS, SCHEMES

    pretrain = add_command(sub, "pretrain", "pretrain a backbone by masked reconstruction", _pretrain)
    pretrain.add_argument("--data", required=True, help="name of an imported dataset")
    _add_corpus(pretrain)
    _add_backbone(pretrain)
    pretrain.add_argument("--masker", choices=MASKERS, default="self-guided")
    pretrain.add_argument(
        "--preset", choices=list(PRESETS), default="sgm", help="fields that differ by source"
    )
    _add_split(pretrain)
    pretrain.add_argument("--fold", type=int, help="hide the test donors of this fold (default: shared)")
    _add_machine(pretrain)

    finetune = add_command(
        sub, "finetune", "train a cell-type classifier on a pretraining run or on imported weights", _finetune
    )
    finetune.add_argument("--run", help="ID of a pretraining run")
    _add_backbone(finetune, sizes=False)
    finetune.add_argument("--data", help="name of an imported dataset, with --backbone; a run has its own")
    finetune.add_argument("--scheme", choices=SCHEMES, default="linear-probe")
    finetune.add_argument(
        "--preset", choices=list(FINETUNE_PRESETS), default="sgm", help="fields that differ by source"
    )
    _add_split(finetune)
    finetune.add_argument("--fold", type=int, help="one fold of shared pretraining (default: all)")
    finetune.add_argument("--label", help="label column (default: the cell type column)")
    _add_machine(finetune)

    compare = add_command(
        sub, "compare", "every arm and baseline over donor folds: does masking help?", _compare
    )
    compare.add_argument("--data", required=True, help="name of an imported dataset")
    _add_corpus(compare)
    _add_backbone(compare)
    compare.add_argument(
        "--preset", choices=list(PRESETS), help="fields of pretraining and finetuning that differ by source"
    )
    _add_split(compare)
    compare.add_argument("--folds", type=int, default=5, help="number of donor folds")
    compare.add_argument("--label", help="label column (default: the cell type column)")
    compare.add_argument(
        "--arms", nargs="+", choices=list(ARMS), help="default: the usual ones of the backbone"
    )
    compare.add_argument(
        "--seeds",
        type=int,
        help="seeds of each primary arm, each a model of its own (default 3)",
    )
    compare.add_argument(
        "--seeded", choices=("primary", "all"), help="which arms run with every seed (default: primary)"
    )
    compare.add_argument("--schemes", nargs="+", choices=SCHEMES, default=["linear-probe", "partial"])
    compare.add_argument(
        "--labels",
        metavar="N,N,all",
        help="labelled cells a class to learn from, such as 10,30,100,all (default: all)",
    )
    compare.add_argument(
        "--label-draws", type=int, metavar="N", help="draws of the cells at each number of labels (default 3)"
    )
    _add_machine(compare, example="pretrain.epochs=2 finetune.lr=3e-4")


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        type=lambda names: names.split(","),
        metavar="A,B,C",
        help="further datasets to pretrain on, without their labels and without copies of --data's cells and "
        "of its test donors",
    )
    parser.add_argument(
        "--corpus-genes",
        choices=("intersection", "union"),
        help="genes that every dataset of the corpus measured (default), or all of --data's",
    )


def _add_split(parser: argparse.ArgumentParser) -> None:
    from sgm_core.training.config import SPLITS

    parser.add_argument(
        "--split",
        choices=list(SPLITS),
        help="donor folds (cv, default), the paper's hold-out, or its draws",
    )


def _add_backbone(parser: argparse.ArgumentParser, sizes: bool = True) -> None:
    from sgm_core.model.sizes import SIZES, usual_backbone

    named = "imported weights (`sgm weights list`)"
    if sizes:
        usual = f"default {usual_backbone()}, and {usual_backbone('paper')} with another preset than sgm"
        named = f"a size ({', '.join(SIZES)}) or {named}; {usual}"
    parser.add_argument("--backbone", metavar="NAME", help=named)
    parser.add_argument(
        "--weights-key", choices=("cell", "gene", "rde"), help="set of imported weights (default: gene)"
    )


def _add_machine(parser: argparse.ArgumentParser, example: str = "epochs=2 mask_ratio=0.15") -> None:
    from sgm_core.training.config.settings import ALL_UP_TO, BEYOND

    parser.add_argument(
        "--train-cells",
        metavar="N",
        help="training cells an epoch, drawn balanced over classes and donors; none = all (default: all in "
        f"up to {ALL_UP_TO:,} cells, {BEYOND:,} in more)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    add_launcher(parser)
    add_priority(parser)
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", help=f"change any field, for example {example}"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, measure three steps, and say what the run would take",
    )
    parser.add_argument("--no-probe", action="store_true", help="with --dry-run: measure nothing")


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--processes``."""
    from sgm_core.runs.launchers import LAUNCHERS

    parser.add_argument(
        "--launcher",
        choices=list(LAUNCHERS),
        help="local (default), torchrun (several processes train one model), or slurm ([slurm] of "
        "config.toml in the home folder says what its jobs ask for; a comparison is an array of jobs)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes that train one model, or that work on a comparison's tasks at once",
    )


def add_priority(parser: argparse.ArgumentParser) -> None:
    """Add ``--priority``."""
    parser.add_argument(
        "--priority",
        type=int,
        default=0,
        metavar="N",
        help=f"of its waiting for the device, {-HIGHEST} to {HIGHEST}; higher is sooner",
    )


def changes(pairs: list[str]) -> dict[str, str]:
    """Return what ``--set`` was given, by field."""
    found = {}
    for pair in pairs:
        field, sign, value = pair.partition("=")
        if not sign or not field:
            raise InputError(f"--set {pair!r} can't be read: write FIELD=VALUE, for example epochs=2")
        found[field] = value
    return found


def nested_changes(fields: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return fields of pretraining and finetuning by part."""
    nested: dict[str, dict[str, Any]] = {"pretrain": {}, "finetune": {}}
    for field, value in fields.items():
        part, _, name = field.partition(".")
        if part not in nested or not name:
            raise InputError(f"--set {field}: write pretrain.FIELD=VALUE or finetune.FIELD=VALUE")
        nested[part][name] = value
    return nested


def given_of(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the arguments that were given; one that was not leaves the field's default."""
    values = {name: getattr(args, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _pretrain(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.training.config import pretrain_config

    dataset = open_dataset(args.data)
    given = given_of(
        args,
        "data",
        "corpus",
        "corpus_genes",
        "backbone",
        "weights_key",
        "masker",
        "split",
        "fold",
        "device",
        "precision",
        "seed",
        "train_cells",
    )
    config = pretrain_config(args.preset, **{**given, **changes(args.set)})
    return _try_or_run("pretrain", config, dataset, args, observer)


def _finetune(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.runs.store import open_run
    from sgm_core.training.config import finetune_config

    names = ("run", "scheme", "split", "fold", "label", "device", "precision", "seed", "train_cells")
    given = {**given_of(args, *names), **changes(args.set)}
    if bool(args.run) == bool(args.backbone):
        raise InputError("give one: --run ID (a pretraining run) or --backbone NAME --data DATASET")
    if args.run:
        source = open_run(args.run)
        args.run = given["run"] = source.id  # the latest run is another one as soon as this one is made
        if args.weights_key:
            raise InputError(f"--weights-key goes with --backbone: run {args.run} has weights of its own")
        if args.data not in (None, source.dataset_name):
            raise InputError(
                f"run {args.run} was pretrained on {source.dataset_name!r}, not on {args.data!r}: "
                "leave --data out"
            )
        source.check_dataset()
        backbone = source.parameters.get("backbone", "")
        title, data = source.title, source.dataset_name
    else:
        if not args.data:
            raise InputError(f"--backbone {args.backbone} needs --data DATASET: cells to finetune it on")
        backbone, title, data = args.backbone, "", args.data
        given |= given_of(args, "data", "weights_key")
    config = finetune_config(backbone, **{"preset": args.preset, **given})
    return _try_or_run("finetune", config, open_dataset(data), args, observer, title)


def _compare(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.config import CompareConfig

    dataset = open_dataset(args.data)
    nested: dict[str, dict[str, Any]] = {"pretrain": {}, "finetune": {}}
    if args.precision != "fp32":
        nested = {part: {"precision": args.precision} for part in nested}
    if args.preset:
        for fields in nested.values():
            fields["preset"] = args.preset
    nested["pretrain"] |= given_of(args, "corpus", "corpus_genes", "weights_key")
    for part, fields in nested_changes(changes(args.set)).items():
        nested[part] |= fields
    given = given_of(
        args, "data", "backbone", "split", "folds", "label", "arms", "schemes", "seeds", "seeded"
    )
    given |= given_of(args, "device", "seed", "train_cells", "labels", "label_draws")
    config = CompareConfig.from_dict({**given, **nested})
    return _try_or_run("compare", config, dataset, args, observer)


def _try_or_run(
    kind: str,
    config: Settings,
    dataset: Dataset,
    args: argparse.Namespace,
    observer: Observer,
    source: str = "",
) -> Output:
    """Say what the run would take, or carry it out; one that can't fit is refused either way."""
    from sgm_core.api import carry_out

    launcher = args.launcher or "local"
    if args.dry_run:
        return dry_run(config, dataset, not args.no_probe, observer, launcher, args.processes)
    run = carry_out(kind, config, dataset, observer, source, launcher, args.processes, args.priority)
    return _result(run) if run.state == "done" else submitted(run)


def dry_run(
    config: Settings,
    dataset: Dataset,
    measures: bool,
    observer: Observer,
    launcher: str = "local",
    processes: int | None = None,
) -> Output:
    """Say what a run would take where it is to be carried out."""
    from dataclasses import asdict

    from sgm_core.estimate.fit import warnings
    from sgm_core.estimate.measured import kept
    from sgm_core.estimate.text import report
    from sgm_core.runs.measure import measure
    from sgm_core.runs.room import require_room

    if measures:
        observer.message("measuring a few steps; --no-probe measures nothing")
    # what was measured earlier holds either way, as it does on New run and when the run is started
    parts = measure(config, dataset) if measures else kept(config, dataset)
    estimate = require_room(config, dataset, launcher, processes, parts)
    said = {**asdict(estimate), "warnings": warnings(estimate), "parts": parts}
    return Output({"parameters": config.to_dict(), "estimate": said}, report(estimate))


def submitted(run: Run) -> Output:
    """Say where a run is that another machine carries out."""
    from sgm_core.runs.launchers import launcher_of

    status = run.status
    who = launcher_of(status).named(status)
    text = f"run {run.id}: {status['state']}, {who}; `sgm runs show {run.id}` follows it"
    return Output(
        {"run": run.id, "state": status["state"], "path": str(run.path), "jobs": status["jobs"]}, text
    )


def _result(run: Run) -> Output:
    """Say what a finished run found: its scores, or its masks' last epoch."""
    data: dict[str, Any] = {"run": run.id, "state": run.state, "path": str(run.path)}
    lines = [f"run {run.id}: {run.state}"]
    from sgm_core.analysis.tally import trained_on

    summary, paired = run.read_table("summary"), run.read_table("paired")
    folds, cells = run.read_table("folds"), run.read_table("mask_cells")
    if summary is not None:
        main = summary[summary["metric"] == "macro_f1"].sort_values("mean", ascending=False)
        data["summary"] = summary.to_dict("records")
        lines.append("macro F1 over donor folds, mean and 95 % interval")
        if folds is not None and "draw" in folds:
            lines[-1] = "macro F1, mean over draws of one split's test cells: no donor folds, no interval"
        lines += [
            f"  {row.arm:20} {row.scheme:13} {row.mean:.3f}  {row.low:.3f} to {row.high:.3f}"
            for row in main.itertuples()
        ]
        if folds is not None and (said := trained_on(folds)):
            lines.append(said)
        if paired is not None and folds is not None:
            from sgm_core.analysis.statistics import comparison_sentence, paired_table

            data["paired"] = paired.to_dict("records")
            # judged anew: a run of an older version has no roles in its table
            judged = paired_table(folds, schemes=run.parameters.get("schemes"))
            chosen = judged[(judged["metric"] == "macro_f1") & (judged["arm_a"] == "self-guided")]
            lines += [f"{row['scheme']}: {comparison_sentence(row)}" for _, row in chosen.iterrows()]
    elif folds is not None:
        data["folds"] = folds.to_dict("records")
        lines += [
            f"  fold {row.fold}: macro F1 {row.macro_f1:.3f}, weighted {row.weighted_f1:.3f} "
            f"({row.n_test:,} test cells of {row.test_donors})"
            for row in folds.itertuples()
        ]
        if said := trained_on(folds):
            lines.append(said)
    elif cells is not None:
        last = cells.iloc[-1]
        data["masks"] = last.to_dict()
        lines.append(
            f"effective share of genes {last.effective_share:.2f} (1 = uniform), "
            f"{last.nonzero_share:.0%} of the masked positions expressed ({last.base_rate:.0%} of all are); "
            f"`sgm masks {run.id}` says more, `sgm finetune --run {run.id}` trains a classifier"
        )
    return Output(data, "\n".join(lines))

"""``sgm model`` and ``sgm annotate``: keep a classifier with its card, and name new cells with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command
from sgm_core.errors import InputError

if TYPE_CHECKING:
    from sgm_core.annotation.store import Model
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add the commands."""
    parser = sub.add_parser("model", help="keep a compared classifier as a model that names new cells")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    fit = add_command(
        group, "fit", "fit a model on all donors, calibrated on donors that were held out", _fit
    )
    fit.add_argument(
        "run", nargs="?", metavar="RUN", help="a comparison: its best arm is fitted, as compared"
    )
    fit.add_argument("--data", metavar="NAME", help="a dataset, without a comparison")
    fit.add_argument(
        "--backbone", metavar="NAME", help="with --data: a size that is pretrained here, or imported weights"
    )
    fit.add_argument("--arm", metavar="ARM", help="which arm (default: the best of the comparison)")
    fit.add_argument(
        "--scheme", metavar="SCHEME", help="its scheme: linear-probe or partial; baseline for a baseline"
    )
    fit.add_argument("--name", required=True, metavar="M", help="what the model is called")
    fit.add_argument("--label", metavar="COL", help="label column (default: the cell type column)")
    fit.add_argument("--folds", type=int, help="number of donor folds (default 5, or the comparison's)")
    fit.add_argument(
        "--false-alarm", type=float, default=0.05, metavar="SHARE",
        help="share of known cells that may be called unknown (default 0.05)",
    )  # fmt: skip
    fit.add_argument(
        "--signatures",
        metavar="NAME|GMT",
        help="gene sets to compare predictions with (default: all registered)",
    )
    fit.add_argument("--no-map", action="store_true", help="no map of the reference cells")
    add_command(group, "list", "list the models", _list)
    show = add_command(group, "show", "show a model's card", _show)
    show.add_argument("name", metavar="M")
    show.add_argument("--out", metavar="CARD.md", help="write it as Markdown")
    export = add_command(group, "export", "pack a model as a zip file", _export)
    export.add_argument("name", metavar="M")
    export.add_argument("--out", required=True, metavar="M.zip")
    load = add_command(
        group, "import", "unpack an exported model; every file is checked by its hash", _import
    )
    load.add_argument("file", metavar="M.zip")
    load.add_argument("--name", metavar="M", help="another name than its own")

    note = add_command(
        sub, "annotate", "name new cells with a model; repeat the command to resume", _annotate
    )
    note.add_argument("data", metavar="FILE|DATASET", help="counts without labels or donors")
    note.add_argument("--model", required=True, metavar="M")
    note.add_argument(
        "--out",
        required=True,
        metavar="X.h5ad|X.csv",
        help="h5ad: an h5ad itself, with columns added to obs; of other files, counts and tables",
    )
    note.add_argument("--layer", metavar="NAME", help="where the counts are in an h5ad or loom file")
    note.add_argument("--map", action="store_true", help="a UMAP of these cells in the model's space, too")
    note.add_argument("--keep", metavar="NAME", help="keep it in the home folder too, to correct it by hand")
    note.add_argument(
        "--aliases", metavar="NAME|FILE", help="alias table of genes (default: the registered one)"
    )


def _fit(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.fit import fit_model

    if bool(args.run) == bool(args.data):
        raise InputError("give one: the ID of a comparison, or --data NAME")
    if args.run and args.backbone:
        raise InputError("a comparison has its own backbone: leave out --backbone, or give --data NAME")
    chosen = _compared(args) if args.run else _asked(args)
    if args.label:
        chosen["label"] = args.label
    if args.folds:
        chosen["folds"] = args.folds
    model = fit_model(
        name=args.name, false_alarm=args.false_alarm, signatures=_signatures(args.signatures),
        with_map=not args.no_map, observer=observer, **chosen,
    )  # fmt: skip
    return _card(model)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is fitted without a comparison."""
    from sgm_core.annotation.arms import BASELINE, PROBE
    from sgm_core.training.backbones import check_backbone, is_bundle

    chosen: dict[str, Any] = {"data": args.data}
    if not args.arm or args.backbone:
        chosen["why"] = "no comparison was given, so nothing says that another arm is not better"
    if not args.backbone:
        if args.scheme not in (None, BASELINE):
            raise InputError(
                f"the scheme {args.scheme} needs a backbone: give --backbone NAME, or a comparison"
            )
        return chosen | ({"arm": args.arm} if args.arm else {})
    check_backbone(args.backbone)
    arm = args.arm or ("original" if is_bundle(args.backbone) else "uniform+summary")
    scheme = args.scheme or PROBE
    return chosen | {"arm": arm, "scheme": scheme, "comparison": {"backbone": args.backbone}}


def _compared(args: argparse.Namespace) -> dict[str, Any]:
    """Return what a comparison says is fitted."""
    from sgm_core.annotation.recommend import as_compared, best_scheme, recommend
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    folds, predictions = run.read_table("folds"), run.read_table("predictions")
    if run.kind != "compare" or folds is None or predictions is None:
        raise InputError(f"run {run.id} is no finished comparison: `sgm compare` makes one")
    run.check_dataset()
    if args.arm:
        scheme = args.scheme or best_scheme(folds, args.arm)
        why = f"chosen by hand from the comparison {run.id}"
        return as_compared(run.parameters, run.path, args.arm, scheme, why)
    if args.scheme:
        raise InputError("--scheme says how an arm is finetuned: give --arm too")
    finetune = run.parameters.get("finetune")
    advice = recommend(folds, predictions, open_dataset(run.dataset_name).donors(), finetune)
    if not advice.arm:
        raise InputError(f"run {run.id} recommends nothing: {advice.why}; --arm fits one all the same")
    why = f"{advice.why} (comparison {run.id})"
    return as_compared(run.parameters, run.path, advice.arm, advice.scheme, why)


def _signatures(given: str | None) -> dict[str, list[str]]:
    from sgm_core.annotation.signatures import registered_signatures
    from sgm_core.resources.store import read_gene_sets, resource_path

    if given:
        path = Path(given) if Path(given).is_file() else resource_path("signatures", given)
        return dict(read_gene_sets(path).terms)
    return registered_signatures()


def _card(model: Model) -> Output:
    from sgm_core.annotation.card import card, card_markdown

    return Output(card(model) | {"path": model.path}, card_markdown(model))


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.card import card, classifier
    from sgm_core.annotation.store import list_models

    models = list_models()
    lines = [
        f"{m.name:<24} {classifier(m.meta):<44} {m.meta['dataset']['name']:<16} {len(m.classes):>3} classes  "
        f"macro F1 {m.meta['scores']['macro_f1']:.3f}"
        + ("" if m.useful else "  USELESS: no better than chance")
        for m in models
    ]
    return Output(
        {"models": [card(m) for m in models]}, "\n".join(lines) or "no models yet: `sgm model fit` makes one"
    )


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.card import card_markdown
    from sgm_core.annotation.store import open_model
    from sgm_core.home import whole_file

    model = open_model(args.name)
    if args.out:
        with whole_file(Path(args.out).expanduser().absolute()) as path:
            path.write_text(card_markdown(model))
    return _card(model)


def _export(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.store import export_model

    path = export_model(args.name, args.out)
    return Output({"path": path}, str(path))


def _import(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.store import import_model

    return _card(import_model(args.file, args.name))


def _annotate(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.annotation.annotate import annotate, check_output
    from sgm_core.annotation.kept import check_free, keep
    from sgm_core.annotation.output import check_h5ad, write_csv, write_h5ad
    from sgm_core.cli.enrich import read_alias_table

    out = check_output(args.out)
    if args.keep:
        check_free(args.keep)
    if out.suffix == ".h5ad":
        check_h5ad(args.data)
    aliases, _ = read_alias_table(args.aliases)
    result = annotate(
        args.data, args.model, out, aliases=aliases or None, layer=args.layer, own_map=args.map,
        observer=observer,
    )  # fmt: skip
    if out.suffix == ".csv":
        write_csv(result, out)
    else:
        write_h5ad(result, args.data, out, observer)
    if args.keep:
        keep(args.keep, result)
    counts = result.predictions["cell_type"].value_counts()
    why = result.predictions.loc[result.predictions["reason"] != "", "reason"].value_counts()
    lines = [f"{out}: {len(result.obs):,} cells by model {args.model}"]
    lines += [f"  {name:<24} {n:>9,}  {n / len(result.obs):6.1%}" for name, n in counts.items()]
    lines += [f"  unknown, {reason}: {n:,}" for reason, n in why.items()]
    return Output(
        result.about | {"out": out, "cell_types": counts.to_dict(), "unknown": why.to_dict()},
        "\n".join(lines),
    )

"""`sgm enrich`: what the most masked genes, or any list of genes, do."""

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

RANKINGS = ("frequency", "lift", "uniform", "start", "expression", "inverse")
_TERMS = ["term", "go_id", "n_term", "n_hits", "fold_enrichment", "p_value", "q_value"]
_PAIR = ["term", "n_term", "n_hits_a", "q_a", "n_hits_b", "q_b", "found", "q_difference"]
TITLES = {
    "frequency": "most masked genes of {arm}",
    "lift": "genes of {arm} masked most beyond their expression",
    "uniform": "control: most masked genes under uniform masks",
    "start": "control: most masked genes of {arm} before training",
    "expression": "control: genes of the highest mean expression",
    "inverse": "control: genes of the lowest mean expression",
}


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm enrich``."""
    parser = add_command(sub, "enrich", "what the most masked genes, or any list of genes, do", _enrich)
    parser.add_argument("run", metavar="RUN", nargs="?", help="ID of the run; or --genes and --universe")
    parser.add_argument(
        "--genesets", required=True, metavar="GMT", help="a GMT file, or the name of a resource"
    )
    parser.add_argument("--arm", help="the arm (default self-guided)")
    parser.add_argument("--top", type=int, default=200, help="length of a run's gene lists (default 200)")
    parser.add_argument(
        "--by", choices=("frequency", "lift"), help="one ranking (default: both, and the controls)"
    )
    parser.add_argument(
        "--background", metavar="FILE|detected:SHARE",
        help="restrict a run's universe to a list of genes, or to those found in a share of the cells",
    )  # fmt: skip
    parser.add_argument(
        "--genes", type=Path, metavar="FILE", help="a list of genes, one a line, or a table with them"
    )
    parser.add_argument("--universe", metavar="FILE|gmt", help="its universe; gmt: all genes of the GMT")
    parser.add_argument(
        "--aliases", metavar="MAP", help="alias table for --genes, file or name (default: the registered one)"
    )
    parser.add_argument(
        "--exact", action="store_true", help="take --genes as written: no aliases, dates, suffixes or case"
    )
    parser.add_argument(
        "--min-size", type=int, default=5, help="smallest term tested (default 5; 0: no limit)"
    )
    parser.add_argument(
        "--max-size", type=int, default=500, help="largest term tested (default 500; 0: no limit)"
    )
    parser.add_argument(
        "--without-artefacts", action="store_true",
        help="leave out genes that most of their reviewers call artefacts (sgm review)",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="RUN", help="a second run (or the same), side by side in the genes of both"
    )
    parser.add_argument("--against-arm", metavar="ARM", help="its arm (default self-guided)")
    parser.add_argument(
        "--against-by", choices=RANKINGS, help="its ranking (default that of --by, or frequency)"
    )
    parser.add_argument(
        "--prerank", action="store_true", help="rank all of the run's genes instead of a top list"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the permutations of --prerank (default 0)")
    parser.add_argument(
        "--group", type=float, metavar="JACCARD",
        help="print one term of those that share so much of their genes (0.5: half)",
    )  # fmt: skip
    parser.add_argument("--show", type=int, default=10, metavar="N", help="terms to print (default 10)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the whole table as CSV")


def _enrich(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.errors import InputError

    if args.group is not None and not 0 < args.group <= 1:
        raise InputError(f"--group is {args.group:g}: a Jaccard index above 0 and up to 1")
    path, sets = _gene_sets(args.genesets)
    if args.run and (args.genes or args.universe):
        raise InputError("give a run, or --genes with --universe, not both")
    if not args.run:
        if args.without_artefacts:
            raise InputError("--without-artefacts needs a run: verdicts are on a run's genes")
        for name in ("against", "background", "prerank"):
            if getattr(args, name):
                more = ": a list of genes has no ranking statistic" if name == "prerank" else ""
                raise InputError(f"--{name} needs a run{more}")
        return _enrich_list(args, path, sets)
    if (args.against_arm or args.against_by) and not args.against:
        raise InputError("--against-arm and --against-by need --against RUN")
    if args.background and (args.prerank or args.against):
        raise InputError("--background goes with one list of a run: leave --prerank and --against out")
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    run.check_dataset()
    if args.against:
        return _pair(args, run, path, sets)
    return (_prerank if args.prerank else _enrich_run)(args, run, path, sets)


def _enrich_list(args: argparse.Namespace, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.enrichment import over_representation
    from sgm_core.analysis.universe import fit_list, fit_terms
    from sgm_core.cells.gene_lists import read_genes
    from sgm_core.errors import InputError

    if not (args.genes and args.universe):
        raise InputError("give the ID of a run, or --genes FILE with --universe FILE (or gmt)")
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
    shown = _shown(table, args) if len(table) else "no term has an eligible size: see --min-size"
    lines = [head, *(f"  {note}" for note in notes), "", shown, *_written(args, table)]
    return Output(data, "\n".join(lines))


def _enrich_run(args: argparse.Namespace, run: Run, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.term_claim import claim
    from sgm_core.errors import InputError
    from sgm_core.runs.terms import diagnosed, run_terms

    sizes = args.min_size or None, args.max_size or None
    without, left_out = _artefacts(args, run)
    result = run_terms(run, sets.terms, args.arm, args.top, *sizes, args.background, without)
    if args.by and args.by not in result.lists:
        raise InputError(f"run {run.id}: {result.notes[args.by]}")
    table = result.table[result.table["ranking"] == args.by] if args.by else result.table
    if not args.background and not without:
        run.table("enrichment", result.table.assign(arm=result.arm, library=path.name, top=args.top))
    rankings = list(dict.fromkeys(table["ranking"]))
    n_terms = int((result.table["ranking"] == rankings[0]).sum()) if rankings else 0
    data: dict[str, Any] = {"run": run.id, "arm": result.arm, "genesets": path.name, "top": args.top}
    data |= {"n_universe": len(result.universe), "n_terms": n_terms, "background": args.background}
    data["notes"] = [*sets.put_right, *result.changes, *left_out]
    data["lists"] = {name: result.lists[name] for name in rankings}
    data["rankings_left_out"] = result.notes
    data["terms"] = table.to_dict("records")
    measured = diagnosed(run, result.arm)
    words = {"frequency": "the most masked genes", "lift": "the genes of highest lift"}
    said = {by: claim(result, by, measured, of) for by, of in words.items() if by in rankings}
    data["claims"] = {by: {"sentence": c.sentence, "confidence": c.confidence} for by, c in said.items()}
    lines = [_counts_line(path, len(result.universe), n_terms) + f"; lists: top {args.top}"]
    lines += [f"{note[0].upper()}{note[1:]}" for note in result.notes.values()]
    lines += [f"  {note}" for note in data["notes"]]
    lines += [f"{each.sentence} [{each.confidence}]" for each in said.values()]
    for name in rankings:
        rows = table[table["ranking"] == name]
        found = int((rows["q_value"] < 0.05).sum())
        title = TITLES[name].format(arm=result.arm).capitalize()
        lines += ["", f"{title}: {found} terms at q < 0.05", _shown(rows, args)]
    whole = table.assign(arm=result.arm, library=path.name, n_universe=len(result.universe), run=run.id)
    return Output(data, "\n".join([*lines, *_written(args, whole)]))


def _pair(args: argparse.Namespace, run: Run, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.term_pairs import pair_sentence, pair_terms
    from sgm_core.runs.store import open_run
    from sgm_core.runs.terms import ranked_genes

    other = open_run(args.against)
    other.check_dataset()
    by = args.by or "frequency"
    sides = (run, args.arm, by), (other, args.against_arm or args.arm, args.against_by or by)
    without, left_out = _artefacts(args, run)
    first, second = (ranked_genes(*side, without) for side in sides)
    sizes = args.min_size or None, args.max_size or None
    found = pair_terms(first, second, sets.terms, args.top, *sizes)
    names = [f"{(arm or 'self-guided')} by {order} of {each.id}" for each, arm, order in sides]
    data: dict[str, Any] = {"sides": names, "genesets": path.name, "top": args.top}
    data |= {"n_universe": len(found.universe), "lost": found.lost, "shared": found.shared}
    data |= {"sentence": pair_sentence(found, "a", "b"), "terms": found.table.to_dict("records")}
    data["notes"] = [*sets.put_right, *found.changes, *left_out]
    lines = [f"a: {names[0]}", f"b: {names[1]}", pair_sentence(found, "a", "b")]
    lines.append(
        f"{_counts_line(path, len(found.universe), len(found.table))}, those of both sides (a has "
        f"{found.lost[0]:,} more, b {found.lost[1]:,})"
    )
    lines += [f"  {note}" for note in data["notes"]]
    lines += ["", _text(found.table[_PAIR].head(args.show)), *_written(args, found.table)]
    return Output(data, "\n".join(lines))


def _prerank(args: argparse.Namespace, run: Run, path: Path, sets: GeneSets) -> Output:
    from sgm_core.analysis.masks import default_arm
    from sgm_core.analysis.prerank import prerank
    from sgm_core.analysis.universe import fit_terms
    from sgm_core.runs.terms import gene_values, masks_of

    arm, by = args.arm or default_arm(masks_of(run)), args.by or "frequency"
    without, left_out = _artefacts(args, run)
    values = gene_values(run, arm, by).drop(index=without, errors="ignore")
    terms, changed = fit_terms(sets.terms, values.index)
    table = prerank(values, terms, args.min_size or 1, args.max_size or len(values), seed=args.seed)
    data: dict[str, Any] = {"run": run.id, "arm": arm, "by": by, "genesets": path.name}
    data["n_universe"] = len(values)
    notes = [*sets.put_right, *changed, *left_out]
    data["notes"] = notes
    shown = table.reindex(table["p_value"].sort_values(kind="stable").index).head(args.show)
    head = (
        _counts_line(path, len(values), len(table)) + f"; all genes of {arm} ranked by {by}, seed {args.seed}"
    )
    head = "\n".join([head, *(f"  {note}" for note in notes)])
    text = "\n".join([f"{head}\n\n{_text(shown.drop(columns='genes'))}", *_written(args, table)])
    return Output(data | {"n_terms": len(table), "seed": args.seed, "terms": table.to_dict("records")}, text)


def _shown(table: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the first terms, with --group the first of each group."""
    from sgm_core.analysis.enrichment import group_terms

    if args.group is None:
        return _text(table[_TERMS].head(args.show))
    rows = group_terms(table, args.group)
    others = rows["group"].map(rows["group"].value_counts()) - 1
    rows = rows.assign(others=others)[rows["leads"]]
    return _text(rows[[*_TERMS, "others"]].head(args.show)) if len(rows) else "no term holds any of the genes"


def _written(args: argparse.Namespace, table: pd.DataFrame) -> list[str]:
    """Write the whole table where --out says; returns the line that says so."""
    if args.out is None:
        return []
    from sgm_core import home
    from sgm_core.spreadsheet import csv_text

    with home.whole_file(args.out) as temporary:
        temporary.write_text(csv_text(table))
    return ["", f"{len(table):,} rows in {args.out}"]


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


def _counts_line(path: Path, n_universe: int, n_terms: int) -> str:
    return f"{path.name}: {n_terms:,} terms of eligible size; universe: {n_universe:,} genes"


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.4g}")

"""The report's section on scores: Table 1 with intervals, the verdict, and how it was judged."""

from typing import Any

from sgm_core.analysis.budget_words import budget_finding, has_budgets
from sgm_core.analysis.confidence import of_pair
from sgm_core.analysis.metrics import pair_in_view
from sgm_core.analysis.tally import trained_on
from sgm_core.figures import budgets as budget_figures
from sgm_core.figures import compare as figures
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.report import budget_tables, compare_tables, compare_words
from sgm_core.report.content import Block, Drawing, Facts, Said, Section, Table
from sgm_core.report.source import Source

METRIC = "macro_f1"


def scores_section(source: Source) -> Section | None:
    """Return Table 1 and what it proves; None for a run without scores."""
    folds = source.table("folds")
    if folds is None:
        return None
    scheme, arm, against = question(source)
    blocks: list[Block] = []
    if arm != against:
        pair = pair_of(source)
        blocks.append(Said(compare_words.answer(pair, scheme, folds), of_pair(pair)))
        more = compare_words.rivals(folds, source.paired, arm, against, scheme, METRIC)
        blocks += [Said(text) for text in (compare_words.pooled_line(pair), more) if text]
    if said := trained_on(folds):
        blocks.append(Said(said))
    table = compare_tables.table_1(source.summary, METRIC, source.table("pooled"))
    how = "Macro F1: mean over donor folds and its 95 % interval"
    if source.table("pooled") is not None:
        how += "; pooled: over the test cells of all folds, interval by drawing donors anew"
    blocks.append(Table("table-1", table, "Table 1", f"{how}."))
    fig = figures.scores(folds, source.summary, METRIC, "Macro F1 over donor folds", "Macro F1 (%)")
    blocks.append(Drawing("scores", fig, "Macro F1 of each arm, donor folds as points", folds))
    blocks += _differences(source, arm)
    blocks += _few_labels(source, scheme, (arm, against))
    blocks += _classes(source, scheme, arm, against)
    blocks.append(Table("scores-by-fold", compare_tables.fold_table(folds, METRIC), "Macro F1 by fold (%)"))
    noise = compare_tables.noise_table(source.summary, METRIC)
    note = "Between folds the donors differ; between seeds, inside a fold, only the training."
    blocks.append(Table("noise", noise, "How far macro F1 differs (points)", note, folded=True))
    judged = compare_words.choices(
        source.run, source.dataset, folds, source.table("per_class"), source.summary, source.paired
    )
    blocks.append(Facts(tuple(judged.items())))
    return Section("scores", "Table 1: does it help?", tuple(blocks))


def question(source: Source) -> tuple[str, str, str]:
    """Return scheme, arm and the arm that it is held against: what the page Compare opens with."""
    folds = source.table("folds")
    assert folds is not None, "asked for of runs with scores alone"
    scheme = compare_words.main_scheme(folds)
    trained = folds[folds["scheme"] != "baseline"]
    arms = figures.in_order((trained if len(trained) else folds)["arm"])
    others = [other for other in figures.in_order(folds["arm"]) if other != arms[0]]
    others.sort(key=lambda other: other not in arms)
    return scheme, arms[0], compare_words.preferred_rival(others) if others else arms[0]


def pair_of(source: Source) -> dict[str, Any]:
    """Return the paired difference in question."""
    folds = source.table("folds")
    assert folds is not None, "asked for of runs with scores alone"
    scheme, arm, against = question(source)
    other = (against, compare_words.scheme_of(folds, against, scheme))
    return pair_in_view(source.paired, folds, (arm, scheme), other, METRIC)


def _differences(source: Source, arm: str) -> list[Block]:
    paired = source.paired[source.paired["metric"] == METRIC]
    mine = paired[(paired["arm_a"] == arm) & (paired["arm_b"] != figures.MAJORITY)]
    if mine.empty:
        return []
    title = f"{arm_name(arm)} less each other arm, fold by fold"
    fig = figures.differences(mine, title, "Difference in macro F1 (points)")
    table = compare_tables.paired_view(source.paired, METRIC)
    return [
        Drawing("differences", fig, title, mine),
        Table("all-differences", table, "All differences in macro F1 (points)"),
    ]


def _few_labels(source: Source, scheme: str, sides: tuple[str, str]) -> list[Block]:
    budgets, summary, paired = (source.table(f"budget{name}") for name in ("s", "_summary", "_paired"))
    if budgets is None or summary is None or paired is None or not has_budgets(budgets):
        return []
    main = paired[paired["main"].astype(bool)]
    finetuning = SCHEMES[main["scheme"].iloc[0]].lower() if len(main) else ""
    sentence, sure = budget_finding(paired, finetuning)
    title = f"Macro F1 by labelled cells a class, {SCHEMES[scheme].lower()}"
    blocks: list[Block] = [
        Said(f"{sentence}.", sure, "Few labels"),
        Drawing(
            "labels", budget_figures.label_curves(budgets, summary, scheme, sides, title), title, budgets
        ),
        Table(
            "scores-by-labels",
            budget_tables.score_table(summary, scheme),
            "Macro F1 by labelled cells a class",
            budget_tables.how_drawn(budgets, summary),
        ),
    ]
    if len(main):
        head = f"Main comparisons, {finetuning}: stated before the results, judged together (Holm)"
        blocks.append(Table("main-differences-by-labels", budget_tables.main_table(main), head))
    rest = paired[~paired["main"].astype(bool)]
    if len(rest):
        head = "All other differences: p uncorrected, nothing is proven by them"
        table = budget_tables.other_table(rest)
        blocks.append(Table("other-differences-by-labels", table, head, folded=True))
    return blocks


def _classes(source: Source, scheme: str, arm: str, against: str) -> list[Block]:
    folds, per_class = source.table("folds"), source.table("per_class")
    if folds is None or per_class is None or arm == against:
        return []
    rows = per_class[(per_class["fold"] == -1) & per_class["scored"]]
    other = (against, compare_words.scheme_of(folds, against, scheme))
    both = compare_words.two_sides(rows, (arm, scheme), other)
    title = f"F1 per cell type, {SCHEMES[scheme].lower()}, pooled over folds"
    fig = figures.two_arms(both, "cell_type", "f1", (arm, against), title, "F1 (%)", "support")
    shown = both.drop(columns=["fold", "scored"])
    shown = shown.assign(arm=shown["arm"].map(arm_name), scheme=shown["scheme"].map(SCHEMES))
    named = shown.rename(columns=lambda name: name.replace("_", " ").capitalize())
    return [
        Drawing("f1-per-cell-type", fig, title, both),
        Table("per-class", named.round(3), title, folded=True),
    ]

"""The report's section on masked genes: the verdict on the masks, Figure 2, the genes and their reviews."""

import pandas as pd

from sgm_core.analysis.arm_names import arm_name
from sgm_core.analysis.diagnostic_table import diagnostic_table
from sgm_core.analysis.mask_budgets import budget_sentence
from sgm_core.analysis.masks import level_frequencies, lift_problem, preferred_genes, top_genes
from sgm_core.analysis.rankings import NO_PREFERENCE, uniform_arm
from sgm_core.analysis.verdict import agreement_sentence, clearly_guided, comes_back
from sgm_core.figures import mask_groups
from sgm_core.figures import masks as figures
from sgm_core.report.content import Block, Drawing, Said, Section, Table
from sgm_core.report.reviewed import words_by_gene
from sgm_core.report.source import Source
from sgm_core.runs.masks import mask_counts

SHOWN = 30
_NAMES = {
    "gene": "Gene",
    "masked": "Times masked",
    "opportunities": "Opportunities",
    "frequency": "Frequency",
    "matched_frequency": "Equals get",
    "lift": "Lift",
    "lift_low": "95 % low",
    "lift_high": "95 % high",
    "lift_q": "Adjusted p",
    "mean_expression": "Mean expression",
    "detection": "Expressed in",
    "flags": "Flags",
    "review": "Review",
}
_FLAGS = ("mitochondrial", "ribosomal", "haemoglobin", "immunoglobulin_tcr", "sex_linked", "stress")


def masked_section(source: Source, reviews: pd.DataFrame | None) -> Section | None:
    """Say whether the masks are guided, and list the genes; None for a run that hid none.

    Parameters
    ----------
    source
        The run.
    reviews
        Verdicts of people on genes: gene, reviewer, verdict; None where there are none.
    """
    if not source.arms:
        return None
    arm, masks = source.arm, source.masks
    assert masks is not None, "an arm is one of `arms`"
    blocks: list[Block] = []
    for each in source.arms:
        found = source.verdict(each)
        blocks.append(Said(f"{found.sentence}.", found.confidence, arm_name(each)))
    measured = source.diagnostic(arm)
    blocks.append(Said(f"{clearly_guided(measured)}.", about=arm_name(arm)))
    again = comes_back(measured) if measured["seeds"] > 1 else "undecided"
    blocks.append(Said(f"{agreement_sentence(measured)}.", again, arm_name(arm)))
    cells = source.table("mask_cells")
    if cells is not None and (said := budget_sentence(cells, arm_name)):
        blocks.append(Said(said))
    table = diagnostic_table({each: source.diagnostic(each) for each in source.arms})
    blocks.append(Table("mask-diagnostic", table, "What the masks are", folded=True))
    sides = [arm, *filter(None, [uniform_arm(masks, arm)])]
    ranges = figures.axis_ranges([source.statistics(side) for side in sides], "mean_expression", "frequency")
    for side in sides:
        title = f"{arm_name(side)}: mask frequency"
        fig = figures.frequency_expression(source.statistics(side), title, ranges=ranges)
        alt = f"{title} against expression"
        name = f"figure-2-{side.replace('+', '-')}"
        blocks.append(Drawing(name, fig, alt, source.statistics(side)))
    blocks += _ranking(source, reviews)
    return Section("masked-genes", "Masked genes (Figure 2)", tuple(blocks))


def _ranking(source: Source, reviews: pd.DataFrame | None) -> list[Block]:
    arm, stats = source.arm, source.statistics(source.arm)
    problem = lift_problem(stats)
    blocks: list[Block] = []
    if problem:
        blocks.append(Said(f"No ranking beyond expression: {problem}.", limits=True))
    else:
        if not preferred_genes(stats):
            blocks.append(Said(f"{NO_PREFERENCE[0].upper()}{NO_PREFERENCE[1:]}.", limits=True))
        title = f"{arm_name(arm)}: hidden beyond expression"
        fig = figures.ranking(stats, title)
        blocks.append(Drawing("lift-ranking", fig, title, stats))
    by = "lift" if not problem and preferred_genes(stats) else "frequency"
    order = {"frequency": "most masked genes", "lift": "genes of highest lift"}[by]
    ranked = gene_table(stats, top_genes(stats, by, len(stats)), reviews)
    note = (
        "Lift: times as often as genes of equal expression; the interval is over models, the p adjusted over "
    )
    note += "the genes."
    title = f"{arm_name(arm)}: the {order}"
    blocks.append(Table("masked-genes", ranked, title, note, most=SHOWN))
    shared = set(top_genes(stats, "frequency", 25)) & set(top_genes(stats, "expression", 25))
    blocks.append(Said(f"{len(shared)} of the 25 most masked genes are among the 25 most expressed."))
    rows = mask_counts(source.run, "cell_type", arm)
    if rows is not None and (rows["by"] == "cell_type").any():
        levels = level_frequencies(rows, "cell_type", arm).reindex(top_genes(stats, by, SHOWN))
        if len(levels.columns):
            title = f"{arm_name(arm)}: the {SHOWN} {order}, by cell type"
            fig = mask_groups.level_heatmap(levels, title, "cell type")
            blocks.append(Drawing("masked-by-cell-type", fig, title, levels.reset_index()))
    return blocks


def gene_table(stats: pd.DataFrame, order: list[str], reviews: pd.DataFrame | None) -> pd.DataFrame:
    """Return genes as people read them, in `order`, with what reviewers said where there is anything."""
    rows = stats.set_index("gene").loc[order].reset_index()
    flags = [name for name in _FLAGS if name in rows]
    named = [
        ", ".join(name.replace("_", " ") for name, there in zip(flags, each, strict=True) if there)
        for each in rows[flags].itertuples(index=False)
    ]
    rows = rows.assign(flags=named)
    if reviews is not None and len(reviews):
        rows["review"] = rows["gene"].map(words_by_gene(reviews)).fillna("")
    shown = rows[[name for name in _NAMES if name in rows]]
    digits = dict.fromkeys(shown.select_dtypes("float").columns, 3)
    return shown.round(digits).rename(columns=_NAMES)

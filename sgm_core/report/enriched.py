"""The report's section on enrichment: what the hidden genes do, over which universe, beside the controls."""

from sgm_core.analysis.enrichment import Enrichment, enrich_run, group_terms
from sgm_core.analysis.masks import lift_problem, preferred_genes
from sgm_core.analysis.term_claim import claim
from sgm_core.errors import InputError
from sgm_core.figures import enrichment as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.content import Block, Drawing, Said, Section, Table
from sgm_core.report.enrichment_words import libraries, listed, of_ranking, side_by_side, stated
from sgm_core.report.source import Source
from sgm_core.resources.store import Resource, read_gene_sets, resource_path

SUBSET = "This library is a subset for the demo: what it lacks, it can't find."
TOP = 200
SMALLEST, LARGEST = 5, 500
_NAMES = {
    "term": "Term",
    "go_id": "ID",
    "n_hits": "My genes",
    "n_term": "Term's genes",
    "fold_enrichment": "Fold",
    "p_value": "p",
    "q_value": "Adjusted p",
    "genes": "Which",
    "group": "Carried by the same genes as",
}
_SHOWN = ("Term", "ID", "My genes", "Term's genes", "Fold", "Adjusted p", "Which")
_ORDERS = {"lift": "highest lift", "frequency": "most masked"}


def enrichment_section(source: Source, library: Resource) -> Section:
    """Test the arm's top genes and the controls against a library.

    Parameters
    ----------
    source
        A run that hid genes.
    library
        Gene sets.
    """
    arm, sets = source.arm, read_gene_sets(library.path)
    n_genes = len(source.statistics(arm))
    top = min(TOP, max(1, n_genes // 5))
    masks = source.masks
    assert masks is not None, "an arm is one of `arms`"
    blocks: list[Block] = []
    try:
        found = enrich_run(masks, sets.terms, arm, top, SMALLEST, LARGEST, start=source.table("masks_start"))
    except InputError as error:
        return Section("enrichment", "What they do (Figure 3)", (Said(f"{_capital(str(error))}."),))
    order = main_order(source, found)
    terms, facts = of_ranking(found, order)
    n_list = len(found.lists[order])
    what = listed(n_list, order)
    said = claim(found, order, source.diagnostic(arm), what)
    blocks.append(Said(f"{said.sentence}.", said.confidence, arm_name(arm)))
    blocks.append(Said(f"{stated(library, facts, 'the genes that the run could hide')}."))
    blocks += [Said(f"{_capital(note)}.") for note in (*sets.put_right, *facts.notes)]
    if order in found.notes:
        blocks.append(Said(f"{_capital(found.notes[order])}.", limits=True))
    if library.built_in:
        blocks.append(Said(SUBSET, limits=True))
    grouped = group_terms(terms)
    if len(grouped):
        title = f"What they do: {arm_name(arm)}, {_ORDERS[order]}"
        blocks.append(Drawing("figure-3-terms", figures.terms(grouped, title), title, grouped))
        named = terms.assign(genes=terms["genes"].str.replace(";", ", ")).rename(columns=_NAMES)
        blocks.append(
            Table(
                "terms", named, "Terms with the genes of the list", most=min(20, len(grouped)), columns=_SHOWN
            )
        )
    counts, wide = side_by_side(found, arm_name(arm))
    title = "Terms found by each ranking"
    note = (
        "What uniform masks, masks before training or plain expression find too, guided masks did not "
        "discover. Grey: controls."
    )
    blocks.append(Drawing("rankings", figures.rankings(counts, title), title, counts, note))
    blocks.append(Table("adjusted-p", wide, "Adjusted p of the top terms in every ranking", folded=True))
    return Section("enrichment", "What they do (Figure 3)", tuple(blocks))


def main_order(source: Source, found: Enrichment) -> str:
    """Return the ranking to read first: the highest lift if a gene has one, else what is there to show."""
    stats = source.statistics(source.arm)
    by_lift = lift_problem(stats) is None and preferred_genes(stats) and "lift" in found.lists
    return "lift" if by_lift else "frequency"


def chosen_library(name: str | None = None) -> Resource:
    """Return registered gene sets by name; by default the first of the user's own, else the demo's subset.

    Raises
    ------
    NotFoundError
        If there are none of that name.
    """
    there = libraries()
    if name is None:
        return next(iter(there.values()))
    resource_path("genesets", name)  # refused here, with those there are
    return there[name]


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"

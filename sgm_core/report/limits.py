"""The report's summary, and its section on what can't be concluded, of sentences that stand elsewhere."""

from collections.abc import Iterable

from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.report.content import Said, Section
from sgm_core.report.scores import METRIC, question
from sgm_core.report.source import Source
from sgm_core.runs.run import ACTIVE
from sgm_core.units import count, listed

_SUMMARY = ("data", "scores", "masked-genes", "training", "review")


def summary_section(sections: Iterable[Section]) -> Section:
    """Return what the report says first: the first sentence of each part that has one."""
    by_name = {section.name: section for section in sections}
    said = [
        next((block for block in by_name[name].blocks if isinstance(block, Said)), None)
        for name in _SUMMARY
        if name in by_name
    ]
    return Section("summary", "In short", tuple(block for block in said if block is not None))


def limits_section(source: Source, sections: Iterable[Section]) -> Section:
    """Return every sentence that leaves a question open, and what else the run can't tell."""
    first = [Said(text, limits=True) for text in (_state(source), _simulated(source)) if text]
    found = [block for section in sections for block in section.blocks if isinstance(block, Said)]
    open_ones = [block for block in found if block.is_limit]
    more = [Said(text, limits=True) for text in (_not_decided(source), _rare(source)) if text]
    said = tuple(dict.fromkeys([*first, *open_ones, *more]))
    if not said:
        said = (Said("No sentence of this report is undecided or chance, and the run is whole."),)
    return Section("limits", "What can't be concluded", said)


def _state(source: Source) -> str:
    state = source.run.state
    if state == "done":
        return ""
    why = source.run.status.get("error")
    so_far = "runs still" if state in ACTIVE else f"is {state}" + (f" ({why})" if why else "")
    return f"The run {so_far}: this report holds the parts that were finished, and its numbers may change."


def _simulated(source: Source) -> str:
    if not source.dataset.simulated:
        return ""
    return "The cells are SIMULATED: nothing here is a finding about leukaemia."


def _not_decided(source: Source) -> str:
    """Say which other tested comparisons of the main finetuning are undecided."""
    if source.table("folds") is None:
        return ""
    scheme, arm, against = question(source)
    rows = source.paired[(source.paired["metric"] == METRIC) & (source.paired["arm_a"] == arm)]
    rows = rows[(rows["scheme"] == scheme) & (rows["arm_b"] != against) & rows["role"].isin(["secondary"])]
    rows = rows[rows["confidence"] == "undecided"]
    if rows.empty:
        return ""
    others = listed([arm_name(other) for other in rows["arm_b"]])
    return (
        f"{arm_name(arm)}, {SCHEMES[scheme].lower()}: undecided against {others} too "
        f"({count(len(rows), 'secondary comparison')}, Holm-corrected)."
    )


def _rare(source: Source) -> str:
    """Say in how many folds a scored type has too few test cells."""
    folds = source.table("folds")
    if folds is None or "classes_rare" not in folds:
        return ""
    rare = folds.groupby("fold")["classes_rare"].first()
    n = int((rare != "").sum())
    if not n:
        return ""
    return f"In {n} of {count(len(rare), 'fold')} some scored types have too few test cells to count there."

"""`sgm masks --biology`: what the most masked genes are, beside the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.mask_models import ModelResiduals
    from sgm_core.runs.store import Run

_SHOWN = ["ranking", "n_list", "n_hits", "share", "matched", "matched_low", "matched_high", "p_matched"]


def biology_of(
    run: Run, arm: str, models: ModelResiduals, diagnostic: dict[str, Any], top: int
) -> tuple[dict[str, Any], list[str]]:
    """Return the table as data and as lines; it is kept beside the run, as CSV too."""
    from sgm_core.analysis.biology import LEVEL, biology_verdict
    from sgm_core.analysis.rankings import GROUP_LIMITS, OWN
    from sgm_core.runs.biology import FACTORS, keep_biology, run_biology

    table, ranked = run_biology(run, arm, top, models)
    keep_biology(run, table)
    found = {by: biology_verdict(table, diagnostic, by) for by in OWN if by in ranked.lists}
    lines = ["", *(f"{each.sentence}. [{each.confidence}]" for each in found.values())]
    lines += [f"{note[0].upper()}{note[1:]}." for note in ranked.notes.values()]
    over_all, groups = table[table["by"] == "all"], table[table["by"] != "all"]
    factors = [name for name in over_all["set"].unique() if name.startswith(FACTORS)]
    for name in dict.fromkeys([*factors, *over_all.loc[over_all["q_matched"] < LEVEL, "set"]]):
        rows = over_all[over_all["set"] == name]
        lines += ["", str(name), _text(rows[_SHOWN])]
    if len(groups):
        beyond, tests = groups[groups["beyond_controls"]], (~groups["control"]).sum()
        lines += ["", f"By cell type, beyond the controls: {len(beyond)} of {tests} tests; {GROUP_LIMITS}"]
        lines += [_text(beyond[["level", "set", *_SHOWN[2:]]])] if len(beyond) else []
    said = {by: {"sentence": each.sentence, "confidence": each.confidence} for by, each in found.items()}
    data = {"top": top, "said": said, "notes": ranked.notes, "by_cell_type": GROUP_LIMITS}
    return data | {"table": table.to_dict("records")}, lines


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.3g}")

"""`sgm masks --biology`: what the most masked genes are, beside the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.mask_models import ModelResiduals
    from sgm_core.runs.store import Run

_SHOWN = ["ranking", "n_list", "n_hits", "share", "matched", "matched_low", "matched_high", "p_matched"]


def biology_of(
    run: Run, arm: str, models: ModelResiduals | None, top: int
) -> tuple[dict[str, Any], list[str]]:
    """Return the table as data and as lines; it is kept beside the run, as CSV too."""
    from sgm_core.analysis.biology import biology, biology_sentence
    from sgm_core.analysis.rankings import OWN, group_rankings, rankings
    from sgm_core.errors import NotFoundError
    from sgm_core.home import whole_file
    from sgm_core.runs.masks import mask_counts
    from sgm_core.spreadsheet import csv_text

    sets = _sets()
    masks = mask_counts(run, "cell_type")
    if masks is None:
        raise NotFoundError(f"run {run.id} has no mask counts")
    ranked = rankings(masks, arm, top, run.read_table("masks_start"), models)
    table = biology(ranked, sets, group_rankings(masks, "cell_type", arm, top)).assign(arm=arm)
    run.table("biology", table)
    with whole_file(run.path / "biology.csv") as path:
        path.write_text(csv_text(table), newline="")
    lines = ["", *(f"{biology_sentence(table, by)}." for by in OWN if by in ranked.lists)]
    lines += [f"{note[0].upper()}{note[1:]}." for note in ranked.notes.values()]
    over_all = table[table["by"] == "all"]
    told = over_all.loc[over_all["q_matched"] < 0.05, "set"].unique().tolist()
    for name in dict.fromkeys([*_factors(sets), *told]):
        rows = over_all[over_all["set"] == name]
        lines += ["", str(name), _text(rows[_SHOWN])]
    found = table[table["beyond_controls"] & (table["by"] != "all")]
    lines += ["", f"By cell type, beyond the controls: {len(found)} of {(~table['control']).sum()} tests"]
    lines += [_text(found[["level", "set", *_SHOWN[2:]]])] if len(found) else []
    return {"top": top, "notes": ranked.notes, "table": table.to_dict("records")}, lines


def _sets() -> dict[str, list[str]]:
    from sgm_core.errors import NotFoundError
    from sgm_core.resources.store import list_resources, read_gmt, read_transcription_factors

    sets: dict[str, list[str]] = {}
    for resource in list_resources("transcription-factors"):
        sets[f"Transcription factors ({resource.name})"] = read_transcription_factors(resource.path)
    for resource in list_resources("signatures"):
        sets |= read_gmt(resource.path)
    if not sets:
        raise NotFoundError(
            "no signatures and no transcription factors to hold the genes against: add them with 'sgm "
            "resources add signatures FILE' and 'sgm resources add transcription-factors FILE'"
        )
    return sets


def _factors(sets: dict[str, list[str]]) -> list[str]:
    return [name for name in sets if name.startswith("Transcription factors (")]


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.3g}")

"""A model's card: what it is, how well it names cells of unseen donors, and what it was never shown."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from sgm_core.analysis.arm_names import arm_in_sentence
from sgm_core.annotation.store import Model

LOW_F1 = 0.5
"""F1 on unseen donors below which a class is named as hard to tell."""


def card(model: Model) -> dict[str, Any]:
    """Return the card as one JSON document."""
    classes = model.table("classes")
    own = {key: value for key, value in model.meta.items() if key not in ("files", "fold_donors")}
    return own | {
        "useful": model.useful,
        "classes_scored": classes.to_dict("records"),
        "held_out": model.table("held_out").to_dict("records"),
        "donors": model.table("donors")["donor"].tolist(),
        "hard_classes": classes.loc[classes["f1"] < LOW_F1, "cell_type"].tolist(),
    }


def classifier(meta: dict[str, Any]) -> str:
    """Return what names the cells, in a few words: the baseline, or scheme, arm and backbone."""
    if "backbone" not in meta:
        return str(meta["arm"])
    scheme, arm = meta["scheme"].replace("-", " "), arm_in_sentence(meta["arm"])
    return f"{scheme} on {meta['backbone']['name']}, {arm}"


def card_markdown(model: Model, shown_as: Callable[[object], str] = str) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    shown_as : what names of classes, donors and columns are put through, such as `sgm_core.escape.escape`
    """
    m, facts = model.meta, card(model)
    unknown, calibration = m["unknown"], m["calibration"]
    shown = m["never_shown"]
    left_out = [f"{shown_as(each['cell_type'])} ({shown_as(each['reason'])})" for each in shown["classes"]]
    times = ", ".join(map(shown_as, shown.get("only_timepoints", ())))
    lines = [
        f"# Model {shown_as(model.name)}",
        "",
        f"**{m['chance']['sentence'][0].upper()}{m['chance']['sentence'][1:]}.**",
        "",
        *(["SIMULATED data: no use for real cells.", ""] if m["simulated"] else []),
        f"* Classifier: {shown_as(classifier(m))}, {m['n_genes_read']:,} genes; {shown_as(m['why'])}.",
        f"* Trained on: dataset {shown_as(m['dataset']['name'])} ({m['dataset']['n_cells']:,} cells, content "
        f"{m['dataset']['hash'][:12]}), label {shown_as(m['label'])}, {len(facts['donors'])} donors: "
        f"{', '.join(map(shown_as, facts['donors']))}.",
        f"* On donors that a fold did not train on: macro F1 {m['scores']['macro_f1']:.3f}, weighted F1 "
        f"{m['scores']['weighted_f1']:.3f}, calibration error {calibration['ece']:.3f} "
        f"({calibration['ece_before']:.3f} before temperature {calibration['temperature']:.2f}).",
        f"* 'Unknown' is meant for {unknown['false_alarm']:.0%} of known cells; on donors that set no "
        f"threshold it was {unknown['false_alarm_elsewhere']:.1%}. Classes held out of training were found "
        f"with a mean AUROC of {_number(unknown['auroc_mean'])}; of cells of classes too rare to train on "
        f"{_percent(unknown['found_rare'])} were called unknown.",
        f"* Hard to tell (F1 below {LOW_F1}): {', '.join(map(shown_as, facts['hard_classes'])) or 'none'}.",
        "* Never shown: "
        + ("; ".join(left_out) or "no class left out")
        + (f". Only timepoints: {times}" if times else "")
        + ". Any other tissue, disease, timepoint, assay or class is outside what it knows.",
        *(f"* {shown_as(note[0].upper() + note[1:])}." for note in m.get("notes", ())),
        f"* Weights: {shown_as('; '.join(m['licences']).rstrip('.'))}.",
        f"* Made {m['created']} with sgm-core {m['code_version']}; content {model.hash[:12]}.",
        "",
        "| class | cells | donors | precision | recall | F1 | false 'unknown' | AUROC when held out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    held = model.table("held_out").set_index("cell_type")["auroc"]
    for row in model.table("classes").itertuples():
        name = shown_as(row.cell_type).replace("|", "\\|")
        lines.append(
            f"| {name} | {row.n_cells:,} | {row.n_donors} | {row.precision:.2f} | {row.recall:.2f} | "
            f"{row.f1:.2f} | {_percent(row.false_alarms)} | {_number(held.get(row.cell_type))} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str:
    return "not measured" if value is None or pd.isna(value) else f"{value:.2f}"


def _percent(value: Any) -> str:
    return "not measured" if value is None or pd.isna(value) else f"{value:.1%}"

"""The diagnostics of masks as a table for people: one row a measure, with its meaning."""

from typing import Any

import pandas as pd

from sgm_core.analysis.arm_names import arm_name

# Column of a diagnostic, how it is called, how it is written, what it means. A column of `start`, what the
# same masker did before the first update, is named start.COLUMN.
MEASURES = (
    ("effective_share", "Effective share of genes", ".3f", "1 = every gene equally likely within a cell"),
    ("effective_share_start", "The same, before training", ".3f", "what the masker starts from"),
    ("effective_share_last_epoch", "The same, last epoch", ".3f", "what training made of it"),
    ("spread_relative", "Spread beyond chance", ".1%", "how far gene frequencies differ, uniform draws: 0 %"),
    ("start.spread_relative", "The same, before training", ".1%", "what the masker starts from"),
    ("nonzero_share", "Non-zero share of the masks", ".3f", "how much of what is hidden was expressed"),
    ("base_rate", "Non-zero share of all positions", ".3f", "what a uniform draw would hide"),
    (
        "hidden_counts",
        "Hidden share of a cell's counts",
        ".1%",
        "what the model goes without",
    ),
    ("rank_correlation", "Rank correlation with expression", "+.2f", "1 = frequency follows expression"),
    ("residual_sd", "Spread between genes of equal expression", ".1%", "what expression does not explain"),
    ("start.residual_sd", "The same, before training", ".1%", "random weights alone prefer genes"),
    ("added_sd", "What training changed of it", ".1%", "sampling noise taken out"),
    ("reproducible_sd", "What comes back with every seed", ".1%", "the rest is one model's own: chance"),
    ("start.reproducible_sd", "The same, before training", ".1%", "what the match by expression leaves"),
    (
        "agreement_between_seeds",
        "Agreement between seeds",
        "+.2f",
        "rank correlation, 0 = chance",
    ),
    (
        "start.agreement_between_seeds",
        "The same, before training",
        "+.2f",
        "the masker knows nothing yet",
    ),
    ("agreement_between_donors", "Agreement between seeds and donors", "+.2f", "other seed and other fold"),
    ("shared_top", "First 50 genes that two seeds share", ".0f", "of those hidden beyond expression"),
    ("shared_top_chance", "The same by chance", ".0f", "two random choices of 50"),
    ("value_leak", "What a mask tells of the value", ".1%", "variance that knowing the mask alone explains"),
)


def diagnostic_table(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return one row a measure, of those that at least one arm has.

    Parameters
    ----------
    found
        The `sgm_core.analysis.diagnostic.diagnostic` of each arm.
    """
    rows = []
    for key, name, form, meaning in MEASURES:
        values = {arm_name(arm): _written(d, key, form) for arm, d in found.items()}
        if set(values.values()) != {"–"}:
            rows.append({"Measure": name, **values, "What it means": meaning})
    return pd.DataFrame(rows)


def _written(d: dict[str, Any], key: str, form: str) -> str:
    """Write one figure of a diagnostic, with its interval where it has one."""
    where, _, name = key.rpartition(".")
    of = d[where] if where else d
    if of is None or of[name] != of[name]:
        return "–"
    text = format(of[name], form)
    low, high = of.get(f"{name}_low"), of.get(f"{name}_high")
    return text if low is None else f"{text} ({format(low, form)} to {format(high, form)})"

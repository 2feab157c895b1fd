"""A comparison's scores as tables for people: for pages and reports alike."""

import pandas as pd

from sgm_core.analysis.pooled import POOLED_COLUMNS
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import SCHEMES, arm_name


def with_pooled_columns(paired: pd.DataFrame, stored: pd.DataFrame | None) -> pd.DataFrame:
    """Return `paired` with the pooled differences that the run has computed, if it has."""
    keys = ["arm_a", "arm_b", "scheme", "scheme_b", "metric"]
    if stored is None or not set(POOLED_COLUMNS) <= set(stored):
        return paired
    return paired.merge(stored[keys + POOLED_COLUMNS], on=keys, how="left")


def table_1(summary: pd.DataFrame, metric: str, pooled: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the paper's Table 1 for one score: arms by schemes, mean and 95 % interval in per cent.

    `pooled`, the run's table of macro F1 over all folds together, stands beside the means of folds.
    """
    rows = summary[summary["metric"] == metric]
    table = pd.DataFrame({"Arm": [arm_name(arm) for arm in in_order(rows["arm"])]})
    keys = in_order(rows["arm"])
    for scheme, name in SCHEMES.items():
        mine = rows[rows["scheme"] == scheme].set_index("arm")
        if len(mine):
            table[f"{name} (%)"] = [
                _interval(mine.loc[[arm]].iloc[0], "mean") if arm in mine.index else "" for arm in keys
            ]
            if pooled is not None:
                whole = pooled[pooled["scheme"] == scheme].set_index("arm")
                table[f"{name}, pooled (%)"] = [
                    _interval(whole.loc[[arm]].iloc[0], "value") if arm in whole.index else "" for arm in keys
                ]
    table["Folds"] = [int(rows.loc[rows["arm"] == arm, "n_folds"].max()) for arm in keys]
    return table


def _interval(row: pd.Series, value: str) -> str:
    if pd.isna(row["low"]):
        return f"{100 * row[value]:.1f}"
    return f"{100 * row[value]:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def noise_table(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return how far the score differs between folds and between training seeds, in points."""
    rows = summary[summary["metric"] == metric]
    return pd.DataFrame(
        {
            "Arm": rows["arm"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "SD between folds": (100 * rows["sd_folds"]).round(1),
            "SD between seeds": (100 * rows["sd_seeds"]).round(1),
            "Folds": rows["n_folds"],
            "Seeds": rows["n_seeds"],
        }
    )


def fold_table(folds: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row a fold: its donors and cells, and the score of each arm and scheme in per cent."""
    names = {"test_donors": "Test donors", "n_test": "Test cells", "classes_scored": "Classes scored"}
    if "classes_rare" in folds:
        names["classes_rare"] = "Too few test cells"
    facts = folds.groupby("fold")[list(names)].first().rename(columns=names)
    named = folds.assign(
        column=[f"{arm_name(arm)}, {SCHEMES[s].lower()}" for arm, s in zip(folds["arm"], folds["scheme"])]
    )
    columns = list(dict.fromkeys(named["column"]))
    wide = named.pivot_table(index="fold", columns="column", values=metric)[columns]
    return facts.join((100 * wide).round(1)).reset_index().rename(columns={"fold": "Fold"})


def paired_view(paired: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the paired differences of one score in points, as people read them."""
    rows = paired[paired["metric"] == metric]
    table = pd.DataFrame(
        {
            "Comparison": rows["role"],
            "Arm": rows["arm_a"].map(arm_name),
            "Held against": rows["arm_b"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "Difference (points)": (100 * rows["difference"]).round(1),
            "95 % low": (100 * rows["low"]).round(1),
            "95 % high": (100 * rows["high"]).round(1),
            "p": rows["p"].round(4),
            "p (Holm)": rows["p_holm"].round(4),
            "Found with 80 % power": (100 * rows["detectable"]).round(1),
            "Folds": rows["n_folds"],
            "Verdict": rows["verdict"],
        }
    )
    if "pooled_difference" in rows and rows["pooled_difference"].notna().any():
        for column, name in zip(POOLED_COLUMNS, ("Pooled", "Pooled, low", "Pooled, high")):
            table[name] = (100 * rows[column]).round(1)
    return table.sort_values("Comparison", kind="stable")

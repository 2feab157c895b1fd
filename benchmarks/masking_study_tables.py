"""The tables of `results/masking_study.md` from the rows that `masking_study.py` kept, as Markdown.

``python benchmarks/masking_study_tables.py [--rows FILE.csv]`` prints the configurations with their means
over folds (seeds first), for validation and for test donors, then the paired comparisons on test donors.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from masking_study import BASELINE, GRID, LABELS, MAIN, OTHERS, paired

NAMES = {"ennis_cell_type": "Ennis", "vangalen_cell_type": "van Galen"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(*shares: float) -> str:
    """Return shares as percent, nothing where they are missing."""
    return (
        " / ".join(f"{100 * share:.1f}" for share in shares)
        if all(pd.notna(share) for share in shares)
        else ""
    )


def number(value: float, digits: int) -> str:
    """Return a number, nothing where it is missing."""
    return f"{value:.{digits}f}" if pd.notna(value) else ""


def configurations(rows: pd.DataFrame) -> str:
    """Return the means of each configuration, whole vector and own part, by label column."""
    columns = [f"{part}_{n}" for part in ("f1", "vector") for n in LABELS]
    lines = []
    for name, own in rows.groupby("name", sort=False):
        line = [str(name), str(len(own[["fold", "seed"]].drop_duplicates()))]
        for label in NAMES:
            scores = own[own["label"] == label].groupby("fold")[columns].mean().mean()
            line += [percent(*(scores[f"{part}_{n}"] for n in LABELS)) for part in ("f1", "vector")]
        facts = own[["r2_model", "effective_share", "hidden_counts"]].mean()
        lines.append([*line, *(number(value, digits) for value, digits in zip(facts, (3, 2, 2)))])
    order = [BASELINE, "genes alone", *GRID]
    lines.sort(key=lambda line: order.index(line[0]))
    parts = [f"{label}, {part}" for label in NAMES.values() for part in ("whole vector", "own part")]
    r2 = f"R2 of hidden genes (PCA {rows['r2_pca'].mean():.3f})"
    return table(["configuration", "models", *parts, r2, "effective share", "hidden share of counts"], lines)


def comparisons(rows: pd.DataFrame, pairs: list[tuple[str, str]], score: str) -> str:
    """Return paired comparisons; those that were stated before, with their verdicts."""
    stated = pairs is MAIN
    head = ["labels of", "cells a class", "line", "against", "seeds", "difference", "95 % interval", "p"]
    head += ["p (Holm)"] * stated + ["found with 80 % power"] + ["verdict"] * stated
    lines = []
    for row in paired(rows, pairs, score).itertuples():
        line = [NAMES[row.label], str(row.labels), row.better, row.than, str(row.seeds)]
        line += [
            f"{100 * row.difference:+.1f}",
            f"{100 * row.low:.1f} to {100 * row.high:.1f}",
            f"{row.p:.3f}",
        ]
        line += [f"{row.p_holm:.3f}"] * stated + [percent(row.detectable)] + [row.verdict] * stated
        lines.append(line)
    return table(head, lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "masking_study.csv")
    rows = pd.read_csv(parser.parse_args().rows)
    for cells, own in rows.groupby("cells", sort=False):
        print(f"## {cells} donors\n\n{configurations(own)}\n")
    for score, what in (("f1", "whole vector"), ("vector", "own part")):
        for pairs, how in ((MAIN, "stated before"), (OTHERS, "beside them, not corrected")):
            print(f"### {what}, {how}\n\n{comparisons(rows, pairs, score)}\n")


if __name__ == "__main__":
    main()

"""Write a finished comparison as a page of benchmarks/results.

``python benchmarks/compare_report.py RUN [OUT.md]``; without a run it lists the comparisons there are.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sgm_core.analysis.arm_names import arm_name
from sgm_core.analysis.budget_words import (
    budget_finding,
    has_budgets,
    in_reading_order,
    labels_text,
    scores_by_labels,
)
from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.statistics import comparison_sentence
from sgm_core.analysis.verdict import verdict
from sgm_core.cells.dataset import open_dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import settings
from sgm_core.model.checkpoint import load_model
from sgm_core.runs.store import Run, list_runs, open_run
from sgm_core.training.data import Values, batches
from sgm_core.training.draws import random_numbers


def table(frame: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, arms by their names."""
    arms = [name for name in ("arm", "against") if name in frame]
    frame = frame.assign(**{name: frame[name].map(arm_name) for name in arms})
    head = " | ".join(map(str, frame.columns))
    lines = [f"| {head} |", "| " + " | ".join("---" for _ in frame) + " |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def scores(run: Run) -> pd.DataFrame:
    """Return macro F1 of every arm, best first: folds (seeds averaged), pooled, and both kinds of noise."""
    summary, folds, pooled = (_table(run, name) for name in ("summary", "folds", "pooled"))
    per_fold = folds.pivot_table(index=["arm", "scheme"], columns="fold", values="macro_f1")
    whole = pooled.set_index(["arm", "scheme"])
    weighted = summary[summary["metric"] == "weighted_f1"].set_index(["arm", "scheme"])["mean"]
    rows = []
    for row in summary[summary["metric"] == "macro_f1"].sort_values("mean", ascending=False).itertuples():
        side = (str(row.arm), str(row.scheme))
        all_folds = whole.loc[side]
        one = {"arm": row.arm, "scheme": row.scheme, "macro F1": f"{row.mean:.3f}"}
        one |= {"95 % interval": f"{row.low:.3f} to {row.high:.3f}", "pooled": f"{all_folds['value']:.3f}"}
        one |= {"donor bootstrap": f"{all_folds['low']:.3f} to {all_folds['high']:.3f}"}
        one |= {
            "SD of folds": f"{row.sd_folds:.3f}",
            "SD of seeds": _number(row.sd_seeds),
            "seeds": row.n_seeds,
        }
        one |= {"weighted F1": f"{weighted[side]:.3f}"}
        one |= {f"fold {k}": f"{v:.3f}" for k, v in per_fold.loc[side].items()}
        rows.append(one)
    return pd.DataFrame(rows)


def rare(run: Run) -> str:
    """Return which classes each fold's macro F1 leaves out."""
    folds = _table(run, "folds")
    minimum = folds["min_test_cells"].iloc[0]
    named = folds.groupby("fold")["classes_rare"].first()
    listed = "; ".join(f"fold {fold}: {names.replace('; ', ', ') or 'none'}" for fold, names in named.items())
    return (
        f"A fold's macro F1 covers the scored classes with at least {minimum} test cells. Too few: {listed}."
    )


def comparisons(run: Run) -> pd.DataFrame:
    """Return the macro F1 differences, the primary first, in F1 points."""
    paired = _table(run, "paired")
    rows = paired[paired["metric"] == "macro_f1"].sort_values("role", kind="stable")
    return pd.DataFrame(
        {
            "comparison": rows["role"],
            "arm": rows["arm_a"],
            "against": rows["arm_b"],
            "scheme": rows["scheme"],
            "difference": [f"{100 * d:+.1f}" for d in rows["difference"]],
            "95 % interval": [f"{100 * a:.1f} to {100 * b:.1f}" for a, b in zip(rows["low"], rows["high"])],
            "p": rows["p"].map(_number),
            "p (Holm)": rows["p_holm"].map(_number),
            "found with 80 % power": [f"{100 * d:.1f}" for d in rows["detectable"]],
            "pooled": [f"{100 * d:+.1f}" for d in rows["pooled_difference"]],
            "donor bootstrap": [
                f"{100 * a:.1f} to {100 * b:.1f}" for a, b in zip(rows["pooled_low"], rows["pooled_high"])
            ],
            "verdict": rows["verdict"],
        }
    )


def few_labels(run: Run) -> list[str]:
    """Return the lines about few labels: scores by number, the main comparisons, and what they prove."""
    if not has_budgets(run.read_table("budgets")):
        return []
    summary, paired = (_table(run, name) for name in ("budget_summary", "budget_paired"))
    main = in_reading_order(paired[paired["main"].astype(bool)])
    scheme = f", {main['scheme'].iloc[0]}" if len(main) else ""
    differences = pd.DataFrame(
        {
            "labels": main["labels"].map(labels_text),
            "arm": main["arm"],
            "against": main["against"],
            "difference": [f"{100 * d:+.1f}" for d in main["difference"]],
            "95 % interval": [f"{100 * a:.1f} to {100 * b:.1f}" for a, b in zip(main["low"], main["high"])],
            "p": main["p"].map(_number),
            "p (Holm)": main["p_holm"].map(_number),
            "found with 80 % power": [f"{100 * d:.1f}" for d in main["detectable"]],
            "verdict": main["verdict"],
        }
    )
    draws, folds = int(summary["draws"].max()), int(summary["folds"].max())
    return [
        "## Few labels: macro F1 (%) by labelled cells a class",
        "",
        f"{budget_finding(paired)[0]}.",
        "",
        f"Mean and 95 % interval over {folds} donor folds; {draws} draws of the labelled cells, the same in "
        "every arm and baseline, are averaged first, then seeds.",
        "",
        table(scores_by_labels(summary)),
        "",
        f"### Main comparisons (macro F1, points{scheme})",
        "",
        "Stated before the results; one Holm family over all numbers of labels, which share donors and "
        "models and are no independent evidence.",
        "",
        table(differences),
        "",
    ]


def _table(run: Run, name: str) -> pd.DataFrame:
    found = run.read_table(name)
    if found is None:
        raise SystemExit(f"run {run.id} has no table {name!r}: run the comparison again with this version")
    return found


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def share_of_finished(run: Run, arm: str, cells: int = 2000) -> float:
    """Return the effective share of the finished model of fold 0, over a sample of its dataset's cells."""
    dataset = open_dataset(run.dataset_name)
    model, genes, _ = load_model(run.path / "tasks" / f"{arm}.fold0.seed0" / "checkpoint")
    config = settings(CompareConfig.from_dict(run.parameters), arm)[0]
    device = torch.device("cpu")
    values = Values(dataset, dataset.gene_columns(genes), device)
    rows = np.random.default_rng(0).permutation(dataset.n_cells)[:cells]
    shares = []
    for batch in batches(rows, values.lengths, 100):
        noise, subset = random_numbers(config, 0, 0, batch, len(genes), device)
        shares.append(model.draw(values.batch(batch), noise, subset).effective_share.mean().item())
    return float(np.mean(shares))


def masks(run: Run) -> pd.DataFrame:
    """Return the mask diagnostic of every arm that masks."""
    counts, cells = run.read_table("masks"), run.read_table("mask_cells")
    assert counts is not None and cells is not None
    basis, rows = mask_basis(run.parameters), []
    for arm in cells["arm"].unique():
        d = diagnostic(counts, cells, arm, basis=basis, start=run.read_table("masks_start"))
        rows.append(
            {
                "arm": arm,
                "effective share of the finished model": f"{share_of_finished(run, arm):.3f}",
                "spread beyond uniform": f"{d['spread_relative']:.2f}",
                "rank correlation with expression": f"{d['rank_correlation']:.2f}",
                "SD of log frequency at equal expression": f"{d['residual_sd']:.2f}",
                "value leak": f"{d['value_leak']:.3f}",
                "the same before training": f"{d['start']['residual_sd']:.2f}" if d["start"] else "not kept",
                "comes back with every seed": f"{d['reproducible_sd']:.2f}",
                "agreement between seeds": f"{d['agreement_between_seeds']:.2f}",
                "verdict": verdict(d).sentence,
            }
        )
    return pd.DataFrame(rows)


def report(run: Run) -> str:
    """Return the whole page."""
    config, status, paired = run.config, run.status, _table(run, "paired")
    minutes = (pd.Timestamp(status["finished"]) - pd.Timestamp(status["started"])).total_seconds() / 60
    hardware = ", ".join(f"{name} {value}" for name, value in config["hardware"].items() if value)
    chosen = paired[(paired["metric"] == "macro_f1") & (paired["arm_a"] == "self-guided")]
    chosen = chosen.sort_values("role", kind="stable")
    sentences = [f"* {row['scheme']}: {comparison_sentence(row)}." for _, row in chosen.iterrows()]
    given = config["parameters"].items()
    parameters = {name: value for name, value in given if value not in (None, {}, [])}
    return "\n".join(
        [
            f"# {config['title']}",
            "",
            f"Run `{run.id}`, {minutes:.0f} minutes, seed {config['seed']}, version "
            f"{config['code_version']}.",
            f"Hardware: {hardware}.",
            f"Parameters: `{parameters}`.",
            "",
            "## Scores over donor folds",
            "",
            table(scores(run)),
            "",
            rare(run),
            "",
            "## Comparisons (macro F1, points)",
            "",
            "One comparison is primary, declared before the results; the others are one Holm family. What is "
            "not proven is undecided, not 'no'.",
            "",
            table(comparisons(run)),
            "",
            "## Self-guided against the others",
            "",
            *sentences,
            "",
            *few_labels(run),
            "## Are the masks self-guided?",
            "",
            table(masks(run)),
            "",
        ]
    )


def main() -> None:
    if len(sys.argv) < 2:
        done = [run.id for run in list_runs() if run.kind == "compare" and run.state == "done"]
        print("finished comparisons:", ", ".join(done) or "none", "- give one to write its report")
        return
    text = report(open_run(sys.argv[1]))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)
    print(text)


if __name__ == "__main__":
    main()

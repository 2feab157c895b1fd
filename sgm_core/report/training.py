"""The report's section on training: curves, and what pretraining has learned."""

from sgm_core.analysis.arm_names import arm_name
from sgm_core.analysis.reconstruction import NOTHING, reconstruction_line
from sgm_core.figures import curves
from sgm_core.report.content import Block, Drawing, Said, Section, Table
from sgm_core.report.predictor_table import how_tested, predictor_table
from sgm_core.report.source import Source

_PHASES = {
    "pretrain": ("Pretraining", ("validation_loss", "effective_share")),
    "finetune": ("Finetuning", ("validation_f1",)),
}
_NAMES = {
    "arm": "Arm",
    "predictor": "Predictor",
    "r2": "R2",
    "r2_nonzero": "R2, not zero",
    "r2_gene": "R2 per gene",
    "gain": "Model's gain",
    "gain_low": "95 % low",
    "gain_high": "95 % high",
    "beaten": "Beaten in",
}


def training_section(source: Source) -> Section | None:
    """Draw the curves that were measured, and say which simple predictors each arm beats."""
    blocks: list[Block] = []
    learned = source.table("reconstruction")
    if learned is not None:
        blocks += reconstruction_sentences(source)
        rounded = predictor_table(learned).round(3).rename(columns=_NAMES)
        blocks.append(Table("reconstruction", rounded, "Hidden genes reconstructed", how_tested(learned)))
    metrics = source.run.metrics()
    for phase, (name, wanted) in _PHASES.items():
        if "phase" not in metrics or "epoch" not in metrics:
            break
        rows = metrics[metrics["phase"] == phase]
        for quantity in curves.available(metrics, phase):
            if quantity in wanted:
                fig = curves.curves(rows.assign(run=source.run.id), quantity, phase)
                title = curves.QUANTITIES[quantity].partition(" (")[0]
                alt = f"{name}: {title[0].lower()}{title[1:]} by epoch"
                fig.layout.title.text = alt
                blocks.append(Drawing(f"curve-{phase}-{quantity.replace('_', '-')}", fig, alt, rows))
    return Section("training", "Training", tuple(blocks)) if blocks else None


def reconstruction_sentences(source: Source) -> list[Said]:
    """Say of each arm which simple predictors it beats; nothing where that was not measured."""
    table = source.table("reconstruction")
    if table is None:
        return []
    return [
        Said(f"{arm_name(str(arm))} {line}.", limits=NOTHING in line)
        for arm, rows in table.groupby("arm", sort=False)
        for line in [reconstruction_line(rows)]
    ]

"""The report's Figure 1: where the cell types lie on a map."""

import pandas as pd

from sgm_core.analysis.arm_names import arm_name
from sgm_core.analysis.embedding import DATASET_EMBEDDING
from sgm_core.figures.cell_map import cell_map
from sgm_core.report.content import Block, Drawing, Said, Section
from sgm_core.report.source import Source

_LIMITS = (
    "A map shows who is near whom and nothing else: distances between groups and their sizes mean little, "
    "and no finding of this report rests on it."
)


def map_section(source: Source) -> Section:
    """Draw the run's map of its own vectors, else the dataset's; say how to make one where there is none."""
    run, dataset = source.run, source.dataset
    label = run.parameters.get("label") or dataset.cell_type_column
    found = _run_map(source) or _dataset_map(source)
    if found is None:
        text = f"No map was made of these cells: `sgm umap {dataset.name}` makes one."
        return Section("map", "Map of the cells", (Said(text),))
    what, cells = found
    labelled = cells.assign(label=dataset.labels(label).to_numpy()[cells["cell"].to_numpy()])
    title = f"{what}, by {label.replace('_', ' ')}"
    fig = cell_map(labelled, title, dataset.colours(label))
    named = labelled.assign(name=dataset.obs["cell"].to_numpy()[labelled["cell"].to_numpy()])
    drawing = Drawing("figure-1-map", fig, title, named[["name", "x", "y", "label"]], _LIMITS)
    blocks: tuple[Block, ...] = (drawing,)
    return Section("map", "Map of the cells (Figure 1)", blocks)


def _run_map(source: Source) -> tuple[str, pd.DataFrame] | None:
    table = source.table("embedding")
    if table is None:
        return None
    there = list(dict.fromkeys(table["source"]))
    of = next((name for name in there if name.startswith("self-guided/")), there[-1])
    arm, _, fold = of.partition("/")
    what = f"Vectors of {arm_name(arm)[0].lower()}{arm_name(arm)[1:]}" + (f", {fold}" if fold else "")
    return what, table[table["source"] == of].reset_index(drop=True)


def _dataset_map(source: Source) -> tuple[str, pd.DataFrame] | None:
    maps = source.dataset.maps()
    if not maps:
        return None
    name = DATASET_EMBEDDING if DATASET_EMBEDDING in maps else next(iter(maps))
    return f"Map {name} of the expression", pd.read_parquet(maps[name])

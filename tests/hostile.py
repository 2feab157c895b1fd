"""A dataset whose every name is markup, with a finished comparison on it."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from synthetic_run import make_compare_run

from sgm_core.cells.build import import_dataset
from sgm_core.cells.dataset import Dataset
from sgm_core.home import write_table
from sgm_core.resources.store import add_resource
from sgm_core.runs.store import Run, create_run, open_run

TYPES = (
    "<img src=//evil.test/type.png>",
    "![evil](//evil.test/type.png)",
    "[evil](http://evil.test) <b>evil</b>",
    "$evil^2$ **evil** ~~evil~~",
    ":red[evil] `evil` %{evil}",
)
COLUMNS = {
    "cell_type": "type ![evil](//evil.test/c)",
    "donor": "donor <b>evil</b>",
    "timepoint": "$evil$ **evil**",
}
GENES = ("<b>EVIL1</b>", "=EVIL2()", "![EVIL3](//EVIL.TEST/G)", "$EVIL4$", "**EVIL5**")
TITLE = "![evil](//evil.test/run.png) <b>evil</b> $evil$"
# Markup beside the mark of a hostile name, in any case: what escaping leaves of none of them.
RAW = (
    "<img", "<a ",
    "![evil", "[evil", "](", "<b>evil", "$evil", "**evil", "~~evil", "`evil", ":red[", "%{evil",
)  # fmt: skip


def hostile_dataset(like: Dataset, folder: Path, name: str = "hostile") -> Dataset:
    """Import the cells of `like` under hostile names, from a file with one."""
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(like.n_cells)])
    kinds = like.labels().value_counts().index
    new = {kind: f"{TYPES[i % len(TYPES)]}{i}" for i, kind in enumerate(kinds)}
    obs[COLUMNS["cell_type"]] = like.labels().map(new).fillna("evil none").to_numpy()
    obs[COLUMNS["donor"]] = [f"<b>evil</b>![evil](//evil.test/{donor})" for donor in like.donors()]
    obs[COLUMNS["timepoint"]] = [f"$evil$ <b>evil</b> {time}" for time in like.labels(like.timepoint_column)]
    genes = like.genes.copy().astype(object)
    busiest = np.argsort(-like.var["n_cells"].to_numpy())
    for gene, place in zip(GENES, busiest):
        genes[place] = gene
    path = folder / "![evil](evil.test) $evil$.h5ad"
    counts = like.counts().astype("float32")
    anndata.AnnData(counts, obs, pd.DataFrame(index=pd.Index(genes, dtype=object))).write_h5ad(path)
    roles = (COLUMNS["donor"], COLUMNS["cell_type"], COLUMNS["timepoint"])
    return import_dataset(path, name, *roles, unlabelled=["evil none"], min_genes=0, min_cells=0)


def hostile_run(dataset: Dataset, folder: Path) -> Run:
    """Make a finished comparison with a hostile title, maps, a failed run and a library of hostile terms."""
    failed = create_run("pretrain", dataset.name, {"data": dataset.name}, title=TITLE)
    failed.finish("failed", "evil: <img src=//evil.test/e> ![evil](//evil.test) $evil$")
    run = open_run(make_compare_run(dataset.name))
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"title": TITLE}))
    n = dataset.n_cells
    rng = np.random.default_rng(0)
    codes = pd.factorize(dataset.labels().to_numpy())[0]
    xy = pd.DataFrame({"cell": np.arange(n), "x": codes + 0.1 * rng.random(n), "y": 0.1 * rng.random(n)})
    write_table(dataset.path / "embeddings" / "pca_umap.parquet", xy)
    terms = [
        f"<a href=//evil.test>evil</a> $evil$ {i}\t\t" + "\t".join([*GENES, *dataset.genes[i : i + 20]])
        for i in range(5)
    ]
    library = folder / "evil.gmt"
    library.write_text("\n".join(terms) + "\n")
    add_resource("genesets", library, "evil", description="<b>evil</b> ![evil](//evil.test)")
    return open_run(run.id)

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.annotation.malignant import malignancy, malignant_classes, malignant_shares
from sgm_core.annotation.store import Model, open_model


@pytest.mark.parametrize(
    ("classes", "malignant"),
    [
        (["HSC", "HSC-like", "Mono", "Mono-like", "T"], ("HSC-like", "Mono-like")),
        (["malignant", "normal"], ("malignant",)),
        (["Tumour cells", "T", "non-malignant myeloid"], ("Tumour cells",)),
        (["HSC-like", "T"], ()),  # the counterpart of nothing
        (["HSC", "Mono", "Erythroblast", "Blast-like"], ()),
        (["leukemic", "AML malignant"], ()),  # nothing else to tell them from
    ],
)
def test_labels_that_carry_it(classes: list[str], malignant: tuple[str, ...]) -> None:
    assert malignant_classes(classes) == malignant


def renamed(model: Model, malignant: set[str], table: pd.DataFrame | None = None) -> Model:
    """Return a model whose labels carry it: some of its classes are called malignant."""
    name = {each: f"malignant {each}" if each in malignant else each for each in model.classes}
    table = model.table("out_of_donor") if table is None else table
    table = table.assign(true=table["true"].replace(name), predicted=table["predicted"].replace(name))
    table.to_parquet(model.path / "out_of_donor.parquet")
    return replace(model, meta=model.meta | {"classes": list(name.values())})


def test_it_is_said_only_where_it_was_learned(fitted: Path) -> None:
    model = open_model("m")
    assert malignancy(model) is None  # no label says so
    own = model.table("out_of_donor")
    said = malignancy(renamed(model, set(model.classes[:3])))
    assert said is not None and len(said.classes) == 3
    known = own[own["true"].isin(model.classes)]
    ill, called = (known[column].isin(model.classes[:3]) for column in ("true", "predicted"))
    assert said.sensitivity == pytest.approx((ill & called).sum() / ill.sum())
    assert said.specificity == pytest.approx((~ill & ~called).sum() / (~ill).sum())
    rng = np.random.default_rng(1)
    guessed = own.assign(predicted=rng.permutation(own["predicted"].to_numpy()))
    assert malignancy(renamed(model, set(model.classes[:3]), guessed)) is None
    lost = open_model("lost")
    assert malignancy(renamed(lost, set(lost.classes[:3]))) is None


def test_shares_count_every_cell(fitted: Path) -> None:
    model = renamed(open_model("m"), {"HSC"})
    named = pd.DataFrame({"cell_type": ["malignant HSC", "unknown", model.classes[0], model.classes[0]]})
    table = malignant_shares(model, named, np.array(["a", "a", "a", "b"])).set_index(["sample", "state"])
    assert table.loc[("a", "malignant"), "n_cells"] == 1 and table.loc[("b", "normal"), "share"] == 1
    assert table["n_cells"].sum() == 4

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.metrics import expected_calibration_error
from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.calibration import fit_temperature
from sgm_core.annotation.card import card, card_markdown
from sgm_core.annotation.folds import judged
from sgm_core.annotation.recommend import recommend
from sgm_core.annotation.shares import reference_donors, sample_shares
from sgm_core.annotation.signatures import agreement
from sgm_core.annotation.store import export_model, import_model, list_models, open_model
from sgm_core.cells.dataset import open_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer


def test_no_donor_judges_what_it_trained(fitted: Path) -> None:
    """Each cell was named by the classifier of a fold whose training donors are others; its reference too."""
    model, dataset = open_model("m"), open_dataset("tiny")
    table, donors = model.table("out_of_donor"), dataset.donors().astype(str).to_numpy()
    assert sorted(table["cell"]) == np.flatnonzero(dataset.labels().notna()).tolist()
    for number, parts in enumerate(model.meta["fold_donors"]):
        own = table[table["fold"] == number]
        assert set(own["donor"]) <= set(parts["test"])
        assert not set(parts["test"]) & {*parts["train"], *parts["validation"]}
        assert set(donors[model.members[1 + number].reference_rows]) <= set(parts["train"])


def test_calibration_is_that_of_the_folds_classifiers(fitted: Path) -> None:
    model, dataset = open_model("m"), open_dataset("tiny")
    table = model.table("out_of_donor")
    known = table[table["true"].isin(model.classes)]
    logits = np.concatenate(
        [
            judged(dataset, model.members[1 + fold], own["cell"].to_numpy(), Observer())[0]
            for fold, own in known.groupby("fold")
        ]
    )
    codes = pd.Index(model.classes).get_indexer(pd.Index(known.sort_values("fold", kind="stable")["true"]))
    assert np.isclose(fit_temperature(logits, codes), model.temperature, rtol=1e-2)
    right = (known["true"] == known["predicted"]).to_numpy()
    error = expected_calibration_error(right, known["confidence"].to_numpy())
    assert np.isclose(model.meta["calibration"]["ece"], error)
    assert table.loc[table["true"].isin(model.classes), "unknown"].mean() <= 0.05


def test_one_temperature_is_for_one_penalty(fitted: Path) -> None:
    """Folds that chose other penalties made logits of another scale: one fold's cells were all unknown."""
    model = open_model("m")
    assert len({member.linear.strength for member in model.members}) == 1
    known = model.table("out_of_donor")
    known = known[known["true"].isin(model.classes)]
    assert model.meta["unknown"]["false_alarm_elsewhere"] <= 0.05
    assert known.groupby("fold")["alarm_elsewhere"].mean().max() < 0.3


def test_a_card_says_what_it_is_worth(fitted: Path) -> None:
    good, lost = open_model("m"), open_model("lost")
    assert good.useful and "better than chance" in card_markdown(good)
    assert "SIMULATED" in card_markdown(good)
    assert (
        not lost.useful and "USELESS" in card_markdown(lost) and "better than chance" in card_markdown(lost)
    )
    assert card(lost)["useful"] is False
    assert {model.name for model in list_models()} == {"m", "lost"}


def test_shuffled_labels_are_never_recommended(fitted: Path) -> None:
    for name, wanted in (("m", "hvg-logistic"), ("lost", "")):
        model = open_model(name)
        own = model.table("out_of_donor").assign(arm="hvg-logistic", scheme="baseline", scored=True, seed=0)
        folds = pd.DataFrame({"arm": "hvg-logistic", "scheme": "baseline", "fold": [0, 1, 2], "seed": 0})
        folds = pd.concat(
            [folds.assign(macro_f1=[0.4, 0.5, 0.6]), folds.assign(arm="majority", macro_f1=0.02)]
        ).assign(donors_train=8, donors_test=4)
        advice = recommend(folds, own, open_dataset("tiny").donors())
        assert advice.arm == wanted
        assert ("best of the 2" if wanted else "no") in advice.why or "nothing" in advice.why


def test_a_model_travels_by_hash(fitted: Path, tmp_path: Path) -> None:
    packed = export_model("m", tmp_path / "m.zip")
    again = import_model(packed, "again")
    assert again.hash == open_model("m").hash
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name, change, said in (
        ("genes.parquet", content["genes.parquet"] + b" ", "genes.parquet"),
        ("model.json", json.dumps(json.loads(content["model.json"]) | {"arm": "x"}).encode(), "model.json"),
    ):
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
            for each, data in (content | {name: change}).items():
                archive.writestr(each, data)
        with pytest.raises(InputError, match=f"{said}.* was changed"):
            import_model(tmp_path / "changed.zip", "bad")
    assert not (fitted / "models" / "bad").exists()
    (fitted / "models" / "again" / "tensors.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks tensors.safetensors"):
        open_model("again")
    with pytest.raises(NotFoundError, match="no model 'none'"):
        open_model("none")


def test_composition_and_signatures(fitted: Path, tmp_path: Path) -> None:
    model, dataset = open_model("m"), open_dataset("tiny")
    result = annotate("tiny", model, tmp_path / "x.csv")
    donors = dataset.donors().astype(str).to_numpy()
    column = next(c.removeprefix("is:") for c in model.table("donors") if c.startswith("is:"))
    level = model.table("donors")[f"is:{column}"].value_counts().index[0]
    reference = reference_donors(model, column, level)
    assert np.allclose(reference.sum(axis=1), 1)
    table = sample_shares(result.predictions, donors, reference)
    assert np.allclose(table.groupby("sample")["share"].sum(), 1)
    own = table[table["outside"]]
    assert ((own["share"] > own["highest"]) | (own["share"] < own["lowest"])).all()
    with pytest.raises(InputError, match="no column 'nothing'"):
        reference_donors(model, "nothing", "x")
    said = agreement(result.predictions, model.signatures, model.classes)
    judged_ = said[said["note"] == ""]
    assert len(judged_) and not judged_["flagged"].all()
    wrong = result.predictions.assign(best=np.random.default_rng(0).permutation(result.predictions["best"]))
    worse = agreement(wrong, model.signatures, model.classes)
    assert worse.loc[worse["note"] == "", "flagged"].all()

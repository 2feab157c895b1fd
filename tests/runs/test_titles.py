"""A run is called by what was asked for."""

import pytest

from sgm_core.runs.store import create_run
from sgm_core.runs.titles import run_title


@pytest.mark.parametrize(
    ("kind", "parameters", "title"),
    [
        ("compare", {"backbone": "tiny"}, "Compare tiny on demo"),
        ("pretrain", {"backbone": "tiny", "masker": "self-guided", "fold": 2},
         "Pretrain tiny self-guided on demo, fold 2 left out"),
        ("pretrain", {"backbone": "tiny", "masker": "uniform", "fold": None},
         "Pretrain tiny uniform on demo, shared by all folds"),
        ("finetune", {"backbone": "scfoundation", "scheme": "linear-probe"},
         "Finetune scfoundation on demo, linear probe"),
        ("import", {"path": "/data/aml.h5ad"}, "Import aml.h5ad as demo"),
        ("umap", {}, "Map of demo"),
    ],
)  # fmt: skip
def test_a_title_is_a_few_words_from_the_parameters(kind, parameters, title):
    assert run_title(kind, "demo", parameters) == title


def test_a_finetuning_is_called_after_its_pretraining():
    title = run_title(
        "finetune", "demo", {"scheme": "partial"}, "Pretrain tiny uniform on demo, fold 0 left out"
    )
    assert title == "Finetune tiny uniform on demo, fold 0 left out, partial"


def test_a_run_without_a_name_gets_its_title(demo_dataset):
    assert create_run("compare", "small", {"backbone": "tiny"}).title == "Compare tiny on small"


def test_selectors_say_title_time_and_short_id(demo_dataset):
    from pages.components import words

    run = create_run("compare", "small", {"backbone": "tiny"})
    title, when, short = words.run_label(run).split(" · ")
    assert title == "Compare tiny on small"
    assert when == words.when(run.config["created"])
    assert run.id.endswith((short, f"{short}{run.id[-3:]}"))


def test_two_runs_of_one_minute_have_two_names_in_the_selector(demo_dataset):
    from pages.components import words

    runs = [create_run("pretrain", "small", {"data": "small", "backbone": "tiny"}) for _ in range(2)]
    assert len({words.run_label(run) for run in runs}) == 2

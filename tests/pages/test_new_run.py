"""New run: what the form says is what runs."""

import pytest
from page_text import text_of

from sgm_core.runs.store import create_run, list_runs
from sgm_core.training.config import PRESETS, CompareConfig, FinetuneConfig, PretrainConfig


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch):
    """Leave what the page launches in the queue."""
    monkeypatch.setattr("sgm_core.runs.launch.launch", lambda run: None)


def start(page):
    next(button for button in page.button if button.label == "Start the run").click()
    return page.run()


@pytest.mark.parametrize("kind, config", [("compare", CompareConfig), ("pretrain", PretrainConfig)])
def test_untouched_the_form_is_the_default(open_page, demo_dataset, queued, kind, config):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value(kind).run()
    assert not page.exception
    start(page)
    run = list_runs()[0]
    assert run.kind == kind
    expected = config(data="small").to_dict()
    assert config.from_dict(run.parameters) == config.from_dict(expected)


def test_starting_opens_runs_with_the_new_run_in_view(open_page, demo_dataset, queued):
    page = start(open_page("new_run"))
    assert page.title[0].value == "Runs"
    assert page.selectbox(key="run").value == list_runs()[0].id


def test_the_recipe_follows_the_controls(open_page, demo_dataset):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.selectbox(key="pretrain.mask_basis").set_value("all")
    page.number_input(key="pretrain.mask_ratio").set_value(0.15)
    page.selectbox(key="pretrain.masker").set_value("uniform")
    page.number_input(key="pretrain.fold").set_value(0).run()
    text = text_of(page)
    assert "uniform masks" in text and "15% of all positions" in text
    assert "the test donors of fold 0 hidden" in text


def test_time_and_memory_are_said(open_page, demo_dataset):
    assert "of memory:" in text_of(open_page("new_run"))


def test_a_preset_fills_the_form(open_page, demo_dataset, queued):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.selectbox(key="pretrain.preset").set_value("authors").run()
    assert not page.exception
    assert page.number_input(key="pretrain.mask_ratio").value == PRESETS["authors"]["mask_ratio"]
    start(page)
    run = list_runs()[0]
    for field, value in PRESETS["authors"].items():
        assert run.parameters[field] == value, field


def test_nothing_to_compare_is_refused(open_page, demo_dataset):
    page = open_page("new_run")
    page.pills(key="compare.arms").set_value([]).run()
    assert "at least one arm" in page.error[0].value
    assert "Start the run" not in [button.label for button in page.button]


def test_finetuning_needs_a_pretrained_run(open_page, demo_dataset, queued):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("finetune").run()
    assert "No finished pretraining on small yet" in text_of(page)
    run = create_run("pretrain", "small", {"data": "small"})
    run.finish("done")
    page.run()
    assert not page.exception
    start(page)
    assert FinetuneConfig.from_dict(list_runs()[0].parameters).run == run.id


def test_a_cloned_run_comes_back_with_its_parameters(open_page, demo_dataset, queued):
    config = CompareConfig(
        data="small", folds=3, arms=("uniform", "self-guided"), pretrain={"epochs": 2, "lr_new": 0.01}
    )
    original = create_run("compare", "small", config.to_dict())
    original.finish("failed", "for the test")
    page = open_page("runs")
    next(button for button in page.button if button.label == "Clone").click().run()
    assert page.title[0].value == "New run"
    assert page.number_input(key="compare.folds").value == 3
    assert page.number_input(key="compare.pretrain.epochs").value == 2
    assert "The same as the last run" in text_of(page)
    page.switch_page("pages/new_run.py")  # the test harness forgets st.switch_page at its next run
    page.number_input(key="compare.folds").set_value(4).run()
    start(page)
    changed = CompareConfig.from_dict(list_runs()[0].parameters)
    assert changed.pretrain == {"epochs": 2, "lr_new": 0.01}
    assert (changed.folds, changed.arms) == (4, ("uniform", "self-guided"))


def test_what_differs_from_the_last_run_is_listed(open_page, compare_run):
    page = open_page("new_run")
    table = next(frame.value for frame in page.dataframe if "this run" in frame.value)
    assert table.loc[table["parameter"] == "folds", "this run"].item() == "5"

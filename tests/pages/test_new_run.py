"""New run: what the form says is what runs."""

import dataclasses
import json
from dataclasses import replace

import pytest
from other_bundles import KINDS, other_bundle
from page_text import read, text_of

from sgm_core import home
from sgm_core.cli import main
from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import CompareConfig
from sgm_core.device import Memory
from sgm_core.errors import InputError
from sgm_core.model.bundle import IMPORT, LICENCE
from sgm_core.model.released import RELEASED
from sgm_core.model.sizes import shape_fields
from sgm_core.resources.store import add_resource
from sgm_core.runs.measure import wait_for
from sgm_core.runs.store import create_run, list_runs
from sgm_core.training.backbones import BUNDLE_DEFAULTS, KIND_DEFAULTS, default_arms
from sgm_core.training.config import MASKERS, PRESETS, FinetuneConfig, PretrainConfig, pretrain_config
from sgm_core.training.folds import run_folds


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch):
    """Leave what the page launches in the queue."""
    monkeypatch.setattr("sgm_core.runs.launch.launch", lambda run, *_: None)


def labels(page):
    return [button.label for button in page.button]


def start(page):
    next(button for button in page.button if button.label == "Start the run").click()
    return page.run()


def usual_pretraining(values):
    return pretrain_config(**values)


@pytest.mark.parametrize(
    "kind, usual", [("compare", CompareConfig.from_dict), ("pretrain", usual_pretraining)]
)
def test_untouched_the_form_is_the_default(open_page, demo_dataset, queued, kind, usual):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value(kind).run()
    assert not page.exception
    start(page)
    run = list_runs()[0]
    assert run.kind == kind
    expected = usual({"data": "small"})
    assert type(expected).from_dict(run.parameters) == expected and expected.backbone == "dense"


def test_starting_opens_runs_with_the_new_run_in_view(open_page, demo_dataset, queued):
    page = start(open_page("new_run"))
    assert page.title[0].value == "Runs"
    assert page.selectbox(key="run").value == list_runs()[0].id


def test_where_it_runs_is_handed_on_or_what_is_missing_is_said(open_page, demo_dataset, monkeypatch):
    asked = []
    monkeypatch.setattr("sgm_core.runs.launch.launch", lambda run, *where: asked.append(where))
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.segmented_control(key="where-pretrain").set_value("slurm")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        page.run()
    assert not page.exception and "Start the run" not in labels(page)
    assert "Slurm can't be used here: sbatch is not on this machine: launch from a login node" in text_of(
        page
    )
    page.segmented_control(key="where-pretrain").set_value("torchrun").run()
    page.number_input(key="processes-torchrun").set_value(3)
    start(page)
    assert asked == [("torchrun", 3)]


@pytest.mark.parametrize("kind, part", [("pretrain", ""), ("compare", "pretrain.")])
def test_further_datasets_are_offered_where_there_are_any(
    open_page, demo_dataset, few_cells, queued, kind, part
):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value(kind).run()
    pills = page.button_group(key=f"{kind}.{part}corpus")
    assert list(pills.options) == ["small"]
    pills.set_value(["small"]).run()
    assert "and the cells of small, without their labels," in text_of(page)
    page.selectbox(key=f"{kind}.{part}preset").set_value("paper").run()
    assert not page.exception
    page = start(page)
    run = list_runs()[0]
    fields = run.parameters["pretrain"] if part else run.parameters
    assert fields["corpus"] == ["small"], "a preset leaves the data alone"
    assert list(run.config["corpus_hashes"]) == ["small"]
    assert not page.exception and page.title[0].value == "Runs"


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


def test_the_numbers_are_there_at_once(open_page, demo_dataset):
    page = open_page("new_run")
    shown = {metric.label: metric.value for metric in page.metric}
    assert set(shown) == {"Tokens per cell", "Memory", "One epoch", "In all"}
    assert "Measure with 3 steps" in labels(page)


def test_page_command_and_refusal_name_the_same_memory(open_page, demo_dataset, monkeypatch, capsys):
    """That of every process of a comparison at once."""
    command = ["compare", "--data", "small", "--dry-run", "--no-probe"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    size = f"{found['memory_bytes'] / 1e9:,.1f} GB"
    assert found["memory_bytes"] >= found["processes"] * sum(found["memory"].values())
    shown = {metric.label: metric.value for metric in open_page("new_run").metric}
    assert shown["Memory"] == size
    there = found["memory_bytes"] // 2
    monkeypatch.setattr("sgm_core.device.memory", lambda device: Memory(there, there, "memory"))
    for argv in (command, command[:3]):
        assert main(argv) == 2
        assert f"it needs about {size} of memory" in capsys.readouterr().err
    assert f"it needs about {size} of memory" in open_page("new_run").error[0].value


def test_measured_numbers_follow_the_button(open_page, demo_dataset):
    config = PretrainConfig(data="small", backbone="tiny", n_genes=60, latents=4, latent_width=8)
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.selectbox(key="pretrain.backbone").set_value("tiny").run()
    for name in ("n_genes", "latents", "latent_width"):
        page.number_input(key=f"pretrain.{name}").set_value(getattr(config, name))
    page.run()
    next(button for button in page.button if button.label == "Measure with 3 steps").click().run()
    assert not page.exception and "the numbers above follow" in text_of(page)
    wait_for(config, demo_dataset)
    page.run()
    assert "3 steps of 32 cells measured on" in text_of(page)
    assert "Measure with 3 steps" not in labels(page)


def test_what_cannot_fit_says_what_would(open_page, demo_dataset, queued, monkeypatch):
    room = 16 * 10**8
    monkeypatch.setattr("sgm_core.device.memory", lambda device: Memory(room, room, "memory"))
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.selectbox(key="pretrain.backbone").set_value("tiny").run()
    page.number_input(key="pretrain.batch_size").set_value(512).run()
    assert "would not fit" in read(page.error[0].value) and "batch size" in read(page.error[0].value)
    assert "Start the run" not in labels(page)
    next(button for button in page.button if button.label.startswith("Change the form")).click().run()
    assert not page.exception and not page.error
    assert page.number_input(key="pretrain.batch_size").value < 512
    start(page)
    assert list_runs()[0].parameters["recompute"] is True


def test_without_weights_it_says_how_to_get_them(open_page, demo_dataset):
    page = open_page("new_run")
    assert any("weights of scFoundation, scGPT or scBERT" in one.label for one in page.expander)
    assert page.code[0].value == IMPORT and len(page.code) == len(RELEASED)
    text = text_of(page)
    assert "non-commercial research only" in text
    assert "No licence is stated" in text and "GNU General Public License" in text
    assert "Weight set" not in [one.label for one in page.selectbox]


@pytest.mark.parametrize("model", KINDS)
def test_weights_of_other_models_have_their_own_recipe(
    open_page, demo_dataset, shared, tmp_path, queued, model
):
    other_bundle(model, list(map(str, demo_dataset.genes)), shared, tmp_path)
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.selectbox(key="pretrain.backbone").set_value(model).run()
    assert not page.exception
    assert "Weight set" not in [one.label for one in page.selectbox]
    assert not any("weights of" in one.label and RELEASED[model].title in one.label for one in page.expander)
    start(page)
    parameters = list_runs()[0].parameters
    own = KIND_DEFAULTS[model]["pretrain"]
    assert {name: parameters[name] for name in own} == own and parameters["backbone"] == model
    assert PretrainConfig.from_dict(parameters) == pretrain_config(data="small", backbone=model)


@pytest.fixture
def weights(demo_dataset):
    """Imported weights in name only, whose vocabulary is the dataset's genes."""
    shape = {**shape_fields("tiny", demo_dataset.n_genes), "depth_tokens": True, "cell_context": False}
    path = home.folder("weights") / "released"
    path.mkdir()
    lines = [f"{gene}\t{number}" for number, gene in enumerate(demo_dataset.genes)]
    (path / "genes.tsv").write_text("\n".join(["gene_name\tindex", *lines]) + "\n")
    meta = {"schema_version": 1, "name": "released", "keys": ["cell", "gene", "rde"], "config": shape}
    meta |= {"n_parameters": 12345, "licence": LICENCE, "source": {"file": "models.ckpt", "sha256": "0" * 64}}
    home.write_json(path / "bundle.json", meta)


def test_imported_weights_are_a_backbone_with_arms_and_rates_of_its_own(
    open_page, demo_dataset, queued, weights
):
    page = open_page("new_run")
    assert not any("scFoundation weights" in one.label for one in page.expander)
    page.selectbox(key="compare.backbone").set_value("released").run()
    assert not page.exception
    assert page.pills(key="compare.arms").value == list(default_arms("released"))
    text = text_of(page)
    assert "continued pretrainings of `released` (gene weights)" in text
    assert "12,345 parameters" in text and "must not be passed on" in text
    start(page)
    run = CompareConfig.from_dict(list_runs()[0].parameters)
    assert run.backbone == "released" and run.arms == default_arms("released")
    recipe = settings(run, run.arms[-1])[0]
    own = {name: getattr(recipe, name) for name in BUNDLE_DEFAULTS["pretrain"]}
    assert own == BUNDLE_DEFAULTS["pretrain"] and run.pretrain == {}, "as the command line has it"
    page = open_page("new_run")
    page.selectbox(key="compare.backbone").set_value("released").run()
    page.selectbox(key="compare.backbone").set_value("tiny").run()
    assert page.pills(key="compare.arms").value == list(default_arms("tiny"))
    start(page)
    assert "lr_backbone" not in list_runs()[0].parameters["pretrain"]


def test_imported_weights_are_finetuned_without_a_run(open_page, demo_dataset, queued, weights):
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("finetune").run()
    assert not page.exception and "Finetune `released` (gene weights)" in text_of(page)
    page.selectbox(key="finetune.scheme").set_value("last-block").run()
    assert "of disk" in text_of(page)
    start(page)
    config = FinetuneConfig.from_dict(list_runs()[0].parameters)
    assert (config.run, config.backbone, config.data) == ("", "released", "small")
    assert config.lr == BUNDLE_DEFAULTS["finetune"]["lr"]


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


def test_every_masking_strategy_and_gene_set_library_can_be_chosen(open_page, demo_dataset, queued, tmp_path):
    file = tmp_path / "mine.gmt"
    file.write_text("T\t\tCD34\tKIT\n")
    add_resource("genesets", file)
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    assert page.selectbox(key="pretrain.masker").options == list(MASKERS)
    page.selectbox(key="pretrain.masker").set_value("programmes")
    assert page.selectbox(key="pretrain.programmes").options == ["go-demo-subset", "mine"]
    page.selectbox(key="pretrain.programmes").set_value("mine")
    page.number_input(key="pretrain.mask_warmup").set_value(0.2).run()
    assert not page.exception
    start(page)
    told = list_runs()[0].parameters
    assert (told["masker"], told["programmes"], told["mask_warmup"]) == ("programmes", "mine", 0.2)


def test_the_page_names_the_donors_that_the_run_hides(open_page, demo_dataset, queued):
    """The page drew its folds from the run's seed, the run from 0: with seed 7 it named other donors."""
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.number_input(key="pretrain.fold").set_value(0)
    page.number_input(key="pretrain.seed").set_value(7).run()
    text = text_of(page)
    start(page)
    config = PretrainConfig.from_dict(list_runs()[0].parameters)
    assert config.seed == 7
    donors = ", ".join(run_folds(demo_dataset, config)[0].test)
    assert f"the test donors of fold 0 hidden ({donors})" in text
    assert run_folds(demo_dataset, config) == run_folds(demo_dataset, replace(config, seed=0))


def test_the_page_refuses_what_the_command_refuses_in_the_same_words(open_page, demo_dataset):
    with pytest.raises(InputError) as refused:
        pretrain_config(data="small", latent_heads="3")
    page = open_page("new_run")
    page.segmented_control(key="kind").set_value("pretrain").run()
    page.number_input(key="pretrain.latent_heads").set_value(3).run()
    assert str(refused.value) in read(page.error[0].value)
    assert "Start the run" not in labels(page)


def test_the_controls_of_numbers_end_where_their_ranges_do(open_page, demo_dataset):
    page = open_page("new_run")
    for kind, config in (("pretrain", PretrainConfig), ("compare", CompareConfig)):
        page.segmented_control(key="kind").set_value(kind).run()
        spans = {f"{kind}.{field.name}": field.metadata["range"] for field in dataclasses.fields(config)}
        shown = [one for one in page.number_input if spans.get(one.key)]
        assert shown
        for one in shown:
            assert (one.min, one.max) == (spans[one.key].low, spans[one.key].high), one.key


def test_nothing_to_compare_is_refused(open_page, demo_dataset):
    page = open_page("new_run")
    page.pills(key="compare.arms").set_value([]).run()
    assert "arms is empty: choose at least one" in read(page.error[0].value)
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


def test_a_comparison_as_the_released_code_has_it_can_be_cloned(open_page, demo_dataset, queued, weights):
    """Its fields are right together, though not each part of them alone."""
    own = {"pretrain": {"downsample": "0.5", "preset": "paper"}, "finetune": {"compat": "official"}}
    config = CompareConfig.from_dict({"data": "small", "backbone": "released", **own})
    original = create_run("compare", "small", config.to_dict())
    original.finish("done")
    page = open_page("runs")
    next(button for button in page.button if button.label == "Clone").click().run()
    assert page.title[0].value == "New run" and not page.exception
    assert page.number_input(key="compare.pretrain.downsample").value == 0.5
    assert page.selectbox(key="compare.finetune.compat").value == "official"


def test_numbers_of_labels_are_chosen_or_typed_and_run(open_page, demo_dataset, queued):
    page = open_page("new_run")
    keys = [number.key for number in page.number_input]
    assert page.multiselect(key="compare.labels").value == ["all"]
    assert "compare.label_draws" not in keys  # all of them are not drawn
    page.multiselect(key="compare.labels").set_value(["10", " 25", "all"]).run()
    page.number_input(key="compare.label_draws").set_value(4).run()
    assert "10 and 25 labelled cells a class, 4 draws each, and once from all" in text_of(page).replace(
        "*", ""
    )
    start(page)
    config = CompareConfig.from_dict(list_runs()[0].parameters)
    assert (config.labels, config.label_draws) == (("10", "25", "all"), 4)


@pytest.mark.parametrize("typed", [[], ["ten"], ["1"], ["10", "10 "]])
def test_labels_that_are_no_numbers_are_refused(open_page, demo_dataset, queued, typed):
    page = open_page("new_run")
    page.multiselect(key="compare.labels").set_value(typed).run()
    assert not page.exception
    assert "labels" in read(page.error[0].value)
    assert "Start the run" not in labels(page)


def test_a_cloned_comparison_brings_its_labels(open_page, demo_dataset):
    config = CompareConfig(data="small", labels=("17", "all"), label_draws=5)
    create_run("compare", "small", config.to_dict()).finish("failed", "for the test")
    page = open_page("runs")
    next(button for button in page.button if button.label == "Clone").click().run()
    assert page.multiselect(key="compare.labels").value == ["17", "all"]
    assert page.number_input(key="compare.label_draws").value == 5


def test_what_differs_from_the_last_run_is_listed(open_page, compare_run):
    page = open_page("new_run")
    table = next(frame.value for frame in page.dataframe if "this run" in frame.value)
    assert table.loc[table["parameter"] == "folds", "this run"].item() == "5"


def test_a_run_with_impossible_fields_says_so_when_it_is_cloned(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small", "mask_ratio": 1.5})
    run.finish("done")
    page = open_page("runs")
    next(button for button in page.button if button.label == "Clone").click().run()
    assert not page.exception
    assert any(
        "mask_ratio is 1.5: it must be above 0 and below 1" in read(error.value) for error in page.error
    )

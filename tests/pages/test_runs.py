"""Runs: what is happening, what differed?"""

import io
import zipfile

import pandas as pd
import pytest
from page_text import figures, read, text_of

from pages.components import words
from sgm_core import home
from sgm_core.cli import main
from sgm_core.runs import EXPORTED
from sgm_core.runs import parameters as run_parameters
from sgm_core.runs.carry import export_run, export_size, packed_run
from sgm_core.runs.labels import Labels, labels_of, tag_run
from sgm_core.runs.launch import enqueue
from sgm_core.runs.order import places
from sgm_core.runs.process import identity
from sgm_core.runs.run import PAUSE
from sgm_core.runs.store import create_run


def test_a_finished_comparison_shows_its_best_score_and_curves(open_page, compare_run):
    page = open_page("runs")
    assert "1 run: 1 done." in text_of(page)
    table = page.dataframe[0].value
    folds = compare_run.read_table("folds")
    means = folds[folds["scheme"] != "baseline"].groupby(["arm", "scheme"])["macro_f1"].mean()
    assert table["best"][0] == f"macro F1 {means.max():.3f}, Self-guided"
    assert len(table["curve"][0]) == 3
    assert {button.label for button in page.button} >= {"Open in Compare", "Clone"}


def test_the_mask_diagnostic_is_said_in_words(open_page, compare_run):
    page = open_page("runs")
    assert "**Self-guided.** Masks" in text_of(page)
    table = next(frame.value for frame in page.dataframe if "effective_share" in frame.value)
    uniform = table[table["arm"] == "Uniform"].iloc[0]
    assert abs(uniform["effective_share"] - 1) < 0.01
    assert abs(uniform["nonzero_share"] - uniform["base_rate"]) < 0.05


def test_a_failed_run_says_why_and_can_be_resumed(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"}, title="Too large")
    run.message("reading counts")
    run.finish("failed", "not enough memory: take a smaller batch_size")
    page = open_page("runs")
    assert not page.exception
    assert "not enough memory: take a smaller batch_size" in [read(error.value) for error in page.error]
    resume = next(button for button in page.button if button.label == "Resume")
    assert "starts over" in resume.help, "a pretraining keeps nothing of what is half done"
    assert "reading counts" in page.code[0].value


def test_a_run_under_way_can_be_cancelled(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    run.begin()
    run.progress(3, 4, "pretraining, epoch 3")
    run.metric(phase="pretrain", epoch=0, validation_loss=0.5, effective_share=1.0)
    page = open_page("runs")
    assert not page.exception
    next(button for button in page.button if button.label == "Cancel").click().run()
    assert run.cancel_asked() is not None


def test_a_training_under_way_can_be_paused_and_is_said_to_be(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    run.begin()
    page = open_page("runs")
    next(button for button in page.button if button.label == "Pause").click().run()
    assert run.asked(PAUSE) is not None and run.cancel_asked() is None
    assert next(button for button in page.button if button.label == "Pause").disabled
    assert "Stops after its step." in text_of(page)
    run.finish("paused", "paused; resuming goes on from its checkpoint: 3 of 5 epochs done")
    page = open_page("runs")
    assert not page.exception
    assert "3 of 5 epochs done" in read(page.info[0].value)
    assert page.dataframe[0].value["state"][0] == "‖ Paused"
    assert "Resume" in {button.label for button in page.button}


def test_a_deleted_run_can_be_taken_back(open_page, demo_dataset):
    first, run = (create_run("pretrain", "small", {"data": "small"}, title=name) for name in ("One", "Two"))
    create_run("finetune", "small", {"run": run.id}).finish("done")
    for one in (first, run):
        one.finish("failed", "for the test")
    page = open_page("runs", show=run.id)
    assert "1 run started from it and will miss it" in text_of(page)
    assert "on disk in all" in text_of(page)
    next(button for button in page.button if button.label == "Delete this run").click().run()
    assert not page.exception and not run.path.exists()
    page = open_page("runs")
    next(button for button in page.button if button.label == "Take back").click().run()
    assert run.path.exists() and run.state == "failed"


def test_runs_of_every_kind_and_state_can_be_listed(open_page, demo_dataset):
    for kind, state in (
        ("import", "done"),
        ("umap", "cancelled"),
        ("finetune", "queued"),
        ("pretrain", "done"),
    ):
        run = create_run(kind, "small", {"path": "x", "name": "small"} if kind == "import" else {})
        if state != "queued":
            run.finish(state)
    page = open_page("runs")
    assert not page.exception and not page.error
    assert len(page.dataframe[0].value) == 4


def test_runs_are_found_and_labelled(open_page, demo_dataset):
    first, second = (
        create_run("pretrain", "small", {"data": "small"}, title=name) for name in ("One", "Two")
    )
    first.finish("failed", "no reason")
    second.finish("done")
    tag_run(second.id, ["paper"])
    page = open_page("runs", show=first.id)
    tags = next(field for field in page.multiselect if field.key.startswith(f"tags-{first.id}"))
    assert "paper" in tags.options
    tags.select("paper").run()
    note = next(field for field in page.text_area if field.label == "Note")
    note.input("look at *fold* 3").run()
    assert labels_of(first) == Labels(("paper",), "look at *fold* 3")
    assert "look at *fold* 3" in [text.value for text in page.text], "as it was written"

    def listed(**query: str) -> list[str]:
        return list(open_page("runs", show=first.id, **query).dataframe[0].value["title"])

    assert listed(find="FOLD") == listed(states="Failed") == ["One"]
    assert listed(tags="paper") == ["Two", "One"]
    page = open_page("runs", show=first.id, find="two")
    assert "1 of 2 runs" in text_of(page) and page.subheader[0].value == "One", "what was chosen stays"


def test_a_waiting_run_is_moved_and_given_a_priority(open_page, demo_dataset):
    runs = [create_run("pretrain", "small", {"data": "small"}, title=name) for name in ("One", "Two")]
    for run in runs:
        enqueue(run)
        run.update(**identity())
    page = open_page("runs", show=runs[1].id)
    assert list(page.dataframe[0].value["best"]) == ["place 2 of 2 in its queue", "place 1 of 2 in its queue"]
    next(button for button in page.button if button.label == "Up").click().run()
    assert places() == {runs[1].id: (1, 2), runs[0].id: (2, 2)}
    next(field for field in page.number_input if field.label == "Priority").set_value(-3).run()
    assert not page.exception and places()[runs[1].id] == (2, 2)
    assert "place 2 of 2 in its queue, priority -3" in list(page.dataframe[0].value["best"])


def test_a_log_is_searched(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    for line in range(300):
        run.message(f"line {line}" + (" with a *WARNING*" if line == 7 else ""))
    run.finish("failed", "no reason")
    page = open_page("runs")
    assert "line 7 " not in page.code[0].value, "the end of the log is shown"
    search = next(field for field in page.text_input if field.label == "Search the log")
    search.input("*warning").run()
    assert "1 of 300 lines" in text_of(page) and "line 7 with a *WARNING*" in page.code[0].value
    search = next(field for field in page.text_input if field.label == "Search the log")
    search.input("nothing of it").run()
    assert "None of its 300 lines" in text_of(page) and not page.code


def test_of_many_chosen_runs_eight_are_drawn(open_page, demo_dataset):
    runs = [create_run("pretrain", "small", {"data": "small", "seed": i}, title=f"S{i}") for i in range(10)]
    for run in runs:
        for number in (1, 2, 3):
            run.metric(phase="pretrain", epoch=number, validation_loss=1 / number + 0.3 * (number == 3))
        run.finish("done")
    page = open_page("runs", show=",".join(run.id for run in runs), smooth="0.5", logy="true")
    (figure,) = figures(page)
    assert len([trace for trace in figure["data"] if trace.get("name")]) == 8 and len(figure["data"]) == 16
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert "The first 8 of 10 chosen runs are drawn, not S1, S0." in text_of(page)
    table = next(frame.value for frame in page.dataframe if "best epoch" in frame.value)
    assert list(table["run"]) == [f"S{i}" for i in range(9, 1, -1)]
    assert set(table["best epoch"]) == {"2"} and set(table["last epoch"]) == {"3"}


def test_only_what_differs_is_compared():
    table = run_parameters.differences(
        {
            "a": {"epochs": 5, "pretrain": {"lr": 0.1}, "arms": ("x",)},
            "b": {"epochs": 5, "pretrain": {"lr": 0.01}, "arms": ["x"], "umap": True},
        }
    )
    expected = pd.DataFrame(
        [["pretrain.lr", "0.1", "0.01"], ["umap", "", "yes"]], columns=["parameter", "a", "b"]
    )
    pd.testing.assert_frame_equal(table, expected)


def test_two_runs_in_the_link_show_only_what_differed(open_page, demo_dataset):
    first = create_run("pretrain", "small", {"data": "small", "epochs": 3})
    second = create_run("pretrain", "small", {"data": "small", "epochs": 4})
    for run in (first, second):
        run.finish("done")
    page = open_page("runs", show=f"{first.id},{second.id}")
    table = next(frame.value for frame in page.dataframe if "parameter" in frame.value)
    assert list(table["parameter"]) == ["epochs"]
    named = words.run_names([second, first])[::-1]
    assert [table[name].iloc[0] for name in named] == ["3", "4"]


def test_the_export_holds_the_tables(compare_run):
    with zipfile.ZipFile(io.BytesIO(export_run(compare_run.id).read_bytes())) as archive:
        names = archive.namelist()
    assert f"{compare_run.id}/folds.parquet" in names


def test_page_and_command_promise_what_the_export_holds(open_page, compare_run, capsys):
    buttons = [button.proto for button in open_page("runs").get("download_button")]
    button = next(button for button in buttons if button.label == "Export")
    assert EXPORTED in button.help and words.size(export_size(compare_run)) in button.help
    assert "checkpoints" in EXPORTED and not button.disabled
    with pytest.raises(SystemExit):
        main(["runs", "export", "--help"])
    assert EXPORTED in " ".join(capsys.readouterr().out.split())


def test_a_download_leaves_nothing_on_the_server(compare_run):
    # Seen: every export of the page stayed in the home folder for good.
    assert zipfile.is_zipfile(io.BytesIO(packed_run(compare_run.id)))
    assert list(home.folder("exports").iterdir()) == []


def test_numbers_in_words():
    assert words.count(1, "donor") == "1 donor"
    assert words.count(12610, "cell") == "12,610 cells"
    assert words.duration(40) == "40 s"
    assert words.duration(725) == "12 min"
    assert words.duration(11100) == "3 h 5 min"
    assert words.size(3.21e9) == "3.2 GB"
    assert words.value(1e-05) == "1e-05"
    assert words.value(None) == "none"

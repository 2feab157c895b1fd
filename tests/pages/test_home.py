"""Home: three cards, the tour, the device."""

from page_text import figures, text_of, titles

from sgm_core.runs.store import create_run


def test_without_anything_it_offers_an_import(open_page):
    page = open_page("home")
    assert "0 datasets, no run yet" in text_of(page)
    assert [button.label for button in page.button] == ["Import a dataset"]


def test_with_the_demo_it_says_simulated_and_gives_the_tour(open_page, compare_run):
    page = open_page("home")
    assert "1 dataset, 1 run: 1 done." in text_of(page)
    assert "SIMULATED" in text_of(page)
    assert "A tour of the demo (simulated)" in text_of(page)
    assert [button.label for button in page.button] == ["Open Compare", "Start the tour"]


def test_it_names_what_it_computes_on(open_page):
    assert "Computes on: " in text_of(open_page("home"))


def test_a_failed_run_is_said_with_its_reason(open_page, demo_dataset):
    create_run("pretrain", "small", {"data": "small"}).finish("failed", "not enough memory")
    page = open_page("home")
    assert "not enough memory" in text_of(page)
    assert "The newest run failed: see why, then resume it." in text_of(page)


def test_a_run_under_way_shows_its_progress(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    run.begin()
    run.progress(1, 4, "epoch 1")
    page = open_page("home")
    assert not page.exception
    assert "1 running (25%" in text_of(page)


def test_the_newest_comparison_shows_its_scores_and_not_losses_that_lie_on_each_other(open_page, compare_run):
    page = open_page("home")
    (figure,) = figures(page)
    assert titles(page) == ["Macro F1, partial finetune · SIMULATED"]
    assert not figure["layout"]["showlegend"]
    arms = {row for trace in figure["data"] for row in trace["y"]}
    folds = compare_run.read_table("folds")
    assert len(arms) == folds.loc[folds["scheme"] == "partial", "arm"].nunique()


def test_a_pretraining_shows_its_one_curve_without_a_legend(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    for epoch in range(3):
        run.metric(phase="pretrain", epoch=epoch, validation_loss=1.0 / (1 + epoch))
    run.finish("done")
    (figure,) = figures(open_page("home"))
    assert len(figure["data"]) == 1 and not figure["layout"]["showlegend"]

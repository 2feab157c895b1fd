"""Sweep: what the page says of a search, and the best setting on its way to New run."""

import numpy as np
import pytest
from page_text import text_of, titles

from sgm_core.home import write_table
from sgm_core.runs.store import create_run, list_runs
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.folds import sweep_folds
from sgm_core.sweeps.importance import importance
from sgm_core.sweeps.tables import fold_table, trial_table
from sgm_core.sweeps.verdict import verdict

SPACE = ["pretrain.lr_new=1e-4..1e-2:log", "R=1,2,4"]


@pytest.fixture
def make_sweep(demo_dataset):
    """Write a sweep whose scores follow from its settings by `gain`, with the engine's tables."""

    def make(gain: float, n: int = 14):
        config = SweepConfig.from_dict({"data": "small", "space": SPACE, "trials": n, "n_folds": 4})
        run = create_run("sweep", "small", config.to_dict())
        rng = np.random.default_rng(0)
        level = rng.normal(0.6, 0.05, 3)
        trials = []
        for number in range(n):
            setting = config.default_setting()
            if number:
                setting = {
                    "pretrain.lr_new": float(10 ** rng.uniform(-4, -2)),
                    "pretrain.subset": int(rng.choice([1, 4])),
                }
            own = level + gain * np.log10(setting["pretrain.lr_new"] / 1e-3) + rng.normal(0, 0.004, 3)
            scores = [
                {
                    "fold": fold,
                    "macro_f1": float(score),
                    "n_validation": 50,
                    "donors_train": 6,
                    "donors_validation": 3,
                    "seconds": 2.0,
                }
                for fold, score in enumerate(own[: 1 if number == 5 else 3])
            ]
            state = {5: "pruned", 6: "failed"}.get(number, "done")
            trials.append(
                {
                    "number": number,
                    "setting": setting,
                    "state": state,
                    "same_as": None,
                    "error": "a <b>loss</b> is nan" * (state == "failed"),
                    "scores": scores * (state != "failed"),
                }
            )
        for name, table in (
            ("trials", trial_table(trials)),
            ("fold_scores", fold_table(trials)),
            ("importance", importance(config, trials)),
        ):
            write_table(run.path / f"{name}.parquet", table)
        run.move("running")
        run.finish("done")
        return run

    return make


def test_the_page_says_what_was_found_and_hands_it_on(open_page, make_sweep, demo_dataset) -> None:
    run = make_sweep(0.1)
    found = verdict(run.read_table("trials"), run.read_table("fold_scores"))
    page = open_page("sweep", dataset="small")
    assert not page.exception
    said = text_of(page)
    assert found.better and found.sentence in said and "too good" in said
    assert "Proven" not in said, "validation donors that chose it prove nothing"
    assert "14 trials of 14: 12 scored, 1 given up, 1 failed" in said
    assert [title.removesuffix(" · SIMULATED") for title in titles(page)] == [
        "Scores of the trials", "What moved the score", "Settings and their scores",
    ]  # fmt: skip
    commands = page.code[0].value.splitlines()
    held_back = SweepConfig.from_dict(run.parameters).fold
    assert len(commands) == 2 and "pretrain.lr_new=" in commands[0] and "pretrain.lr_new=" not in commands[1]
    assert f"only those of fold {held_back} had no part" in said
    assert sweep_folds(demo_dataset, SweepConfig.from_dict(run.parameters)).held_back
    next(button for button in page.button if button.label == "Start this as a comparison").click().run()
    page.switch_page("pages/new_run.py").run()
    assert page.segmented_control(key="kind").value == "compare"
    best = run.read_table("trials").set_index("number").loc[found.best, "setting"]
    assert str(page.number_input(key="compare.pretrain.lr_new").value) in best


def test_noise_is_no_finding(open_page, make_sweep) -> None:
    make_sweep(0.0)
    said = text_of(open_page("sweep", dataset="small"))
    assert "undecided" in said and "No field can be said to move the score" in said


def test_without_a_sweep_the_page_leads_to_the_form(open_page, demo_dataset, monkeypatch) -> None:
    page = open_page("sweep", dataset="small")
    assert "No sweep on small yet" in text_of(page)
    next(button for button in page.button if button.label == "Search over settings").click().run()
    page.switch_page("pages/new_run.py").run()
    assert page.segmented_control(key="kind").value == "sweep"
    assert "at least one field" in text_of(page)
    monkeypatch.setattr("sgm_core.runs.launch.launch", lambda run: None)
    page.multiselect(key="sweep.space").set_value([SPACE[0]]).run()
    assert "are held back: no trial looks at them" in text_of(page)
    next(button for button in page.button if button.label == "Start the run").click().run()
    (run,) = list_runs()
    asked = SweepConfig.from_dict(run.parameters)
    assert asked == SweepConfig.from_dict({"data": "small", "space": [SPACE[0]]})

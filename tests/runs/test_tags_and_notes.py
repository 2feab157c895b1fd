"""Tags and notes, finding runs by them, and which run is the latest."""

import os
import subprocess
import sys

import pytest

from sgm_core import home
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.carry import export_run, import_run
from sgm_core.runs.find import find_runs, tags_of
from sgm_core.runs.labels import labels_of, note_run, tag_run
from sgm_core.runs.store import Run, create_run, latest_run, list_runs, open_run
from sgm_core.runs.trash import delete_run, restore_run


@pytest.fixture
def run() -> Run:
    return create_run("import", "aml", {"path": "counts.h5ad"}, title="Counts of the first batch")


def test_tags_are_given_and_taken_in_their_order(run) -> None:
    assert labels_of(run).tags == ()
    tag_run(run.id, ["paper", " seed  study ", "paper"])
    assert tag_run(run.id, ["b"], remove=["paper", "never had"]).tags == ("seed study", "b")
    note_run(run.id, " look at fold 3\n")
    assert labels_of(open_run(run.id)) == tag_run(run.id)
    assert labels_of(run).note == "look at fold 3"
    assert note_run(run.id, "").note == "" and labels_of(run).tags == ("seed study", "b")


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 41, "a\0b"])
def test_a_tag_that_can_not_be_is_refused(run, tag) -> None:
    with pytest.raises(InputError, match="without a comma"):
        tag_run(run.id, [tag])


def test_too_much_is_refused_and_a_damaged_file_is_not_written_over(run) -> None:
    with pytest.raises(InputError, match="20 at most"):
        tag_run(run.id, map(str, range(21)))
    with pytest.raises(InputError, match="10,000 at most"):
        note_run(run.id, "x" * 10_001)
    (run.path / "labels.json").write_text('{"tags": ["a"], "no')
    assert labels_of(run).tags == (), "the list still shows the run"
    with pytest.raises(InputError, match="mend it or delete it"):
        note_run(run.id, "new")


def test_a_worker_that_writes_all_the_time_loses_no_label(run) -> None:
    code = (
        "import sys; from sgm_core.runs.store import open_run\n"
        "run = open_run(sys.argv[1]); run.begin(); print(flush=True)\n"
        "for i in range(40): run.update(progress={'done': i})\n"
        "run.finish('done')"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, run.id], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    tagged = 0
    while worker.poll() is None and tagged < 20:
        tag_run(run.id, [f"t{tagged}"])
        note_run(run.id, f"note {tagged}")
        tagged += 1
    assert worker.wait() == 0 and tagged > 0
    assert labels_of(run).tags == tuple(f"t{i}" for i in range(tagged)) and run.state == "done"


def test_runs_are_found_by_words_tags_and_state(run) -> None:
    other = create_run("import", "marrow", {"path": "other.h5ad"})
    other.finish("failed", "for the test")
    tag_run(run.id, ["paper", "Seed 3"])
    tag_run(other.id, ["paper"])
    note_run(other.id, "Compare with Figure 2")

    def found(**asked: object) -> set[str]:
        return {each.dataset_name for each in find_runs(list_runs(), **asked)}  # type: ignore[arg-type]

    assert found() == {"aml", "marrow"}
    assert found(text="FIRST batch") == found(tags=["Seed 3"]) == found(text="seed") == {"aml"}
    assert found(text="figure") == found(states=["failed", "lost"]) == {"marrow"}
    assert found(tags=["paper"]) == {"aml", "marrow"}
    assert found(tags=["paper", "Seed 3"], states=["failed"]) == found(text="nothing") == set()
    assert tags_of(list_runs()) == ["paper", "Seed 3"]


def test_labels_travel_with_an_export(run, tmp_path) -> None:
    run.finish("done")
    tag_run(run.id, ["paper"])
    file = export_run(run.id, tmp_path / "run.zip")
    delete_run(run.id)
    assert labels_of(import_run(file)).tags == ("paper",)


def test_latest_is_the_training_that_was_asked_for_last(demo_dataset) -> None:
    def linked() -> str:
        return os.readlink(home.folder("runs") / "latest")

    create_run("import", "aml", {"path": "counts.h5ad"})
    with pytest.raises(NotFoundError, match="no training yet"):
        open_run("latest")
    first, second = (create_run("pretrain", "small", {"data": "small"}) for _ in range(2))
    create_run("umap", "small", {})  # an aside
    assert open_run("latest").id == linked() == second.id
    assert (home.folder("runs") / "latest" / "config.json").samefile(second.path / "config.json")
    second.finish("cancelled")
    delete_run("latest")
    assert open_run("latest").id == linked() == first.id and not second.path.exists()
    restore_run(second.id)
    assert open_run("latest").id == linked() == second.id
    assert len(list_runs()) == 4, "the link is no run"
    for one in (first, second):
        if one.active:
            one.finish("cancelled")
        delete_run(one.id)
    assert latest_run() is None and not (home.folder("runs") / "latest").is_symlink()
    with pytest.raises(InputError, match="stands for the newest training"):
        create_run("import", "aml", {"path": "counts.h5ad"}, run_id="latest")

"""Questions about a selection: from the question to the answer, and on to enrichment."""

import numpy as np
import pytest
import streamlit as st
from hostile import COLUMNS, GENES, hostile_dataset, hostile_run
from page_text import text_of, titles
from streamlit.testing.v1 import AppTest
from test_names_are_text import obeyed

from pages.components import words
from sgm_core.home import write_json
from sgm_core.progress import Observer
from sgm_core.runs.store import list_runs
from sgm_core.runs.worker import run_in_foreground

SCRIPT = """
import numpy as np
import streamlit as st
from pages.components import questions, frame
from sgm_core.cells.dataset import open_dataset
from sgm_core.runs.store import open_run

dataset = open_dataset(st.session_state["dataset-in-test"])
run = open_run(st.session_state["run-in-test"]) if st.session_state.get("run-in-test") else None
with frame.guard():
    questions.panel(dataset, run, None, st.session_state["selected"], st.session_state["name-in-test"])
"""


@pytest.fixture
def ask(monkeypatch, demo_dataset):
    """Open the panel alone, with a selection and a question; runs are done at once."""
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr(
        "pages.components.questions_differential.launch", lambda run: run_in_foreground(run, Observer())
    )

    def open_it(
        selected: np.ndarray,
        question: str,
        run: str = "",
        dataset: str = "small",
        name: str = "My cells",
        **query: str,
    ) -> AppTest:
        app = AppTest.from_string(SCRIPT, default_timeout=120)
        app.session_state["dataset-in-test"], app.session_state["name-in-test"] = dataset, name
        app.session_state["selected"], app.session_state["run-in-test"] = selected, run
        app.query_params.update({"ask": question, **query})
        return app.run()

    return open_it


@pytest.fixture
def gmp(demo_dataset) -> np.ndarray:
    return (demo_dataset.labels() == "GMP").to_numpy()


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label.startswith(label)).click().run()


def test_composition_starts_with_a_column_in_which_the_cells_differ(ask, gmp) -> None:
    page = ask(gmp, "What are they?")
    assert not page.exception and not page.error
    assert titles(page) == ["Selected cells by timepoint · SIMULATED"]
    assert "95 % interval over 12 donors" in text_of(page)
    page.selectbox(key="composition").set_value("cell_type").run()
    assert "Every selected cell is GMP by cell type" in text_of(page)
    page.selectbox(key="composition").set_value("donor").run()
    assert "donors are what a difference is judged by" in text_of(page)


def test_a_comparison_says_its_plan_runs_and_answers(ask, gmp, demo_dataset) -> None:
    page = ask(gmp, "Which genes differ?", **{"de-cells": "4"})
    assert not page.exception and not page.error
    assert "Pseudobulk over" in text_of(page) and "each against itself" in text_of(page)
    assert list_runs() == []
    page = press(page, "Compare")
    (run,) = list_runs()
    assert run.state == "done"
    table = run.read_table("differential")
    higher = ((table["q_value"] < 0.05) & (table["log2_fold_change"] > 0)).sum()
    assert higher > 3
    text = text_of(page)
    assert f"{higher:,} genes higher" in text and "Proven" in text
    assert titles(page)[0].startswith("My cells against all other cells")
    assert f"Whole table: {len(table):,} genes (CSV)" in [b.label for b in page.get("download_button")]
    # The same question, asked again, shows the answer without asking.
    again = ask(gmp, "Which genes differ?", **{"de-cells": "4"})
    assert f"{higher:,} genes higher" in text_of(again)
    assert not [button for button in again.button if button.label == "Compare"]


def test_two_groups_of_the_selected_cells_start_with_what_tells_donors_apart(ask, gmp, demo_dataset) -> None:
    page = ask(gmp, "Which genes differ?", **{"de-against": "Two groups of these cells"})
    assert not page.exception and not page.error
    assert page.selectbox(key="de-split-by").value == "condition"
    sides = {page.selectbox(key="de-split-a").value, page.selectbox(key="de-split-b").value}
    assert sides == {"AML", "Healthy"}


def test_another_group_starts_with_the_same_cell_type(ask, gmp, demo_dataset) -> None:
    mine = gmp & (demo_dataset.obs["condition"] == "AML").to_numpy()
    page = ask(
        mine, "Which genes differ?", **{"de-against": "Another group of cells", "de-by-0": "Condition"}
    )
    assert not page.exception and not page.error
    other = gmp & (demo_dataset.obs["condition"] == "Healthy").to_numpy()
    assert f"B GMP, Healthy: {other.sum()} cells" in text_of(page).replace("*", "")


def test_a_group_that_is_selected_already_is_no_other_side(ask, gmp) -> None:
    page = ask(gmp, "Which genes differ?", **{"de-against": "Another group of cells"})
    assert not page.exception and not page.error
    assert "are selected already" in text_of(page) and list_runs() == []


def test_too_few_donors_are_described_without_p(ask, demo_dataset) -> None:
    mine = demo_dataset.donors().isin(["AML01", "AML02"]).to_numpy()
    page = press(ask(mine, "Which genes differ?"), "Compare")
    text = text_of(page)
    assert "No test of My cells" in text and "no p-values" in text
    assert "Proven" not in text
    (table,) = [frame.value for frame in page.dataframe if "log2_fold_change" in frame.value]
    assert not {"p_value", "q_value"} & set(table)


def test_a_failed_comparison_says_why_and_can_be_tried_again(ask, gmp, monkeypatch) -> None:
    def fail(run) -> None:
        run.finish("failed", "the disk is full")

    monkeypatch.setattr("pages.components.questions_differential.launch", fail)
    page = press(ask(gmp, "Which genes differ?"), "Compare")
    assert any("the disk is full" in warning.value for warning in page.warning)
    assert any(button.label == "Try again" for button in page.button)


def test_cells_that_cannot_be_compared_are_refused_in_words(ask, demo_dataset) -> None:
    page = ask(np.ones(600, dtype=bool), "Which genes differ?")
    assert not page.exception
    assert "No cell is in B" in text_of(page)
    few = np.zeros(600, dtype=bool)
    few[:2] = True
    page = ask(few, "Which genes differ?")
    assert page.error and "has 2 cells: a comparison needs at least 3" in text_of(page)


def test_genes_of_the_link_are_drawn_and_unknown_ones_forgotten(ask, gmp, demo_dataset) -> None:
    gene = str(demo_dataset.var.nlargest(1, "n_cells")["gene"].iloc[0])
    page = ask(gmp, "How much of a gene?", picked=gene)
    assert not page.exception and not page.error
    assert page.multiselect(key="picked").value == [gene]
    assert any(title.startswith(f"{gene} by") for title in titles(page))


def test_masks_speak_of_cell_types_and_of_what_is_not_known(ask, gmp, compare_run) -> None:
    page = ask(gmp, "Which genes are hidden?", run=compare_run.id)
    text = text_of(page)
    assert not page.exception and not page.error
    assert "kept none of a single cell" in text and "GMP 100%" in text
    assert "No run with mask counts" in text_of(ask(gmp, "Which genes are hidden?"))


def test_coordinates_and_labels_are_counted_and_what_needs_counts_is_said(ask, gmp, demo_dataset) -> None:
    roles = {**demo_dataset.meta["roles"], "donor": None}
    write_json(demo_dataset.path / "dataset.json", {**demo_dataset.meta, "n_genes": 0, "roles": roles})
    page = ask(gmp, "What are they?")
    assert not page.exception and not page.error
    assert "no interval, since the dataset has no donor column" in text_of(page)
    for question in ("Which genes differ?", "How much of a gene?"):
        page = ask(gmp, question)
        assert not page.exception
        assert "has coordinates and labels only" in text_of(page)


def test_no_cell_no_question(ask) -> None:
    page = ask(np.zeros(600, dtype=bool), "What are they?")
    assert "No cell is selected" in text_of(page) and not page.selectbox


def test_handed_genes_arrive_with_the_tested_genes_as_universe(open_page, demo_dataset, gmp) -> None:
    from sgm_core.runs.differential import create_differential, read_differential

    run = run_in_foreground(
        create_differential(demo_dataset, gmp, ~gmp, "GMP", "rest", min_cells=4), Observer()
    )
    table, facts = read_differential(run)
    genes = table["gene"].head(20).tolist()
    page = open_page("enrichment", genes="My own list", list=" ".join(genes), compared=run.id)
    text = text_of(page)
    assert not page.exception and not page.error
    assert page.radio(key="universe").value == "compared"
    assert f"Universe: The {facts['n_tested']:,} genes that the comparison tested" in text
    assert "List: 20 genes" in text
    assert "that the comparison tested" not in text_of(
        open_page("enrichment", genes="My own list", list="MPO")
    )


@pytest.mark.parametrize("column", [0, 1])
def test_no_question_obeys_a_name(ask, demo_dataset, tmp_path, column: int) -> None:
    dataset = hostile_dataset(demo_dataset, tmp_path)
    run = hostile_run(dataset, tmp_path)
    kind = dataset.labels().value_counts().index[column]
    selected = (dataset.labels() == kind).to_numpy()
    views = [
        ("What are they?", {}),
        ("Which genes differ?", {"de-cells": "4", "picked": GENES[0]}),
        ("Which genes differ?", {"de-cells": "4", "de-families": "true"}),
        ("Which genes differ?", {"de-against": "Another group of cells"}),
        ("Which genes differ?", {"de-against": "Two groups of these cells", "de-method": "Wilcoxon"}),
        ("How much of a gene?", {"dots-over": words.plain_column(COLUMNS["cell_type"]), "picked": GENES[2]}),
        ("Which genes are hidden?", {}),
    ]
    told = ""
    for question, query in views:
        page = ask(selected, question, run.id, dataset.name, kind, **query)
        if any(button.label == "Compare" for button in page.button):
            page = press(page, "Compare")
        assert not page.exception and not page.error, (question, query)
        assert obeyed(page) == [], (question, query)
        told += text_of(page)
    assert kind in told

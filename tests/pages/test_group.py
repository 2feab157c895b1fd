"""A dashboard that a group shares: what each role sees, and that hiding a button is not what keeps it."""

import pytest
from page_text import text_of

from sgm_core.access import read_actions
from sgm_core.runs.store import create_run, list_runs
from sgm_core.runs.trash import deleted_runs

ADA = {"is_logged_in": True, "email": "ada@lab.test", "name": "Ada"}
BOB = {"is_logged_in": True, "email": "bob@lab.test", "name": "Bob"}
EVE = {"is_logged_in": True, "email": "eve@else.test", "name": "Eve"}
ROLES = '[access]\noperators = ["ada@lab.test"]\nviewers = ["@lab.test"]\n'


@pytest.fixture
def group(sgm_home):
    (sgm_home / "config.toml").write_text(ROLES)


def button(page, label: str):
    return next(each for each in page.button if each.label == label)


@pytest.fixture
def careless(monkeypatch):
    """Pages that forget who may do what: the buttons are all there to be pressed."""
    monkeypatch.setattr("pages.components.permit.refused", lambda action: {})


def test_a_viewer_is_told_why_and_presses_nothing(open_page, compare_run, group):
    why = "A viewer can't {}: ask an operator of this dashboard."
    page = open_page("runs", user=BOB)
    found = button(page, "Delete this run")
    assert found.disabled and found.help == why.format("delete")
    found.proto.disabled = False  # as a browser could that was told to
    found.click().run()
    page = page.switch_page("pages/new_run.py").run()
    found = button(page, "Start the run")
    assert found.disabled and found.help == why.format("launch")
    assert deleted_runs() == [] and len(list_runs()) == 1


def test_the_engine_refuses_a_viewer_what_a_page_would_let_through(open_page, compare_run, group, careless):
    run = create_run("pretrain", compare_run.dataset_name, {"data": compare_run.dataset_name})
    page = open_page("runs", user=BOB, show=run.id)
    page = button(page, "Cancel").click().run()
    assert [error.value for error in page.error] == [
        "a viewer can't cancel&#58; ask an operator of this dashboard"
    ]
    page = page.switch_page("pages/new_run.py").run()
    page = button(page, "Start the run").click().run()
    assert [error.value for error in page.error] == [
        "a viewer can't launch&#58; ask an operator of this dashboard"
    ]
    assert run.state == "queued" and len(list_runs()) == 2
    who = {"who": "Bob (bob@lab.test)", "role": "viewer", "outcome": "refused"}
    rows = read_actions()
    assert [row["action"] for row in rows] == ["launch", "cancel"]
    assert all(row.items() >= who.items() for row in rows)
    page = open_page("runs", user=ADA, show=run.id)
    button(page, "Cancel").click().run()
    assert run.state == "cancelled"
    latest = read_actions(1)[0]
    assert (latest["who"], latest["action"], latest["what"]) == ("Ada (ada@lab.test)", "cancel", run.id)
    page = open_page("actions", user=ADA)
    assert "2 refused" in text_of(page)
    assert page.dataframe[0].value["action"].tolist() == ["cancel", "launch", "cancel"]
    page = open_page("actions", user=BOB)
    assert "refused" not in text_of(page) and not page.dataframe


def test_a_viewer_imports_and_uploads_nothing_and_reads_named_folders_alone(
    open_page, demo_dataset, group, sgm_home, tmp_path
):
    (tmp_path / "cells.csv").write_text("cell,x,y\na,1,2\nb,2,3\n")
    page = open_page("datasets", user=BOB, view="Import")
    field = next(each for each in page.text_input if each.label == "File or folder on this machine")
    page = field.set_value(str(tmp_path / "cells.csv")).run()
    assert button(page, "Import").disabled
    (sgm_home / "uploads").mkdir()
    (sgm_home / "uploads" / "cells.csv").write_text("cell,x,y\na,1,2\n")
    field = next(each for each in page.text_input if each.label == "File or folder on this machine")
    page = field.set_value(str(sgm_home / "config.toml")).run()
    assert "does not open this path" in page.error[0].value
    page = open_page("datasets", user=BOB, view="Import", **{"from": "Upload"})
    assert page.get("file_uploader")[0].disabled
    page = open_page("datasets", user=ADA, view="Import", **{"from": "Upload"})
    assert not page.get("file_uploader")[0].disabled


def test_who_is_not_admitted_sees_nothing(open_page, compare_run, group):
    cases = ((EVE, "runs"), ({"is_logged_in": False}, "cells"), ({"is_logged_in": False}, "actions"))
    for user, name in cases:
        said = "is not open to you" if user is EVE else "who have been admitted"
        page = open_page(name, user=user)
        text = text_of(page)
        assert said in text and compare_run.dataset_name not in text, (user, name)
        assert [each.label for each in page.button] == ["Log out" if user is EVE else "Log in"]
        assert not page.selectbox and not page.dataframe


def test_admission_can_be_taken_back_while_a_page_is_open(open_page, demo_dataset, group, sgm_home):
    page = open_page("datasets", user=BOB)
    assert demo_dataset.name in [each.value for each in page.selectbox]
    (sgm_home / "config.toml").write_text(ROLES.replace('"@lab.test"', ""))
    page = page.run()
    assert not page.selectbox and "is not open to you" in text_of(page)


def test_roles_without_a_login_open_the_dashboard_to_nobody(open_page, compare_run, group):
    page = open_page("runs")
    assert "there is no login to tell people apart" in page.error[0].value
    assert not page.dataframe


def test_without_a_login_all_is_as_it_was(open_page, compare_run):
    page = open_page("runs")
    assert not page.error and not button(page, "Delete this run").disabled
    assert not page.sidebar.button
    page = open_page("actions")
    assert "Actions" not in [each.value for each in page.title]

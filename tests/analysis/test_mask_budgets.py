"""Equal budgets: whether arms hide as many non-zero and zero genes of the same cells, and what it says."""

import pandas as pd
import pytest

from sgm_core.analysis.mask_budgets import budget_sentence, equal_budgets, hidden_rates


def row(arm: str, nonzero: float, zero: float, epoch: int = 1, base: float = 0.2, **more: float) -> dict:
    hidden = base * nonzero + (1 - base) * zero
    share = base * nonzero / hidden
    facts = {"arm": arm, "fold": 0, "seed": 0, "epoch": epoch, "cells": 100, "base_rate": base}
    return facts | {"masked_share": hidden, "nonzero_share": share, "effective_share": 1.0, **more}


def test_arms_that_hide_the_same_are_said_to() -> None:
    rows = [row("a", 0.3, 0.03, epoch, hidden_counts=0.3) for epoch in (0, 1, 2)]
    rows += [row("b", 0.3, 0.03, epoch, hidden_counts=0.5) for epoch in (0, 1)]
    table = pd.DataFrame(rows)
    assert equal_budgets(table) == "equal"
    assert hidden_rates(table).loc["b"].tolist() == pytest.approx([0.3, 0.03, 0.5])
    assert budget_sentence(table, str.upper) == (
        "All arms hide the same number of genes of a cell: 30% of its non-zero and 3.0% of its zero genes. "
        "Hidden share of a cell's counts: A 30%, B 50%"
    )


def test_arms_of_other_lengths_are_compared_where_both_have_epochs() -> None:
    """The second epoch has other cells; an arm that stopped after the first is not unequal for that."""
    rows = [row("a", 0.3, 0.03, 1), row("a", 0.31, 0.03, 2, base=0.3), row("b", 0.3, 0.03, 1)]
    assert equal_budgets(pd.DataFrame(rows)) == "equal"


def test_budgets_that_are_equal_on_average_alone() -> None:
    rows = [row("a", 0.3, 0.03), row("b", 0.302, 0.0302)]
    assert equal_budgets(pd.DataFrame(rows)) == "on average"
    assert "the same number of genes of a cell on average" in budget_sentence(pd.DataFrame(rows))


def test_unequal_budgets_are_said_to_be() -> None:
    """Under the basis `all` an arm that follows expression hides three times as many expressed genes."""
    table = pd.DataFrame([row("uniform", 0.3, 0.3), row("expression", 0.9, 0.15)])
    assert equal_budgets(table) == "unequal"
    assert "do not hide the same number of genes" in budget_sentence(table)
    assert "30.0% to 90.0% of its non-zero and 15.0% to 30.0% of its zero" in budget_sentence(table)


def test_one_arm_has_nothing_to_be_compared_with_and_old_runs_no_counts() -> None:
    old = pd.DataFrame([row("a", 0.3, 0.03)]).drop(columns="seed")
    assert equal_budgets(old) == "" and budget_sentence(old) == ""

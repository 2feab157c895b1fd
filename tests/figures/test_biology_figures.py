"""Gene sets beside matched lists, the ranks of two models, and preference over epochs."""

import numpy as np
import pandas as pd

from sgm_core.figures.biology import overlaps
from sgm_core.figures.mask_agreement import rank_pairs
from sgm_core.figures.mask_epochs import preference


def test_each_set_stands_over_its_matched_range_and_says_what_it_is() -> None:
    rows = pd.DataFrame(
        {
            "set": ["as equals", "<b>found</b>", "a control's too"], "n_list": 50, "n_set": 30,
            "n_hits": [3, 12, 9], "matched": 3.2, "matched_low": 1, "matched_high": 6, "genes": "A;B",
            "p_matched": [0.6, 1e-6, 1e-4], "q_matched": [0.7, 1e-5, 1e-3],
            "beyond_controls": [False, True, False],
        }
    )  # fmt: skip
    fig = overlaps(rows, "Sets")
    drawn = {trace.name: trace for trace in fig.data if trace.name}
    assert drawn["Beyond equals and controls"].x.tolist() == [12]
    assert drawn["Beyond equals, as a control is"].x.tolist() == [9]
    assert drawn["As genes of equal expression"].x.tolist() == [3]
    assert (drawn["95 % of matched lists"].base == 1).all()
    assert "<b>" not in fig.layout.yaxis.ticktext[0]
    assert not len(overlaps(rows[:0], "None").data[0].x)


def test_ranks_of_two_models_carry_correlation_interval_and_number_of_genes() -> None:
    table = pd.DataFrame({"gene": ["A", "B", "C"], "first": [0.1, -0.2, 0.3], "second": [0.0, 0.2, 0.9]})
    table.attrs = {"seeds": (0, 1), "folds": (0, 2)}
    ends = {"": 0.5, "_low": 0.2, "_high": 0.7}
    d = {f"agreement_between_{kind}{end}": x for kind in ("seeds", "donors") for end, x in ends.items()}
    fig = rank_pairs({"seeds": table, "donors": table}, d, "Order")
    assert fig.data[0].x.tolist() == [2, 1, 3]
    titles = [note.text for note in fig.layout.annotations]
    assert titles[0] == "Another seed, the same donors<br>Spearman 0.50 (0.20 to 0.70), 3 genes"
    assert fig.layout.yaxis2.title.text == "Rank, seed 1, fold 2"


def test_preference_over_epochs_has_its_control_and_the_effective_share() -> None:
    rows = pd.DataFrame({"epoch": [0, 1], "correlation": [0.0, 0.8], "low": [-0.1, 0.7], "high": [0.1, 0.9]})
    rows["genes"] = 90
    shares = pd.DataFrame({"epoch": [2, 0, 1], "effective_share": [0.8, 1.0, 0.9]})
    fig = preference({"self-guided": rows, "uniform": rows}, shares, "self-guided", "Epochs")
    assert len(fig.data) == 3
    assert np.allclose(fig.data[2].y, [1.0, 0.9, 0.8])
    assert "90 genes" in fig.layout.title.subtitle.text

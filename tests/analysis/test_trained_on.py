"""Tables say how many cells trained, where that was not all of them."""

import pandas as pd

from sgm_core.analysis.tally import trained_on


def test_the_drawn_cells_are_said_and_all_cells_are_not() -> None:
    folds = pd.DataFrame({"n_train": [16_000, 16_000], "n_train_all": [230_110, 228_900]})
    assert trained_on(folds).startswith(
        "An epoch took 16,000 of the 228,900 to 230,110 labelled training cells"
    )
    assert trained_on(folds.assign(n_train=folds["n_train_all"])) == ""
    assert trained_on(folds.drop(columns="n_train_all")) == "", "a run of an older version took all"

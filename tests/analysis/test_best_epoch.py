"""Best against last epoch."""

import pandas as pd
import pytest

from sgm_core.analysis.best_epoch import best_and_last


def rows(values: list[float], **facts: object) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(values) + 1), "validation_loss": values}).assign(
        phase="pretrain", **facts
    )


def test_best_and_last_of_each_model_are_averaged() -> None:
    metrics = pd.concat(
        [
            rows([3.0, 1.0, 2.0], run="a", arm="x", fold=0),
            rows([3.0, 2.0, 1.5, 4.0], run="a", arm="x", fold=1),
            rows([5.0, 4.0], run="b", arm="x", fold=0),
            pd.DataFrame({"phase": ["finetune"], "run": "a", "arm": "x", "fold": 0, "macro_f1": 0.5}),
        ]
    )
    table = best_and_last(metrics.reset_index(drop=True), "validation_loss", "pretrain")
    first, second = table.to_dict("records")
    assert (first["run"], first["models"], first["best_epoch"]) == ("a", 2, 2.5)
    assert (first["first"], first["latest"], first["last_epoch"]) == (2, 3, 4)
    assert first["best"] == pytest.approx(1.25) and first["last"] == pytest.approx(3.0)
    assert first["difference"] == pytest.approx(-1.75)
    assert (second["best_epoch"], second["last_epoch"], second["difference"]) == (2, 2, 0.0)


def test_of_a_score_the_highest_is_best_and_rows_may_lie_in_any_order() -> None:
    metrics = rows([0.2, 0.6, 0.4], run="a").rename(columns={"validation_loss": "validation_f1"})
    (row,) = best_and_last(metrics.iloc[::-1], "validation_f1", "pretrain").to_dict("records")
    assert (row["best_epoch"], row["best"], row["last"]) == (2, 0.6, 0.4)

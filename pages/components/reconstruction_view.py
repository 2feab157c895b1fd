"""What a pretrained model has learned: its reconstruction of hidden genes against simple predictors."""

import pandas as pd
import streamlit as st

from pages.components import show, tables
from sgm_core.analysis.reconstruction import LEAST_GAIN, reconstruction_line
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.report.predictor_table import how_tested, predictor_table
from sgm_core.runs.store import Run


def reconstruction(runs: list[Run]) -> None:
    """Say which simple predictors each arm of each run beats; nothing where no run has such a table."""
    found = [(run, tables.read(run, "reconstruction")) for run in runs]
    filled = [(run, table) for run, table in found if table is not None and len(table)]
    if filled:
        st.subheader("Has pretraining learned anything?", anchor=False)
    for run, table in filled:
        if len(runs) > 1:
            st.caption(escape(run.title))
        _one(run, table)


def _one(run: Run, table: pd.DataFrame) -> None:
    for arm, rows in table.groupby("arm", sort=False):
        st.markdown(f"**{escape(arm_name(str(arm)))}** {escape(reconstruction_line(rows))}.")
    number = st.column_config.NumberColumn
    with st.expander("R2 of the model and of each predictor"):
        show.table(
            predictor_table(table),
            f"reconstruction-{run.id}",
            column_config={
                "arm": "Arm",
                "predictor": "Predictor",
                "r2": number("R2", format="%.3f"),
                "r2_nonzero": number("Non-zero", format="%.3f", help="of hidden genes that are not zero"),
                "r2_gene": number("Per gene", format="%.3f", help="median over genes of each gene's own R2"),
                "gain": number("Model's gain", format="%.3f", help="R2 of the model less the predictor's"),
                "gain_low": number("From", format="%.3f", help="95 % interval, mean over models"),
                "gain_high": number("To", format="%.3f", help="95 % interval, mean over models"),
                "beaten": st.column_config.TextColumn(
                    "Beaten", help=f"models whose interval is above {LEAST_GAIN}"
                ),
            },
        )
        st.caption(how_tested(table))

"""Sweep: which settings score best, and is the best one more than luck?"""

import pandas as pd
import streamlit as st

from pages.components import clone, frame, run_facts, show, state, tables, words
from sgm_core.analysis.inference import LEVEL
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures import sweeps as figures
from sgm_core.report.repeat import compare_command
from sgm_core.runs.store import ACTIVE, Run
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.tables import FEWEST, settings_of
from sgm_core.sweeps.verdict import Verdict, verdict
from sgm_core.sweeps.words import comparison_of, setting_of, value_text

KEY = "sweep"
_STATES = {"done": "scored", "pruned": "given up", "failed": "failed", "running": "under way"}


def choose(runs: list[Run]) -> Run:
    """Draw the selector of the sweep; it is part of the link."""
    ids = {run.id: run for run in runs}
    frame.settle(KEY, list(ids), lambda: next(iter(ids)))
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.selectbox(
            "Sweep",
            list(ids),
            key=KEY,
            format_func=lambda each: words.run_label(ids[each]),
            label_visibility="collapsed",
            width=420,
        )
        frame.run_badge(ids[chosen])
    if st.query_params.get(KEY) != chosen:
        st.query_params[KEY] = chosen
    return ids[chosen]


def answer(found: Verdict | None, trials: pd.DataFrame, config: SweepConfig) -> None:
    """Say what was found, and how little that may mean."""
    if found is None:
        frame.answer("Nothing to compare yet: the default setting and another one have to be scored first.")
    else:
        frame.answer(
            escape(f"{found.sentence}."), "undecided" if found.best and not found.better else "described"
        )
    counts = trials["state"].map(_STATES).value_counts()
    parts = [f"{counts[name]} {name}" for name in _STATES.values() if name in counts]
    said = f"{words.count(len(trials), 'trial')} of {config.n_trials}: {', '.join(parts)}."
    st.caption(escape(f"{found.caution} {said}" if found and found.best else said))


def importance(run: Run) -> None:
    """Draw what moved the score, where anything did."""
    table = tables.read(run, "importance")
    if table is None:
        _note("What moved the score is worked out at the end of the sweep.")
        return
    n, explained, p = (table[name].iloc[0] for name in ("n_trials", "explained", "p"))
    if len(table) < 2:
        _note("One field is searched: settings differ in nothing else.")
    elif table["importance"].isna().all():
        _note(f"Too few settings to say what moved the score: {n} were scored, and it takes {FEWEST}.")
    elif explained <= 0 or p >= LEVEL:
        _note(
            "No field can be said to move the score: settings predict the scores of other trials no better "
            f"than shuffled ones (p {p:.2g})."
        )
    else:
        fig = figures.shares(table, "What moved the score")
        show.figure(fig, "importance", table, alt="Share of the variance of the score by field")
        st.caption(
            f"fANOVA on {n} trials; settings explain {explained:.0%} of the variance of scores that they were"
            " not fitted to."
        )


def _note(text: str) -> None:
    st.info(text, icon=":material/bar_chart:")


def trial_list(trials: pd.DataFrame, settings: pd.DataFrame) -> int | None:
    """Show every trial; returns the number of the one that is selected."""
    shown = pd.DataFrame(
        {
            "trial": trials["number"],
            "state": trials["state"].map(_STATES),
            "score": 100 * trials["score"],
            "sd": ["" if pd.isna(sd) else f"{100 * sd:.1f}" for sd in trials["sd_folds"]],
            "folds": trials["n_folds"],
            **{name: settings[name].map(value_text) for name in map(str, settings)},
            "took": [words.duration(seconds) if seconds else "" for seconds in trials["seconds"]],
            "note": [
                f"as trial {same}" if same >= 0 else error
                for same, error in zip(trials["same_as"], trials["error"], strict=True)
            ],
        }
    )
    event = show.table(
        shown,
        "trials",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "trial": st.column_config.NumberColumn("Trial", width="small", pinned=True),
            "state": "State",
            "score": st.column_config.NumberColumn(
                "Macro F1 (%)", format="%.1f", help="Validation donors, mean over the folds done"
            ),
            "sd": "SD of folds",
            "folds": "Folds",
            "took": "Took",
            "note": "Note",
        },
    )
    rows = event["selection"]["rows"] if event else []
    return int(trials["number"].iloc[rows[0]]) if rows else None


def start(run: Run, config: SweepConfig, trials: pd.DataFrame, number: int) -> None:
    """Offer a trial's setting to New run, with the commands that hold it against the default one."""
    setting, usual = setting_of(trials, number), setting_of(trials, 0)
    name = "The default setting" if number == 0 else f"The setting of trial {number}"
    st.subheader(name, anchor=False)
    table = pd.DataFrame(
        {
            "field": list(setting),
            "default": [value_text(usual[path]) for path in setting],
            "here": [value_text(value) for value in setting.values()],
        }
    )
    show.table(table, f"setting-{number}")
    comparison = comparison_of(config, {} if number == 0 else setting).to_dict()
    if st.button("Start this as a comparison", type="primary", icon=":material/play_arrow:"):
        clone.fill("compare", comparison)
        state.go("pages/new_run.py", dataset=run.dataset_name)
    st.markdown(
        "New run opens with this setting. A comparison scores test donors, once; only those of fold "
        f"{config.fold} had no part in this search. For the difference, run the default too:"
    )
    commands = [compare_command(comparison)]
    if number:
        commands.append(compare_command(comparison_of(config, {}).to_dict()))
    st.code("\n".join(commands), "bash", wrap_lines=True)


def body(run: Run, simulated: bool) -> None:
    with frame.guard():
        trials, folds = tables.read(run, "trials"), tables.read(run, "fold_scores")
        run_facts.progress_bar(run)
        if trials is None or folds is None:
            error = run.status.get("error")
            st.markdown(escape(error) if error else "The first score comes with the end of the first trial.")
            return
        config = SweepConfig.from_dict(run.parameters)
        settings, found = settings_of(trials), verdict(trials, folds)
        answer(found, trials, config)
        tables.still_running(run)
        left, right = st.columns(2, gap="medium")
        with left:
            fig = figures.history(trials, "Scores of the trials")
            show.figure(fig, "history", trials, alt="Score of every trial", simulated=simulated)
        with right:
            importance(run)
        if trials["score"].notna().sum() > 1:
            log = {axis.path for axis in config.axes if axis.log}
            fig = figures.parallel(trials, settings, log, "Settings and their scores")
            show.figure(fig, "settings", alt="Every trial as a line through its values", simulated=simulated)
        st.subheader("Trials", anchor=False)
        st.caption("Select one to see its setting; without, it is the best.")
        chosen = trial_list(trials, settings)
        start(run, config, trials, chosen if chosen is not None else found.best if found else 0)


@st.fragment(run_every=3)
def watched(run: Run, simulated: bool) -> None:
    """Draw a sweep under way again and again; the whole page once it has ended."""
    with frame.guard():
        if run.state not in ACTIVE:
            st.rerun()
        body(run, simulated)


context = frame.page("Sweep")
if context.dataset is None:
    frame.empty("No dataset yet: a sweep needs one to work on.", "Import a dataset", "pages/datasets.py")
frame.need_counts(context.dataset, "A sweep")
found = state.runs(context.dataset.name, ("sweep",))
if not found:
    with st.container(border=True):
        st.markdown(
            f"No sweep on {escape(context.dataset.name)} yet. A sweep tries settings of pretraining and "
            "finetuning and scores each on validation donors; the test donors of one fold are held back."
        )
        if st.button("Search over settings", type="primary"):
            st.session_state[clone.KIND] = "sweep"
            state.go("pages/new_run.py")
    st.stop()
run = choose(found)
try:
    run.check_dataset()
except InputError as error:
    frame.refusal(error)
    st.stop()
if run.state in ACTIVE:
    watched(run, context.dataset.simulated)
else:
    st.fragment(body)(run, context.dataset.simulated)

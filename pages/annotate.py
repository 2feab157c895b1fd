"""Annotate: what are a new patient's cells, how sure is that, and which are unknown?"""

import streamlit as st

from pages.components import (
    annotate_correct,
    annotate_data,
    annotate_export,
    annotate_fit,
    annotate_jobs,
    annotate_labels,
    annotate_map,
    annotate_model,
    annotate_models,
    annotate_query,
    annotate_result,
    annotate_shares,
    frame,
    words,
)
from sgm_core.annotation.kept import Annotation, list_annotations
from sgm_core.annotation.store import list_models
from sgm_core.escape import escape

NEW, RESULT, CORRECT = "Annotate cells", "Result", "Correct by hand"
PART, ANNOTATION = "part", "annotation"


def take_over(kept: list[Annotation]) -> None:
    """Open what was started here once it is done; forget a choice that is gone."""
    run = annotate_jobs.ended()
    names = [each.name for each in kept]
    if run is not None and run.state == "done":
        if run.kind == "annotate" and run.parameters["name"] in names:
            st.session_state[ANNOTATION], st.session_state[PART] = run.parameters["name"], RESULT
        elif run.kind == "model":
            st.session_state[annotate_model.KEY] = run.parameters["name"]
    elif run is not None:
        annotate_jobs.failure(run)
    if imported := st.session_state.pop(annotate_models.TAKEN, None):
        st.session_state[annotate_model.KEY] = imported
        st.toast(f"Model {escape(imported)} imported", icon=":material/check_circle:")
    if st.session_state.pop(annotate_correct.TAKEN_UP, False):
        st.session_state[PART] = CORRECT
    if st.session_state.get(ANNOTATION) not in (None, *names):
        del st.session_state[ANNOTATION]


def choose(kept: list[Annotation]) -> tuple[str, Annotation | None]:
    """Draw the parts of the page, and which annotation is in view."""
    if not kept:
        return NEW, None
    with st.container(horizontal=True, vertical_alignment="center"):
        part = st.segmented_control(
            "Part", [RESULT, CORRECT, NEW], default=RESULT, key=PART, bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        if part == NEW:
            return NEW, None
        newest = sorted(kept, key=lambda each: str(each.about["created"]), reverse=True)
        found = {each.name: each for each in newest}
        frame.settle(ANNOTATION, list(found), lambda: newest[0].name)
        name = st.selectbox(
            "Annotation", list(found), key=ANNOTATION, label_visibility="collapsed", width=235
        )
        # written by hand, as the link would leave out the first one, which another will be tomorrow
        if st.query_params.get(ANNOTATION) != name:
            st.query_params[ANNOTATION] = name
        annotate_export.section(found[name])
        annotate_labels.section(found[name])
    return part, found[name]


def new(context: frame.Context) -> None:
    """Choose a model and cells, and start; without a model, fit one."""
    models = list_models()
    advised = annotate_model.advice(context)
    if not models:
        frame.answer("No model yet: fit one on a dataset with donors and cell types.")
        if advised is not None:
            st.caption(advised.sentence)
        annotate_fit.form(advised)
        with st.expander("Import a model", icon=":material/upload:"):
            annotate_models.bring()
        return
    answer_line = st.container()
    st.markdown("**1. Model**")
    model = annotate_model.choose(models, advised)
    with answer_line:
        if model.meta["simulated"]:
            frame.simulated_badge()
        f1, ece = model.meta["scores"]["macro_f1"], model.meta["calibration"]["ece"]
        frame.answer(
            f"{escape(model.name)} names {words.count(len(model.classes), 'class', 'classes')} with macro F1 "
            f"{f1:.2f} on donors it did not train on, calibration error {ece:.3f}."
        )
    st.markdown("**2. Cells**")
    annotate_query.form(model)
    with st.expander("Fit another model", icon=":material/model_training:"):
        annotate_fit.form(advised)
    with st.expander("Import a model", icon=":material/upload:"):
        annotate_models.bring()


def result(annotation: Annotation) -> None:
    """Show what the model says of the cells, and what speaks for and against it."""
    model = annotate_data.model_of(annotation)
    frame.answer(annotate_result.answer(annotation, model))
    if model is not None and model.meta["simulated"]:
        frame.simulated_badge()
    annotate_result.provenance(annotation, model)
    annotate_map.section(annotation, model)
    annotate_result.tables(annotation)
    if model is not None and model.useful:
        column = annotate_shares.sample_column(annotation)
        annotate_shares.composition(annotation, model, column)
        annotate_shares.malignant(annotation, model, column)
        annotate_shares.states(annotation, model, column)
        annotate_shares.signatures(annotation, model)


def correct(context: frame.Context, annotation: Annotation) -> None:
    """Correct cells by hand."""
    made = annotation.corrections()
    now = annotate_data.labels_now(annotation)
    n = int((now["source"] != "model").sum())
    times = words.count(len(made), "correction")
    frame.answer(f"{words.count(n, 'cell')} of {len(now):,} corrected by hand, in {times}.")
    annotate_correct.section(annotation, annotate_data.model_of(annotation), context.colour_blind)


context = frame.page("Annotate", badge=False)
kept = list_annotations()
take_over(kept)
annotate_jobs.watch()
part, annotation = choose(kept)
if annotation is None:
    new(context)
elif part == CORRECT:
    correct(context, annotation)
else:
    result(annotation)

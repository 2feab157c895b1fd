"""Choose a model on the page Annotate: which one the comparison recommends and why, and its card."""

from dataclasses import dataclass

import streamlit as st

from pages.components import annotate_models, frame, show, tables, words
from pages.components.kept import kept
from sgm_core.annotation.card import card, card_markdown, classifier
from sgm_core.annotation.recommend import Recommendation, recommend
from sgm_core.annotation.store import Model
from sgm_core.cells.dataset import open_dataset
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import Run, open_run

KEY = "annotator"


@dataclass(frozen=True)
class Advice:
    """What the comparison in view recommends, and which comparison that is."""

    run: Run
    said: Recommendation

    @property
    def sentence(self) -> str:
        """The recommendation in one sentence, for a page."""
        why = escape(self.said.why)
        return f"The comparison in view says: {why}." if self.said.arm else f"The comparison in view: {why}."


def advice(context: frame.Context) -> Advice | None:
    """Return what the comparison in view recommends, None where no finished one is in view."""
    run = context.run
    if run is None or run.kind != "compare" or run.state != "done" or context.dataset is None:
        return None
    if not (tables.exists(run, "folds") and tables.exists(run, "predictions")):
        return None
    if tables.of_dataset(context) is None:
        return None
    path, stamp = tables.key(run, "predictions")
    return Advice(run, _advice(path, stamp, run.id))


@kept("Reading the comparison")
def _advice(path: str, stamp: int, run_id: str) -> Recommendation:
    run = open_run(run_id)
    folds, said = run.read_table("folds"), run.read_table("predictions")
    assert folds is not None and said is not None, "they were there when it was asked"
    donors = open_dataset(run.dataset_name).donors()
    return recommend(folds, said, donors, run.parameters.get("finetune"))


def choose(models: list[Model], advised: Advice | None) -> Model:
    """Draw the selector, what recommends the model, and its card; returns the model."""
    names = {model.name: model for model in models}
    wanted = [model.name for model in models if _is_advised(model, advised)]
    best = max(models, key=lambda model: (model.useful, model.meta["scores"]["macro_f1"])).name
    labels = {name: _label(model, name in wanted) for name, model in names.items()}
    first = (wanted or [best])[0]
    frame.settle(KEY, list(names), lambda: first)
    chosen = st.selectbox("Model", list(names), format_func=lambda name: labels.get(name, name), key=KEY)
    # Bound to the link, the selector would put its label there.
    if st.query_params.get(KEY) != chosen:
        st.query_params[KEY] = chosen
    model = names[chosen]
    _reason(model, models, advised, wanted)
    _facts(model)
    _card(model)
    return model


def _is_advised(model: Model, advised: Advice | None) -> bool:
    if advised is None or not advised.said.arm:
        return False
    same = model.meta["dataset"]["name"] == advised.run.dataset_name
    return same and (model.meta["arm"], model.meta["scheme"]) == (advised.said.arm, advised.said.scheme)


def _label(model: Model, recommended: bool) -> str:
    score = f"macro F1 {model.meta['scores']['macro_f1']:.3f}"
    parts = [model.name, _name(model), f"of {model.meta['dataset']['name']}", score]
    parts += ["recommended"] if recommended else []
    return " · ".join(parts if model.useful else [*parts, "no better than chance"])


def _name(model: Model) -> str:
    if "backbone" in model.meta:
        return classifier(model.meta)
    return arm_name(model.meta["arm"])


def _reason(model: Model, models: list[Model], advised: Advice | None, wanted: list[str]) -> None:
    if advised is not None:
        text = advised.sentence
        if advised.said.arm and not wanted:
            text += f" No model of {escape(advised.run.dataset_name)} is of that arm yet: fit one below."
        elif model.name in wanted:
            text += " This model is of that arm."
        st.caption(text)
    elif len(models) > 1:
        st.caption(
            "No finished comparison is in view above, so the model with the best macro F1 comes first; it "
            "was measured on the donors of its own dataset."
        )


def _facts(model: Model) -> None:
    meta = model.meta
    if not model.useful:
        st.warning(escape(f"Don't use it: {meta['chance']['sentence']}."), icon=":material/warning:")
    with st.container(horizontal=True, gap="large"):
        help_f1 = "Mean F1 over classes, on donors that the classifier did not train on."
        st.metric("Macro F1, unseen donors", f"{meta['scores']['macro_f1']:.2f}", help=help_f1)
        help_ece = "How far stated confidence is from the share that is right: 0 is perfect."
        st.metric("Calibration error", f"{meta['calibration']['ece']:.3f}", help=help_ece)
        alarm = meta["unknown"]["false_alarm_elsewhere"]
        help_alarm = "Known cells of unseen donors that would be called unknown."
        st.metric("False 'unknown'", f"{alarm:.1%}", help=help_alarm)
        st.metric(
            "Classes", len(model.classes), help=f"{words.count(len(model.classes), 'class', 'classes')}"
        )


def _card(model: Model) -> None:
    facts = card(model)
    hard, shown = facts["hard_classes"], model.meta["never_shown"]
    parts = [f"Hard to tell: {', '.join(map(escape, hard))}."] if hard else []
    if shown["classes"]:
        names = ", ".join(escape(each["cell_type"]) for each in shown["classes"])
        parts.append(f"Never shown: {names}.")
    if shown.get("only_timepoints"):
        parts.append(f"Only timepoints: {', '.join(map(escape, shown['only_timepoints']))}.")
    if parts:
        st.markdown(" ".join(parts))
    with st.expander(
        "Model card: what it is, where it fails, what it was never shown", icon=":material/id_card:"
    ):
        text = card_markdown(model, escape)
        heading, _, rest = text.partition("\n")
        st.markdown(f"**{heading.removeprefix('# ')}**\n{rest}")
    with st.container(horizontal=True, horizontal_alignment="right"):
        annotate_models.export(model)
        st.download_button(
            "Model card (Markdown)", lambda: card_markdown(model).encode(),
            f"{show.plain(model.name)}-card.md", mime="text/markdown", key="card-markdown",
            on_click="ignore", type="tertiary", icon=":material/download:",
        )  # fmt: skip

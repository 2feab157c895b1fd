"""What a diagnostic of masks amounts to: one sentence, and how sure it is."""

from math import isnan
from typing import Any, Literal, NamedTuple

from sgm_core.analysis.agreement import TOP
from sgm_core.analysis.diagnostic import SMALL_SPREAD
from sgm_core.analysis.lift import ONE_MODEL

# Below these effect sizes a deviation is called none. At the counts of a run a p-value rejects trivia.
SMALL_SHIFT = 0.05  # relative change of the non-zero share
SMALL_RESIDUAL = 0.05  # SD of the log frequency between genes of equal expression; expression leaves 0.01
SMALL_SHARE = 0.05  # share of the variance of the log frequency that matching by expression leaves
SMALL_AGREEMENT = 0.1  # rank correlation of the preferences of two seeds
UNEVEN = 0.95  # effective share below which the draws within a cell are called uneven
CLEAR_SHARE = 0.7  # effective share that clearly guided masks do not exceed
CLEAR_SPREAD, CLEAR_Z = 0.1, 10.0  # their spread beyond chance: of the mean, and in errors of the null
CLEAR_AGREEMENT = 0.5  # least rank correlation of their lift between seeds, and between donors
MIN_SEEDS = 3  # that a preference must come back in: two can agree by luck, and nothing tells how widely

Confidence = Literal["proven", "undecided", "chance"]


class Verdict(NamedTuple):
    """A sentence, and whether it is proven, undecided, or says that what is seen is chance."""

    sentence: str
    confidence: Confidence

    def __str__(self) -> str:
        return self.sentence


def verdict(d: dict[str, Any]) -> Verdict:
    """Say in one sentence what a `sgm_core.analysis.diagnostic.diagnostic` amounts to.

    Guided beyond expression are masks only if the part of the preference that comes back with every seed is
    larger than `SMALL_RESIDUAL`, its interval lies above that of the same maskers before the first update,
    and training changed more than that.
    """
    relative, shift = d["spread_relative"], d["nonzero_share"] / d["base_rate"] - 1 if d["base_rate"] else 0.0
    flat = _flat(d)
    shifted = d["basis"] == "all" and abs(shift) > SMALL_SHIFT
    share = f"non-zero share {d['nonzero_share']:.2f} against a base rate of {d['base_rate']:.2f}"
    spread = f"gene frequencies differ by {relative:.1%} beyond chance"
    effective = f"effective share {d['effective_share']:.2f}"
    if flat and not shifted:
        if d["effective_share"] < UNEVEN:
            sentence = f"Masks are uneven within a cell ({effective}), but prefer no gene across cells"
            return Verdict(f"{sentence}: {spread}", "chance")
        within = " within zeros and within non-zeros" if d["basis"] == "strata" else ""
        sentence = f"Masks are indistinguishable from uniform{within}: {spread}, {effective}"
        return Verdict(sentence, "chance")
    if flat:
        side = "non-zeros" if shift > 0 else "zeros"
        sentence = f"Masks prefer {side} and pick no gene beyond that: {share}; within them {spread}"
        return Verdict(sentence, "proven")
    if _alone(d):
        kind = "expression" if d["rank_correlation"] >= 0 else "low expression"
        rho = f"rank correlation with mean expression {d['rank_correlation']:.2f}"
        residual = f"genes of equal expression differ by {d['residual_sd']:.0%}"
        return Verdict(f"Masks follow {kind} alone: {rho}; {residual}", "proven")
    return _beyond_expression(d)


def guided_beyond_expression(d: dict[str, Any]) -> bool:
    """Say whether `verdict` proves that masks are guided beyond expression, and not merely by it."""
    return verdict(d).confidence == "proven" and not _flat(d) and not _alone(d)


def agreement_sentence(d: dict[str, Any]) -> str:
    """Say whether another seed, and another seed with other donors, prefers the same genes."""
    if d["seeds"] < 2:
        return f"Whether another seed prefers the same genes is unknown: {ONE_MODEL}"
    figures = f"rank agreement {_interval(d, 'agreement_between_seeds', '.2f')}"
    if not isnan(d["agreement_between_donors"]):
        figures += f", with other training donors too {d['agreement_between_donors']:z.2f}"
    if not isnan(d["shared_top"]):
        figures += f"; two seeds share {d['shared_top']:.0f} of their first {TOP} genes"
        figures += f", {d['shared_top_chance']:.0f} by chance"
    if d["start"] is not None and d["start"]["seeds"] > 1:
        figures += f"; before training {d['start']['agreement_between_seeds']:z.2f}"
    if d["reproducible_sd_high"] < SMALL_RESIDUAL:
        again = _interval(d, "reproducible_sd", ".1%")
        return f"Beyond expression next to nothing comes back with another seed, {again}: {figures}"
    words = {
        "proven": "Another seed prefers the same genes in part",
        "undecided": "Whether another seed prefers the same genes is undecided",
        "chance": "Another seed prefers other genes",
    }
    return f"{words[comes_back(d)]}: {figures}"


def clearly_guided(d: dict[str, Any]) -> str:
    """Say in one line whether masks are clearly guided, and what each condition is short of.

    Clearly guided: proven by `verdict`, effective share at most `CLEAR_SHARE`, spread at least `CLEAR_SPREAD`
    and `CLEAR_Z`, lift stable over seeds and over donors by `CLEAR_AGREEMENT`.
    """
    said = [] if verdict(d).confidence == "proven" and d["seeds"] >= MIN_SEEDS else ["not proven"]
    if not d["effective_share"] <= CLEAR_SHARE:
        said.append(f"effective share {d['effective_share']:.2f} (at most {CLEAR_SHARE})")
    if not (d["spread_relative"] >= CLEAR_SPREAD and d["spread_z"] >= CLEAR_Z):
        said.append(f"spread beyond chance {d['spread_relative']:.1%} (at least {CLEAR_SPREAD:.0%})")
    for name in ("seeds", "donors"):
        found = d[f"agreement_between_{name}"]
        if not found >= CLEAR_AGREEMENT:
            value = "unknown" if isnan(found) else f"{found:z.2f}"
            said.append(f"agreement between {name} {value} (at least {CLEAR_AGREEMENT})")
    return f"Not clearly guided: {', '.join(said)}" if said else "Clearly guided"


def comes_back(d: dict[str, Any]) -> Confidence:
    """Say whether a preference comes back with another seed, and more than before training.

    Proven: what all seeds share exceeds `SMALL_RESIDUAL` and what they shared before the first update, with
    its interval. Chance: it may be nothing, and the rank agreement is below `SMALL_AGREEMENT`. (The rank
    agreement alone would miss a preference for a few genes among many.)
    """
    start = d["start"] if d["start"] is not None and d["start"]["seeds"] > 1 else None
    low, high = d["reproducible_sd_low"], d["reproducible_sd_high"]
    if low > max(SMALL_RESIDUAL, start["reproducible_sd_high"] if start else 0.0):
        return "proven"
    floor = max(0.0, start["agreement_between_seeds"]) if start else 0.0
    nothing = low <= (start["reproducible_sd"] if start else 0.0) or high < SMALL_RESIDUAL
    chance = nothing and d["agreement_between_seeds"] <= floor + SMALL_AGREEMENT
    return "chance" if chance else "undecided"


def _flat(d: dict[str, Any]) -> bool:
    """Whether the masks prefer no gene."""
    return bool(d["spread_relative"] < SMALL_SPREAD or d["spread_z"] < 3)


def _alone(d: dict[str, Any]) -> bool:
    """Whether genes of equal expression are hidden alike."""
    return bool(d["residual_sd"] < SMALL_RESIDUAL or d["residual_share"] < SMALL_SHARE)


def _beyond_expression(d: dict[str, Any]) -> Verdict:
    """Judge masks in which every model prefers genes beyond expression: do all models prefer the same?"""
    start = d["start"]
    left = f"genes of equal expression differ by {d['residual_sd']:.0%}"
    if start is None:
        sentence = (
            f"Masks left uniform and expression ({left}), but the run holds no masks from before training: "
            "what training did is unknown"
        )
        return Verdict(sentence, "undecided")
    left += f", by {start['residual_sd']:.0%} before training"
    if d["added_sd"] < SMALL_RESIDUAL:
        sentence = f"Masks left uniform ({left}), and training added nothing"
        return Verdict(f"{sentence}: these are the preferences of random weights, chance", "chance")
    left += f"; training changed them by {d['added_sd']:.0%}"
    if d["seeds"] < 2:
        return Verdict(f"Masks left uniform ({left}), but {ONE_MODEL}", "undecided")
    again = f"{_interval(d, 'reproducible_sd', '.0%')} comes back with another seed"
    agreement = f"rank agreement {_interval(d, 'agreement_between_seeds', '.2f')}"
    found = comes_back(d)
    if found == "chance":
        sentence = f"Masks left uniform ({left}), but each seed prefers other genes: chance ({agreement})"
        return Verdict(sentence, "chance")
    if found == "undecided":
        sentence = f"Masks left uniform ({left}); whether seeds prefer the same genes is undecided"
        return Verdict(f"{sentence}: {again}, {agreement}", "undecided")
    if d["seeds"] < MIN_SEEDS:
        sentence = f"Masks look guided beyond expression ({left}): {again}, {agreement}"
        return Verdict(f"{sentence}; but two seeds can agree by luck, and a third would tell", "undecided")
    return Verdict(f"Masks are guided beyond expression: {again}, {agreement}; {left}", "proven")


def _interval(d: dict[str, Any], name: str, form: str) -> str:
    # 'z': no minus before what rounds to zero
    middle, low, high = (f"{d[key]:z{form}}" for key in (name, f"{name}_low", f"{name}_high"))
    return f"{middle} ({low} to {high})"

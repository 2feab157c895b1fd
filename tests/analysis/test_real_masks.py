"""Real models through diagnostic and lift: what random weights prefer must never pass for a finding."""

from pathlib import Path

import numpy as np
import pytest
from real_masks import RealMasks, real_masks

from sgm_core.analysis.biology import biology, biology_sentence, biology_verdict
from sgm_core.analysis.diagnostic import diagnostic
from sgm_core.analysis.enrichment import enrich_run
from sgm_core.analysis.masks import gene_statistics, lift_problem, preferred_genes
from sgm_core.analysis.planted import planted_precision, planted_sentence
from sgm_core.analysis.rankings import rankings
from sgm_core.analysis.term_claim import claim
from sgm_core.analysis.verdict import agreement_sentence, verdict
from sgm_core.resources.panel import planted_genes


def made(demo_home: Path, **how) -> RealMasks:
    from sgm_core.cells.dataset import open_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(demo_home))
        return real_masks(open_dataset("small"), **how)


@pytest.fixture(scope="module")
def untrained(demo_home: Path) -> RealMasks:
    """Self-guided maskers of three seeds without a single step of training, drawn twice."""
    return made(demo_home, seeds=3, folds=1, train=False)


@pytest.fixture(scope="module")
def trained(demo_home: Path) -> RealMasks:
    """Self-guided maskers of two seeds and two folds, trained until their masks have left their start."""
    return made(demo_home, seeds=2, folds=2, lr_new=0.03)


@pytest.fixture(scope="module")
def uniform(demo_home: Path) -> RealMasks:
    """Uniform maskers of two seeds, trained."""
    return made(demo_home, seeds=2, folds=1, masker="uniform", epochs=1)


def test_an_untrained_masker_is_not_called_guided(untrained: RealMasks) -> None:
    """Seen: 'Masks are guided beyond expression: genes of equal expression differ by 11 %' after no step."""
    d = diagnostic(untrained.masks, untrained.cells, basis="strata", start=untrained.start)
    assert d["residual_sd"] > 0.1, "random weights prefer genes among equals"
    assert d["spread_relative"] > 0.1
    found = verdict(d)
    assert found.confidence == "chance"
    assert "guided" not in found.sentence
    assert "training added nothing" in found.sentence
    assert d["added_sd"] < 0.03


@pytest.mark.parametrize("which", ["untrained", "uniform", "trained"])
def test_terms_of_masks_that_are_not_proven_guided_say_nothing_of_the_model(which: str, request) -> None:
    """The genes of random weights are genes, too: some library has a term for them."""
    found: RealMasks = request.getfixturevalue(which)
    d = diagnostic(found.masks, found.cells, basis="strata", start=found.start)
    first = rankings(found.masks, top=30)
    terms = {"its own": first.lists["frequency"][:20], "others": first.universe[::9]}
    said = claim(enrich_run(found.masks, terms, top=30, start=found.start), "frequency", d, "30 genes")
    assert said.found >= 1
    assert said.confidence != "proven"
    assert "It says nothing of what the model learned" in said.sentence


@pytest.mark.parametrize("which", ["untrained", "uniform"])
def test_masks_that_learned_nothing_do_not_find_what_was_planted(which: str, request) -> None:
    found: RealMasks = request.getfixturevalue(which)
    table = planted_precision(rankings(found.masks, top=50, start=found.start), planted_genes())
    for name in planted_genes():
        assert planted_sentence(table, name).confidence != "proven"


def test_nor_is_one_untrained_model_without_its_start(untrained: RealMasks) -> None:
    one = untrained.masks[untrained.masks["seed"] == 0]
    for masks in (one, one.drop(columns="seed")):
        assert verdict(diagnostic(masks, untrained.cells, basis="strata")).confidence == "undecided"
        assert "one model can't tell" in lift_problem(gene_statistics(masks))


def test_the_genes_of_untrained_maskers_do_not_come_back(untrained: RealMasks) -> None:
    d = diagnostic(untrained.masks, untrained.cells, basis="strata", start=untrained.start)
    assert abs(d["agreement_between_seeds"]) < 0.15
    assert agreement_sentence(d).startswith("Another seed prefers other genes")
    stats = gene_statistics(untrained.masks)
    assert not preferred_genes(stats)


def test_trained_maskers_whose_seeds_disagree_are_called_chance(trained: RealMasks) -> None:
    d = diagnostic(trained.masks, trained.cells, basis="strata", start=trained.start)
    assert (d["seeds"], d["folds"]) == (2, 2)
    assert d["residual_sd"] > d["start"]["residual_sd"]
    assert d["added_sd"] > 0.1, "training moved the masks"
    assert d["own_sd"] > 2 * d["reproducible_sd"], "and each seed's to other genes"
    found = verdict(d)
    assert found.confidence != "proven"
    assert "guided beyond" not in found.sentence
    stats = gene_statistics(trained.masks)
    assert not preferred_genes(stats)


def test_uniform_draws_of_real_models_stay_uniform(uniform: RealMasks) -> None:
    d = diagnostic(uniform.masks, uniform.cells, basis="strata", start=uniform.start)
    assert verdict(d).sentence.startswith("Masks are indistinguishable from uniform")
    assert d["added_sd"] < 0.03
    assert d["reproducible_sd_low"] == 0


def test_what_untrained_and_uniform_models_hide_most_is_nothing_beyond_the_controls(
    untrained: RealMasks, uniform: RealMasks
) -> None:
    for real, confidence in ((untrained, "chance"), (uniform, "undecided")):
        ranked = rankings(real.masks, top=30, start=real.start)
        genes = ranked.genes.sort_values("expression")["gene"].tolist()
        sets = {f"of one expression {k}": genes[20 * k : 20 * k + 20] for k in range(10)}
        sets |= {f"random {k}": np.random.default_rng(k).permutation(genes)[:25] for k in range(40)}
        table = biology(ranked, sets)
        assert (table["ranking"] == "frequency").sum() == 50
        assert not table["beyond_controls"].any()
        assert "no control does" not in biology_sentence(table)
        d = diagnostic(real.masks, real.cells, basis="strata", start=real.start)
        assert biology_verdict(table, d).confidence == confidence

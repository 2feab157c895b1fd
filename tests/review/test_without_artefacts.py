"""Genes judged artefacts can be left out of enrichment; queues and what the public functions say."""

import json

import pytest
from synthetic_run import guided_genes, make_compare_run

import sgm_core
from sgm_core.analysis.enrichment import enrich_run, over_representation
from sgm_core.analysis.rankings import rankings
from sgm_core.cli import main
from sgm_core.errors import InputError
from sgm_core.review import artefacts, record
from sgm_core.review.queue import filtered, flags, queue, statistics_version
from sgm_core.runs.store import open_run


@pytest.fixture
def run(demo_dataset):
    return open_run(make_compare_run(demo_dataset.name))


def test_artefacts_leave_lists_and_universe_and_others_move_up(run):
    masks, start = run.read_table("masks"), run.read_table("masks_start")
    whole = rankings(masks, "self-guided", 40, start)
    gone = [whole.lists["frequency"][3], whole.lists["uniform"][0], whole.lists["lift"][0]]
    rest = rankings(masks, "self-guided", 40, start, without=gone)
    assert set(rest.universe) == set(whole.universe) - set(gone)
    for name, genes in rest.lists.items():
        kept = [gene for gene in whole.lists[name] if gene not in gone]
        assert genes[: len(kept)] == kept, f"{name}: the order of the others stays"
        assert len(genes) == len(whole.lists[name]) or name == "lift"


def test_enrichment_without_them_is_that_of_the_shorter_list_and_universe(run):
    masks = run.read_table("masks")
    ranked = rankings(masks, "self-guided", 60)
    terms = {"guided": ranked.lists["frequency"][:30], "other": ranked.lists["inverse"]}
    gone = ranked.lists["frequency"][:10]
    found = enrich_run(masks, terms, "self-guided", 40, without=gone)
    expected = over_representation(
        [gene for gene in ranked.lists["frequency"][:50] if gene not in gone],
        set(ranked.universe) - set(gone),
        terms,
    )
    mine = found.table[found.table["ranking"] == "frequency"].drop(columns="ranking").reset_index(drop=True)
    assert mine[list(expected)].equals(expected)


def test_the_command_and_python_leave_out_what_most_reviewers_call_an_artefact(run, tmp_path, capsys):
    gmt = tmp_path / "sets.gmt"
    genes = sgm_core.review_queue(run, "frequency", top=30)
    gmt.write_text("\t".join(["first", "", *genes]) + "\n")
    record(run, genes[0], "artefact", "Ada")
    record(run, genes[1], "artefact", "Ada")
    record(run, genes[1], "known", "Bo")
    assert (
        main(["enrich", run.id, "--genesets", str(gmt), "--top", "30", "--without-artefacts", "--json"]) == 0
    )
    data = json.loads(capsys.readouterr().out)
    assert data["notes"] == [
        f"1 gene that most of its reviewers call an artefact is left out of lists and universe: {genes[0]}"
    ]
    assert genes[0] not in data["lists"]["frequency"] and genes[1] in data["lists"]["frequency"]
    table = sgm_core.enrich(run, gmt, top=30, without=artefacts(run))
    assert (
        table.to_dict("records") == [t for t in data["terms"] if t["ranking"] == "frequency"]
        or len(table) == 1
    )
    assert table["n_term"].tolist() == [29]
    assert (
        main(["enrich", "--genesets", str(gmt), "--genes", "x", "--universe", "gmt", "--without-artefacts"])
        == 2
    )


def test_queues(run, demo_dataset):
    stats = sgm_core.masks(run)
    planted = {demo_dataset.genes[place] for place in guided_genes(demo_dataset)}
    assert len(planted & set(queue(stats, "lift", top=20))) >= 15, "what is truly preferred comes first"
    assert queue(stats, "frequency", top=7) == stats.nsmallest(7, "frequency_rank")["gene"].tolist()
    some = stats["gene"].tolist()[:5]
    assert queue(stats, "list", [*reversed(some), "NOSUCHGENE", some[0]]) == some[::-1]
    assert set(queue(stats, "term", some, top=3)) < set(some)
    level = run.read_table("masks", ["level"], by="cell_type")["level"].iloc[0]
    within = sgm_core.masks(run, by="cell_type", level=level)
    assert queue(within, "above", top=3) == within.nlargest(3, "lift")["gene"].tolist()
    assert sgm_core.review_queue(run, "above", level=level, top=3) == queue(within, "above", top=3)
    with pytest.raises(InputError, match="can't be ranked by lift"):
        queue(within, "lift")
    with pytest.raises(InputError, match="no gene of this queue"):
        queue(stats, "list", ["NOSUCHGENE"])


def test_flags(run):
    stats = sgm_core.masks(run)
    genes = stats["gene"].tolist()
    sets = {"Transcription factors (mine)": genes[:2], "LSC signature": genes[1:3]}
    table = flags(stats, sets)
    assert filtered(genes, table, ["transcription_factor"]) == genes[:2]
    assert filtered(genes, table, ["signature_member"], ["transcription_factor"]) == [genes[2]]
    assert filtered(genes, table) == genes
    mito = filtered(genes, table, ["mitochondrial"])
    assert mito and all(gene.startswith("MT-") for gene in mito)


def test_other_counts_are_other_statistics(run):
    stats = sgm_core.masks(run)
    assert statistics_version(stats) == statistics_version(sgm_core.masks(run))
    changed = stats.copy()
    changed.loc[3, "masked"] += 1
    assert statistics_version(changed) != statistics_version(stats)
    assert statistics_version(sgm_core.masks(run, "uniform")) != statistics_version(stats)


def test_judging_from_python(run):
    gene = sgm_core.review_queue(run, "frequency")[0]
    sgm_core.judge(run.id, gene, "plausible", "Ada", tags=["stem"], comment="seen before")
    row = sgm_core.verdicts(run).iloc[0]
    assert (row["gene"], row["verdict"], row["tags"]) == (gene, "plausible", "stem")
    assert row["statistics_version"] == statistics_version(sgm_core.masks(run))
    with pytest.raises(InputError, match="could not hide 'NOSUCHGENE'"):
        sgm_core.judge(run, "NOSUCHGENE", "known", "Ada")

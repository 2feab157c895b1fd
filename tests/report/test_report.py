"""A report says what the pages say, holds every table, and is whole or absent."""

import io
import re
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest

from sgm_core import review
from sgm_core.analysis.budget_words import budget_finding
from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.masks import gene_statistics, top_genes
from sgm_core.analysis.metrics import comparison_sentence, pair_in_view, paired_table
from sgm_core.analysis.verdict import verdict
from sgm_core.cells.dataset import open_dataset
from sgm_core.cli import main
from sgm_core.cli.frame import build_parser
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.report.configuration import paper_differences
from sgm_core.report.content import Drawing, Said, Table
from sgm_core.report.html import html
from sgm_core.report.limits import limits_section
from sgm_core.report.markdown import markdown, plain, table_lines
from sgm_core.report.masked import gene_table
from sgm_core.report.repeat import run_commands
from sgm_core.report.reviewed import review_section, reviews_of
from sgm_core.report.source import Source
from sgm_core.report.write import write_report
from sgm_core.runs.store import create_run

SECTIONS = ["summary", "data", "folds", "configuration", "training", "scores", "map", "masked-genes"]
SECTIONS += ["enrichment", "limits", "repeat"]


def said(report, section):
    return [b for b in next(s for s in report.sections if s.name == section).blocks if isinstance(b, Said)]


def test_its_sentences_are_those_of_the_pages(reported):
    run, report, _ = reported
    assert [section.name for section in report.sections] == SECTIONS
    folds = run.read_table("folds")
    a, b = ("self-guided", "partial"), ("uniform+summary", "partial")
    pair = pair_in_view(paired_table(folds), folds, a, b)
    first = said(report, "scores")[0]
    assert first.text.startswith(comparison_sentence(pair)) and first.confidence == pair["confidence"]
    few = next(block for block in said(report, "scores") if block.about == "Few labels")
    assert few.text.startswith(budget_finding(run.read_table("budget_paired"), "partial finetune")[0])
    masks, cells, start = (run.read_table(name) for name in ("masks", "mask_cells", "masks_start"))
    found = verdict(diagnostic(masks, cells, "self-guided", basis=mask_basis(run.parameters), start=start))
    mine = next(block for block in said(report, "masked-genes") if block.about == "Self-guided")
    assert (mine.text, mine.confidence) == (f"{found.sentence}.", found.confidence)


def test_what_is_open_is_gathered_and_what_is_proven_is_not(reported):
    _, report, _ = reported
    parts = (section.blocks for section in report.sections[1:-2])
    everywhere = [block for blocks in parts for block in blocks if isinstance(block, Said)]
    open_ones = {block.text for block in everywhere if block.confidence in ("undecided", "chance")}
    limits = {block.text for block in said(report, "limits")}
    assert open_ones and open_ones <= limits
    proven = {block.text for block in everywhere if block.confidence == "proven"}
    assert proven and not proven & limits  # the simulated masks are guided, and the report says so
    assert any("SIMULATED" in text for text in limits)


def test_the_folder_holds_every_table_and_figure(reported, tmp_path):
    run, report, _ = reported
    folder = write_report(report, tmp_path / "report", "folder")
    text = (folder / "report.md").read_text()
    names = [block.name for block in report.blocks() if isinstance(block, Table | Drawing)]
    assert len(names) == len(set(names))
    for block in report.blocks():
        if isinstance(block, Drawing):
            svg = (folder / "figures" / f"{block.name}.svg").read_text()
            root = ElementTree.fromstring(svg)
            assert root.tag.endswith("svg") and "SIMULATED" in "".join(re.findall(r"<!-- (.*?) -->", svg))
            assert f"(figures/{block.name}.svg)" in text
        elif isinstance(block, Table):
            stored = pd.read_csv(folder / "tables" / f"{block.name}.csv")
            assert len(stored) == len(block.frame), block.name
    scored = pd.read_csv(folder / "tables" / "all-differences.csv")
    own = paired_table(run.read_table("folds"))
    own = own[own["metric"] == "macro_f1"]
    assert sorted(scored["Difference (points)"]) == sorted((100 * own["difference"]).round(1))


def test_what_is_there_stays_and_what_fails_leaves_nothing(reported, at_home, tmp_path, monkeypatch, capsys):
    _, report, _ = reported
    there = tmp_path / "report.html"
    there.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_report(report, there)
    assert main(["report", at_home.id, "--out", str(there)]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0 and there.read_text() == "mine"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sgm_core.report.svg.write_svg", full)
    with pytest.raises(InputError, match="no space left"):
        write_report(report, tmp_path / "folder", "folder")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("home")] == ["report.html"]


def test_the_command_writes_the_report(reported, at_home, tmp_path, capsys):
    out = tmp_path / "a.md"
    assert main(["report", at_home.id, "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    made = re.compile(r"made .*")
    assert made.sub("", out.read_text()) == made.sub("", markdown(reported[1]))


def test_the_command_in_it_asks_for_the_same_run(demo_dataset):
    fields = {
        "data": "small", "folds": 3, "seeds": 2, "arms": ["self-guided", "uniform+summary"], "seed": 4,
        "schemes": ["linear-probe"], "train_cells": None, "labels": ["10", "all"], "label_draws": 2,
        "pretrain": {"epochs": "2", "pool": None, "depth_tokens": True}, "finetune": {"lr": 3e-4},
    }  # fmt: skip
    config = CompareConfig.from_dict(fields)
    run = create_run("compare", "small", config.to_dict())
    (line,) = run_commands(run)
    assert asked_for(line, CompareConfig) == config.to_dict() | {"pretrain": {
        "epochs": "2", "pool": "none", "depth_tokens": "true"}, "finetune": {"lr": "0.0003"}}  # fmt: skip


def asked_for(line, kind):
    """Return the configuration that a command line asks for."""
    import shlex

    import sgm_core.api

    asked = {}

    def carry_out(_, config, *rest):
        asked["is"] = config
        return SimpleNamespace(state="done")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sgm_core.api, "carry_out", carry_out)
        patch.setattr("sgm_core.cli.train._result", lambda run: None)
        args = build_parser().parse_args(shlex.split(line)[1:])
        args.handler(args, None)
    assert isinstance(asked["is"], kind)
    return asked["is"].to_dict()


def test_the_command_of_a_pretraining_asks_for_the_same(demo_dataset):
    from sgm_core.training.config import PretrainConfig, pretrain_config

    config = pretrain_config("paper", data="small", masker="uniform", fold=1, n_folds=3, epochs=2, seed=3)
    run = create_run("pretrain", "small", config.to_dict())
    (line,) = run_commands(run)
    assert asked_for(line, PretrainConfig) == config.to_dict()
    differing = set(paper_differences(run)["Field"])
    assert "epochs" in differing and "optimiser" not in differing and "data" not in differing


@pytest.mark.parametrize("kind", ["model", "annotate", "umap", "differential", "import", "export"])
def test_other_kinds_are_refused_in_one_line(demo_dataset, kind, capsys):
    run = create_run(kind, "small", {"data": "small", "name": "x", "model": "m"})
    assert main(["report", run.id]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and "a report is made of a comparison" in line and f"'{kind}'" in line


def test_a_run_without_results_and_one_that_is_not_there(demo_dataset, capsys):
    run = create_run("pretrain", "small", {"data": "small"})
    for wanted, reason in ((run.id, "has no results yet"), ("nobody", "no run 'nobody'")):
        assert main(["report", wanted]) == 2
        line = capsys.readouterr().err.strip()
        assert "\n" not in line and reason in line


def test_an_unfinished_run_says_so(reported, at_home, monkeypatch):
    monkeypatch.setattr(type(at_home), "state", property(lambda _: "lost"))
    limits = limits_section(Source(at_home, open_dataset("small")), reported[1].sections)
    assert "The run is lost" in limits.blocks[0].text


def test_reviews_stand_beside_their_genes(reported, at_home):
    stats = gene_statistics(at_home.read_table("masks"))
    order = top_genes(stats, "lift", 5)
    for reviewer, judged in (("Ada", "artefact"), ("Bo", "artefact"), ("<b>Cy</b>", "known")):
        review.record(at_home, order[0], judged, reviewer, comment="=cmd() | <script>alert(1)</script>")
    people = reviews_of(at_home)
    table = gene_table(stats, order, people)
    assert table["Review"].tolist() == ["Artefact (2 of 3)", "", "", "", ""]
    assert "Review" not in gene_table(stats, order, None)
    section = review_section(people)
    assert section.blocks[0].text == f"{review.summary_sentence(people)}."
    written = "\n".join(table_lines(section.blocks[-1].frame))
    assert "\\<script\\>" in written and "\\|" in written


def test_markdown_tables_have_one_shape(reported):
    _, report, _ = reported
    lines = markdown(report).splitlines()
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            unescaped = [len(re.findall(r"(?<!\\)\|", each)) for each in (before, line)]
            assert unescaped[0] == unescaped[1], (before, line)


def test_markdown_shows_what_is_written():
    shown = ("12,610", "0.136", "-0.4 to 4.0", "cell_type", "1. first", "# no title", "a|b", "x_", "*", "<b>")
    from markdown_it import MarkdownIt

    for text in shown:
        inline = MarkdownIt("commonmark").enable("table").parse(plain(text))
        assert [token.type for token in inline] == ["paragraph_open", "inline", "paragraph_close"], text
        assert "".join(child.content for child in inline[1].children) == text
    assert plain("0.136") == "0.136" and plain("cell_type") == "cell_type"


def test_the_html_is_small_and_names_no_host(reported):
    _, report, _ = reported
    text = html(report)
    assert len(text.encode()) < 5_000_000
    around = re.sub(r'<script type="application/octet-stream".*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", around)


def test_genes_come_back_from_the_report_as_csv(reported):
    _, report, _ = reported
    table = next(b for b in report.blocks() if isinstance(b, Table) and b.name == "masked-genes")
    from sgm_core.spreadsheet import csv_text, restored

    again = restored(pd.read_csv(io.StringIO(csv_text(table.frame)), keep_default_na=False))
    assert again["Gene"].tolist() == table.frame["Gene"].tolist()
    assert len(table.shown) == 30 < len(table.frame)


def test_data_and_folds_are_those_of_the_run(reported, at_home):
    run, report, _ = reported
    dataset = open_dataset("small")
    text = markdown(report)
    assert (
        dataset.content_hash in text and run.id in text and run.config["code_version"].split("+")[0] in text
    )
    from sgm_core.training.folds import run_folds

    for fold in run_folds(dataset, run.parameters):
        assert ", ".join(fold.test) in text

"""The report of a model that learned nothing says so, on real runs of this program."""

import sgm_core
from sgm_core.cli import main
from sgm_core.report.build import make_report
from sgm_core.report.content import Said
from sgm_core.report.html import html
from sgm_core.report.repeat import run_commands

QUICK = {"n_genes": 60, "latents": 4, "epochs": 1, "fold": 0, "n_folds": 3}


def test_an_untrained_model_has_learned_nothing_and_its_masks_are_no_finding(demo_dataset, tmp_path):
    still = {"lr_new": 1e-12, "lr_backbone": 1e-12}
    run = sgm_core.pretrain(demo_dataset, masker="self-guided", **QUICK, **still)
    report = make_report(run)
    limits = [b for s in report.sections if s.name == "limits" for b in s.blocks if isinstance(b, Said)]
    assert any("has learned nothing" in block.text for block in limits)
    everything = [block for block in report.blocks() if isinstance(block, Said)]
    masks = [b for s in report.sections if s.name == "masked-genes" for b in s.blocks if isinstance(b, Said)]
    assert not any(b.confidence == "proven" and "guided" in b.text for b in everything)
    assert masks[0].confidence in ("undecided", "chance")
    assert "has learned nothing" in html(report)
    names = [section.name for section in report.sections]
    assert "scores" not in names and "masked-genes" in names

    tuned = sgm_core.finetune(run, scheme="linear-probe", probe_epochs=2)
    out = tmp_path / "tuned.html"
    assert main(["report", tuned.id, "--out", str(out)]) == 0
    text = out.read_text()
    assert "Table 1" in text and "Linear probe" in text and "over donor folds" in text
    first, second = run_commands(tuned)
    assert first.startswith("sgm pretrain --data small") and f"--run {run.id}" in second

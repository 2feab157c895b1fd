"""What can be searched, and one line for what can't."""

import itertools

import pytest

from sgm_core.errors import InputError
from sgm_core.estimate.run import estimate_run
from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.space import combinations, grid, parse_space


def test_ranges_and_lists_are_read() -> None:
    axes = parse_space(["lr_backbone=1e-5..1e-3:log", "R=1,2,4", "finetune.epochs=2..8"])
    rate, subset, epochs = axes
    assert rate.path == "pretrain.lr_backbone" and (rate.low, rate.high) == (1e-5, 1e-3)
    assert rate.log and not rate.whole
    assert subset.path == "pretrain.subset" and subset.values == (1, 2, 4)
    assert epochs.whole and epochs.every() == tuple(range(2, 9))
    assert 4 in subset and 3 not in subset and True not in subset and 1e-4 in rate and 1.0 not in rate
    assert parse_space([str(axis) for axis in axes]) == axes, "written and read again"
    flags = parse_space(["pretrain.pool=none,max", "keep_summary=true,false"])
    assert flags[0].values == (None, "max") and flags[1].values == (True, False)
    assert parse_space([str(axis) for axis in flags]) == flags


@pytest.mark.parametrize(
    "space, said",
    [
        (["nonsense=1,2"], "no field 'nonsense'"),
        (["epochs=1..3"], "write pretrain.epochs or finetune.epochs"),
        (["R=1..16"], "subset is 16: it is drawn from the latents, of which there are 4"),
        (["R=1,9", "N=4,16"], "subset=9, pretrain.latents=4"),
        (["lr_backbone=0..2"], "at most 1"),
        (["lr_backbone=0..1:log"], "starts above 0"),
        (["lr_new=0.1..0.01"], "is not below"),
        (["lr_new=low..high"], "type float"),
        (["R=1.5,2"], "type int"),
        (["R=2"], "use --set pretrain.subset=2"),
        (["R=2,2"], "twice"),
        (["R=1,2", "subset=1,4"], "pretrain.subset twice"),
        (["R"], "can't be read"),
        (["finetune.scheme=partial,official"], "can't be searched"),
        (["seed=0,1"], "can't be searched"),
        (["pretrain.precision=fp32,bf16"], "can't be searched"),
        (["guide=summary,nothing"], "choose one of summary, error"),
        (["guide=a..b"], "needs a field of numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(space: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        SweepConfig.from_dict({"space": space})
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"arm": "no-pretraining", "space": ["R=1,2"]}, "not pretrained"),
        ({"space": ["R=1,2"], "folds": 5}, "beside the fold that is held back there is 4"),
        ({"space": ["R=1,2"], "split": "holdout", "folds": 2}, "there is 1"),
        ({"space": ["R=1,2"], "fold": 5}, "0 to 4"),
        ({"space": ["lr_new=0.1..0.2"], "sampler": "grid"}, "a grid needs a list"),
        ({"space": ["R=1,2"], "pretrain": {"n_genes": 1}}, "n_genes is 1"),
        ({"space": ["finetune.lr=0.1,0.2"], "arm": "original"}, "'original' is imported weights"),
    ],
)
def test_a_sweep_that_cannot_run_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SweepConfig.from_dict(fields)


def test_a_grid_has_every_setting_once_and_no_trial_more() -> None:
    config = SweepConfig.from_dict(
        {"space": ["R=1,2,4", "pretrain.epochs=1..3"], "sampler": "grid", "trials": 50}
    )
    settings = [tuple(one.values()) for one in grid(config.axes)]
    assert sorted(settings) == sorted(itertools.product((1, 2, 4), (1, 2, 3)))
    assert config.n_trials == 10, "and the default"


def test_a_sweep_takes_as_long_as_its_trials(demo_dataset) -> None:
    fields = {"data": "small", "space": ["finetune.lr=0.1,0.2"], "device": "cpu"}

    def takes(**changes: object) -> tuple[float, int | None]:
        found = estimate_run(SweepConfig.from_dict({**fields, **changes}), demo_dataset)
        return found.seconds, found.pretrainings

    untrained = takes(arm="no-pretraining", trials=3)
    assert untrained[1] == 0 and takes(arm="no-pretraining", trials=9)[0] == pytest.approx(3 * untrained[0])
    assert takes(trials=9)[1] == 4, "a search of finetuning alone pretrains once a fold"
    assert takes(trials=9, folds=2, space=["R=1,2"])[1] == 18


def test_many_combinations_are_checked_by_some_that_have_every_value() -> None:
    names = ("mask_ratio", "zero_ratio", "mask_warmup", "pretrain.dropout", "attention_dropout")
    axes = parse_space([f"{name}=0.1,0.2,0.3,0.4" for name in names])
    some = list(combinations(axes, 100))
    assert 60 < len(some) <= 100
    for axis in axes:
        assert {one[axis.path] for one in some} == set(axis.values)

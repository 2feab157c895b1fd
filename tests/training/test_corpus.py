"""Several datasets as one pretraining corpus: who trains, which genes, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.duplicates import BANDS, SURE_GENES, cell_prints, common_genes
from sgm_core.cells.simulate import UNLABELLED, simulate
from sgm_core.cells.split import Fold, donor_folds, fold_cells
from sgm_core.cells.write import write_dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import Task, TaskObserver, run_task
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.runs.store import create_run
from sgm_core.training.config import PretrainConfig
from sgm_core.training.corpus import (
    CorpusCells,
    Member,
    corpus_columns,
    corpus_datasets,
    corpus_members,
)
from sgm_core.training.data import CorpusValues
from sgm_core.training.pretrain import Pretraining, pretrain, pretrain_cells, pretraining

SMALL = {
    "n_genes": 60,
    "latents": 2,
    "latent_width": 8,
    "latent_heads": 1,
    "subset": 1,
    "epochs": 1,
    "batch_size": 16,
    "device": "cpu",
    "n_folds": 3,
}


def written(name: str, counts: sparse.csr_matrix, obs: pd.DataFrame, genes: np.ndarray) -> Dataset:
    """Write a dataset; its genes are sorted first."""
    order = np.argsort(genes)
    roles = {"donor": "donor", "cell_type": "cell_type", "timepoint": "timepoint"}
    obs = obs.reset_index(drop=True)
    return write_dataset(name, [counts[:, order].tocsr()], obs, genes[order], roles, [UNLABELLED])


@dataclass
class World:
    """Cells of 12 donors, of which the first half is the dataset ``own``."""

    counts: sparse.csr_matrix
    obs: pd.DataFrame
    genes: np.ndarray
    own: Dataset
    fold: Fold

    def other(self, name: str, rows: np.ndarray, genes: slice = slice(None), **columns: object) -> Dataset:
        """Write some of all cells as another dataset; `columns` replace those of the cells."""
        obs = self.obs.iloc[rows].assign(**columns)
        return written(name, self.counts[rows][:, genes], obs, self.genes[genes])

    def rows(self, *donors: str) -> np.ndarray:
        """Return the row numbers of some donors' cells."""
        return np.flatnonzero(self.obs["donor"].isin(donors))

    def members(self, *others: Dataset, fold: Fold | str | None = "own") -> list[Member]:
        """Choose the cells of a corpus."""
        train, _ = pretrain_cells(self.own, self.fold if fold == "own" else None)
        return corpus_members(self.own, others, train)


@pytest.fixture
def world(sgm_home: object) -> Iterator[World]:
    counts, obs, genes = simulate(seed=3, n_cells=360, n_genes=120, n_aml=8, n_healthy=4, depth=400)
    donors = sorted(obs["donor"].unique())[::2]
    mine = np.flatnonzero(obs["donor"].isin(donors))
    own = written("own", counts[mine], obs.iloc[mine], genes)
    yield World(counts, obs, genes, own, donor_folds(own, n_folds=3)[0])


def others_donors(world: World) -> list[str]:
    """Return the donors that ``own`` has not."""
    return sorted(set(world.obs["donor"]) - set(world.own.donors()))


def test_equal_counts_have_equal_prints_whatever_else_a_dataset_has(world: World) -> None:
    rows = world.rows(*world.own.donors().unique())[5:45]
    part = world.other("part", rows[::-1], slice(20, None), donor="somebody")
    genes = common_genes(world.own, part)
    assert len(genes) == 100
    mine, theirs = cell_prints(part, genes), cell_prints(world.own, genes)
    assert np.array_equal(mine.prints, theirs.prints[:, 5:45][:, ::-1])
    dense = part.counts().toarray()
    assert np.array_equal(mine.detected.sum(0), (dense > 0).sum(1))
    counts = world.own.counts()[:, world.own.gene_columns(genes)].toarray()
    for band in range(BANDS):  # genes are dealt out by their rank, which counts from 1
        own = counts[:, (np.arange(100) + 1) % BANDS == band]
        assert np.array_equal(theirs.detected[band], (own > 0).sum(1))
        distinct = len(np.unique(own, axis=0))
        assert len(np.unique(theirs.prints[band])) == distinct, "what differs has different numbers"


def test_one_count_changes_a_print(world: World) -> None:
    rows = world.rows(*others_donors(world)[:1])
    before = world.other("before", rows)
    changed = world.counts[rows].tolil()
    changed[0, 7] += 1
    changed[1, [3, 4]] = [2, 9]
    after = written("after", changed.tocsr(), world.obs.iloc[rows], world.genes)
    old, new = (cell_prints(one, before.genes) for one in (before, after))
    assert list(np.flatnonzero((old.prints != new.prints).any(0))) == [0, 1]
    assert list((old.prints != new.prints).any(1)[[0, 4, 5, 6]]) == [True, True, True, False]


def test_a_copy_with_other_counts_of_some_genes_is_found(sgm_home: object) -> None:
    """Symbols that were brought up to date and added up change a few counts of a cell."""
    counts, obs, genes = simulate(seed=4, n_cells=160, n_genes=1000, n_aml=5, n_healthy=1, depth=4000)
    own = written("own", counts, obs, genes)
    fold = donor_folds(own, n_folds=3)[0]
    train, _, test = fold_cells(own, fold)
    changed = counts[test].tolil()
    changed[:, 7] = 50
    changed[:, 8] = 60
    other = written("other", changed.tocsr(), obs.iloc[test].assign(donor="X1"), genes)
    mine, theirs = (cell_prints(one, own.genes) for one in (other, own))
    found, sure = mine.copies_of(theirs, test)
    enough = (mine.detected >= SURE_GENES).sum(0) > 2  # more bands than were changed
    assert enough.mean() > 0.5 and found[enough].all() and sure[enough].all()
    whole = [one.prints.sum(0, dtype=np.uint64) for one in (mine, theirs)]
    assert not np.isin(*whole).any(), "which no number over all genes would show"
    assert not mine.copies_of(theirs, train)[0].any(), "and other cells are no copies"
    member = corpus_members(own, [other], train)[1]
    assert not len(member.rows) and member.donors == ("X1",)
    assert member.held_copies == found.sum() and member.held_donor == (~found).sum()


def test_a_held_out_donor_is_followed_from_dataset_to_dataset(sgm_home: object) -> None:
    """Named as the test donor in one, its cells there are copied under another name in the next."""
    counts, obs, genes = simulate(seed=5, n_cells=160, n_genes=1000, n_aml=5, n_healthy=1, depth=4000)
    donors = obs["donor"].to_numpy(object)
    apart = np.flatnonzero(donors == "BM01")  # cells that `own` lacks
    mine = np.flatnonzero(donors != "BM01")
    own = written("own", counts[mine], obs.iloc[mine], genes)
    fold = donor_folds(own, n_folds=3)[0]
    first = written("first", counts[apart[:8]], obs.iloc[apart[:8]].assign(donor=fold.test[0]), genes)
    second = written("second", counts[apart[4:]], obs.iloc[apart[4:]].assign(donor="X1"), genes)
    train, _ = pretrain_cells(own, fold)
    member = corpus_members(own, [first, second], train)[2]
    assert member.held_copies == 4 and member.held_donor == len(apart) - 8 and not len(member.rows)
    assert len(corpus_members(own, [second], train)[1].rows) == len(apart) - 4, "which it alone does not show"


def test_no_copy_of_a_held_out_cell_trains_whatever_its_donor_is_called(world: World) -> None:
    held = [*world.fold.test, *world.fold.validation]
    copied = world.rows(*held)[::2]
    new = world.rows(*others_donors(world))
    rows = np.concatenate([copied, new])
    names = np.where(np.arange(len(rows)) < len(copied), "X1", world.obs["donor"].iloc[rows])
    names[len(copied) : len(copied) + 4] = "X1"  # new cells of the donor under another name
    other = world.other("other", rows, slice(10, None), donor=names)
    member = world.members(other)[1]
    assert np.array_equal(other.donors().iloc[member.rows].unique(), np.unique(names[len(copied) + 4 :]))
    assert member.held_copies == len(copied) and member.held_donor == 4 and not member.same_donor
    assert member.donors == ("X1",) and str(len(copied)) in member.sentence()
    assert len(member.rows) == len(new) - 4 and not member.copies


def test_donors_of_the_same_name_and_copies_of_training_cells_are_left_out(world: World) -> None:
    test, seen = world.fold.test[0], world.fold.train[0]
    fresh, again = world.rows(*others_donors(world)), world.rows(seen)
    rows = np.concatenate([fresh, again])
    names = world.obs["donor"].iloc[rows].to_numpy(object).copy()
    names[:6] = test  # other cells, but the name of a test donor
    other = world.other("other", rows, donor=names)
    member = world.members(other)[1]
    assert member.same_donor == 6 and member.copies == len(again) and member.donors == (test,)
    assert np.array_equal(member.rows, np.arange(6, len(fresh)))
    shared = world.members(other, fold=None)[1]
    assert not shared.same_donor and len(shared.rows) == len(fresh), "no donor is hidden, copies still are"
    twice = world.other("twice", fresh[::3])
    third = world.members(other, twice)[2]
    inside = np.isin(np.arange(len(fresh))[::3], np.arange(6), invert=True)
    assert third.copies == inside.sum(), "and copies of the corpus's own are counted once"
    assert third.held_copies == (~inside).sum(), "those of the held-out donor stay held out in a third"
    assert not len(third.rows)


def test_the_same_content_adds_nothing(world: World) -> None:
    assert corpus_datasets(world.own, ["own"]) == []
    one = world.other("one", world.rows(*others_donors(world)))
    (one.path.parent / "two").symlink_to(one.path)
    assert [other.name for other in corpus_datasets(world.own, ["own", "one", "two"])] == ["one"]


def test_a_corpus_that_can_not_be_is_refused(world: World) -> None:
    with pytest.raises(NotFoundError, match="no dataset 'nowhere'"):
        corpus_datasets(world.own, ["nowhere"])
    rows = world.rows(*others_donors(world))
    strange = np.array([f"ENSG{number:011d}" for number in range(120)])
    written("strange", world.counts[rows], world.obs.iloc[rows], strange)
    with pytest.raises(InputError, match=r"no gene in common \(0 of 120 and 120; .*import both"):
        corpus_datasets(world.own, ["strange"])
    few = world.other("few", rows, slice(0, 1))
    assert few.genes[0] not in world.own.genes[30:90]
    with pytest.raises(InputError, match=r"of the 60 informative .*'few' lacks 60.*corpus_genes=union"):
        corpus_columns(world.own, np.arange(30, 90), [few], "intersection")
    maps = {"umap": np.zeros((len(rows), 2))}
    table = world.obs.iloc[rows].reset_index(drop=True)
    roles = {"donor": "donor", "cell_type": "cell_type"}
    write_dataset("drawn", None, table, [], roles, maps=maps)
    with pytest.raises(InputError, match="no counts, which a pretraining corpus needs"):
        corpus_datasets(world.own, ["drawn"])
    for wrong in (("B", "B"), ("",)):
        with pytest.raises(InputError, match=r"corpus has .*name each further dataset once"):
            PretrainConfig(corpus=wrong)


def task_of(world: World, how: str, **fields: object) -> Pretraining:
    config = PretrainConfig(data="own", corpus=("panel",), corpus_genes=how, fold=0, **(SMALL | fields))
    return pretraining(world.own, config, world.fold, Observer())


def test_intersection_and_union(world: World) -> None:
    rows = world.rows(*others_donors(world))
    panel = world.other("panel", rows, slice(0, 80))
    both = task_of(world, "intersection")
    assert set(both.start.names) <= set(panel.genes) and len(both.start.names) < 60
    assert both.values.measured.all() and not both.corpus.differs
    batch = both.cells.epoch(0)[[0, 3, -1, -5]]
    assert list(both.corpus.part_of(batch)) == [0, 0, 1, 1]
    expected = [world.own.lognorm(batch[:2], both.start.names).toarray()]
    expected += [panel.lognorm(batch[2:] - world.own.n_cells, both.start.names).toarray()]
    assert np.array_equal(both.values.batch(batch).numpy(), np.concatenate(expected))

    every = task_of(world, "union", mask_ratio=0.9, zero_ratio=0.9)
    assert len(every.start.names) == 60 and every.model.eligible.all()
    lacks = ~np.isin(every.start.names, panel.genes)
    assert 0 < lacks.sum() < 60 and every.corpus.differs
    seen = []
    whole, forward = every.model.forward, every.model.draw

    def draw(values: torch.Tensor, *others: torch.Tensor):
        result = forward(values, *others)
        seen.append(("drawn", result.masked.numpy(), values.numpy()))
        return result

    def reconstruct(values: torch.Tensor, masked: torch.Tensor, target: torch.Tensor):
        seen.append(("hidden", masked.numpy(), values.numpy()))
        # what a lacking gene is told to be must not matter: it is never scored
        other = target.clone()
        if every.model.eligible.all():
            return whole(values, masked, target)
        other[:, torch.from_numpy(lacks)] = 1e6
        return whole(values, masked, other)

    every.model.draw, every.model.forward = draw, reconstruct  # type: ignore[method-assign]
    order = every.start_epoch(0)
    assert len(order) == every.n_batches
    assert np.array_equal(np.sort(np.concatenate(order)), every.cells.rows), "each cell once an epoch"
    counted = 0
    for rows_of in order:
        (part,) = np.unique(every.corpus.part_of(rows_of))
        loss = every.loss(every.make(0, rows_of)).detach()
        assert loss.isfinite() and float(loss) < 1e3
        (_, drawn, _), (_, hidden, _) = seen[-2:]
        if part:
            assert not drawn[:, lacks].any() and hidden[:, lacks].all()
            assert drawn[:, ~lacks].any()
        else:
            assert drawn[:, lacks].any() and np.array_equal(drawn, hidden)
            counted += drawn.sum()
    assert every.model.eligible.all()
    assert float(every.counter.sums[0, 0].sum()) == counted, "the tables count the masks of `data`'s cells"


def test_cells_of_an_epoch_are_balanced_over_datasets_and_donors(world: World) -> None:
    panel = world.other("panel", world.rows(*others_donors(world)))
    members = world.members(panel)
    starts = np.array([0, world.own.n_cells])
    classes = pd.factorize(world.own.labels().iloc[members[0].rows], use_na_sentinel=False)[0]
    cells = CorpusCells(members, starts, classes, 60, 0)
    for epoch in range(3):
        rows = cells.epoch(epoch)
        theirs = rows[rows >= starts[1]] - starts[1]
        assert len(rows) == cells.size == 60 and len(theirs) == 30
        assert np.isin(rows, cells.rows).all() and len(np.unique(rows)) == 60
        donors = panel.donors().iloc[theirs].value_counts()
        assert donors.max() - donors.min() <= 1 and len(donors) == len(others_donors(world))
    assert np.array_equal(CorpusCells(members, starts, classes, None, 0).epoch(2), cells.rows)
    n_classes = len(np.unique(classes))
    with pytest.raises(InputError, match=f"give {2 * n_classes} or more"):
        CorpusCells(members, starts, classes, n_classes, 0)


def test_a_corpus_trains_and_a_model_of_data_comes_back(world: World) -> None:
    world.other("panel", world.rows(*others_donors(world)), slice(0, 90))
    said, tables = [], {}

    class Watcher(Observer):
        def message(self, text: str) -> None:
            said.append(text)

        def table(self, name: str, frame: pd.DataFrame) -> None:
            tables[name] = frame

    config = PretrainConfig(
        data="own", corpus=("panel", "own"), fold=0, **SMALL | {"depth_tokens": True, "downsample": 0.5}
    )
    result = pretrain(world.own, config, world.fold, Watcher())
    own_train = len(fold_cells(world.own, world.fold)[0])
    assert list(result.mask_cells["cells"]) == [own_train, own_train]
    everything = result.masks[result.masks["by"] == "all"]
    assert (everything["opportunities"] == own_train).all()
    table = tables["corpus"].set_index("dataset")
    assert list(table.index) == ["own", "panel"] and table.loc["own", "trained"] == own_train
    assert (table["genes"] == len(result.names)).all()
    assert (
        "'own': nothing new" in said[0]
        and f"intersection of genes: {len(result.names)} of the 60 most informative" in said[0]
    )


def test_a_comparison_keeps_one_corpus_a_fold(world: World, tmp_path: Path) -> None:
    """Seen: what a pretraining says of its corpus was dropped in a comparison."""
    world.other("panel", world.rows(*others_donors(world)))
    small = {name: value for name, value in SMALL.items() if name not in ("device", "n_folds")}
    config = CompareConfig(
        data="own", folds=3, arms=("uniform", "uniform+summary"), schemes=("linear-probe",), seeds=1,
        umap=False, device="cpu", pretrain={**small, "corpus": ("panel",)}, finetune={"probe_epochs": 1},
    )  # fmt: skip
    tasks = [Task("uniform", 0), Task("uniform+summary", 0), Task("uniform", 1)]
    for task in tasks:
        run_task(config, task, tmp_path, "code", TaskObserver(Observer(), 0))
    kept: dict[str, pd.DataFrame] = {}
    watcher = Observer()
    watcher.table = kept.__setitem__  # type: ignore[method-assign]
    Publisher(world.own, config.schemes, tasks, tmp_path, watcher).publish()
    corpus = kept["corpus"]
    assert corpus[["fold", "dataset"]].to_numpy().tolist() == [
        [0, "own"],
        [0, "panel"],
        [1, "own"],
        [1, "panel"],
    ]
    for fold in (0, 1):
        train = pretrain_cells(world.own, donor_folds(world.own, n_folds=3)[fold])[0]
        assert corpus.query("fold == @fold and dataset == 'own'")["trained"].item() == len(train)


def test_a_cell_without_a_count_of_the_genes_is_left_out(world: World) -> None:
    rows = world.rows(*others_donors(world))
    counts = world.counts[rows].tolil()
    counts[:3] = 0
    counts[:3, 0] = 4
    written("panel", counts.tocsr(), world.obs.iloc[rows], world.genes)
    task = task_of(world, "intersection", depth_tokens=True)
    assert world.genes[0] not in task.start.names
    member = task.start.members[1]
    dense = counts.toarray()[:, np.isin(world.genes, task.start.names)]
    assert np.array_equal(member.rows, np.flatnonzero(dense.any(1))) and member.silent >= 3
    assert f"{member.silent} without a count of the backbone's genes" in member.sentence()


def test_a_dataset_that_brings_nothing_takes_no_gene_away(world: World) -> None:
    world.other("panel", world.rows(world.fold.train[0]), slice(0, 40))
    task = task_of(world, "intersection")
    assert len(task.start.names) == 60 and [len(one.rows) for one in task.start.members[1:]] == [0]
    assert np.array_equal(task.cells.rows, fold_cells(world.own, world.fold)[0])


def test_no_further_dataset_is_the_same_to_the_bit(world: World) -> None:
    """A corpus of nothing new draws, counts and learns what `data` alone does."""
    fields = SMALL | {"epochs": 2, "masker": "self-guided"}
    plain = pretrain(world.own, PretrainConfig(data="own", fold=0, **fields), world.fold)
    named = pretrain(world.own, PretrainConfig(data="own", corpus=("own",), fold=0, **fields), world.fold)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, named.model.state_dict()[name]), name
    pd.testing.assert_frame_equal(plain.masks, named.masks)
    pd.testing.assert_frame_equal(plain.mask_cells, named.mask_cells)


def test_a_run_keeps_the_content_of_every_dataset(world: World) -> None:
    other = world.other("panel", world.rows(*others_donors(world)))
    parameters = PretrainConfig(data="own", corpus=("panel",)).to_dict()
    run = create_run("pretrain", "own", parameters)
    assert run.config["corpus_hashes"] == {"panel": other.content_hash} and "own + panel" in run.title
    run.check_corpus()
    compared = [
        create_run("compare", "own", {"data": "own", "pretrain": fields}).id
        for fields in ({"corpus": ["panel"]}, {})
    ]
    assert compared[0] != compared[1]
    meta = json.loads((other.path / "dataset.json").read_text())
    (other.path / "dataset.json").write_text(json.dumps(meta | {"content_hash": "f" * 64}))
    with pytest.raises(InputError, match="made on other cells than dataset 'panel' holds now"):
        run.check_corpus()
    again = create_run("compare", "own", {"data": "own", "pretrain": {"corpus": ["panel"]}}).id
    assert again not in compared, "other cells are another comparison"
    assert open_dataset("own").content_hash == run.config["dataset_hash"]


def test_imported_weights_keep_their_vocabulary(world: World, bundle: str) -> None:
    """The union masks in each dataset's cells what it measured, the intersection what all did."""
    panel = world.other("panel", world.rows(*others_donors(world))[:8], slice(0, 80))
    fields = {"backbone": bundle, "corpus": ("panel",), "device": "cpu", "masker": "uniform", "batch_size": 2}
    config = PretrainConfig(data="own", summary="none", train_cells=None, **fields)
    both = pretraining(world.own, config, None, Observer())
    assert not both.corpus.differs
    names = both.start.names
    measured = [np.isin(names, one.genes) for one in (world.own, panel)]
    eligible = both.model.eligible.numpy()[: len(names)]
    assert np.array_equal(eligible, measured[0] & measured[1]) and len(both.counter.genes) == eligible.sum()
    every = pretraining(world.own, replace(config, corpus_genes="union"), None, Observer())
    assert every.corpus.differs and every.n_batches == len(every.start_epoch(0))
    assert np.array_equal(every.model.eligible.numpy()[: len(names)], measured[0])
    assert np.array_equal(every.corpus.measured_by(1)[: len(names)], measured[1])
    rows = every.cells.rows[-2:]
    assert every.loss(every.make(0, rows)).isfinite()


def test_values_of_a_corpus_name_their_cells(world: World) -> None:
    world.other("panel", world.rows(*others_donors(world)))
    task = task_of(world, "intersection")
    assert isinstance(task.values, CorpusValues)
    first, last = task.cell_names(task.cells.rows[[0, -1]])
    assert first in set(world.own.obs["cell"]) and last.startswith("panel: ")

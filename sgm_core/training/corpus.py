"""Several datasets as one pretraining corpus: whose cells may train, which genes, which cells an epoch takes.

Nothing here needs torch. Cells are numbered through the corpus: first those of the dataset that is finetuned
and scored, with the row numbers that they have there, then those of each further dataset.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.duplicates import cell_prints, common_genes
from sgm_core.errors import InputError
from sgm_core.training.train_cells import PRETRAINING, TrainCells, cells_an_epoch, even

_NAMED = 5


@dataclass(frozen=True)
class Member:
    """A dataset's part in the corpus.

    Parameters
    ----------
    dataset : the dataset
    rows : row numbers of its cells that train (n,), ascending
    held : row numbers of its cells that must not train, as what tests or validates, or a copy of that
    hidden : row numbers of those that are, or may be, of test or validation donors
    same_donor : cells left out whose donor has the name of a test or validation donor
    held_copies : cells left out that are copies of cells of test or validation donors
    held_donor : further cells left out of donors who have such copies
    copies : cells left out that are copies of training cells of the corpus
    donors : names of the donors left out whole
    silent : cells left out that express none of the backbone's genes
    """

    dataset: Dataset
    rows: np.ndarray
    held: np.ndarray
    hidden: np.ndarray
    same_donor: int = 0
    held_copies: int = 0
    held_donor: int = 0
    copies: int = 0
    donors: tuple[str, ...] = ()
    silent: int = 0

    def sentence(self) -> str:
        """Say how many of its cells train, and why the others don't."""
        some = ", ".join(self.donors[:_NAMED]) + (" ..." if len(self.donors) > _NAMED else "")
        parts = (
            (self.same_donor, "of donors with the name of a test or validation donor"),
            (self.held_copies, "copies of test or validation cells"),
            (self.held_donor, "further ones of donors who have such copies"),
            (self.copies, "copies of cells that the corpus has already"),
            (self.silent, "without a count of the backbone's genes"),
        )
        left = "; ".join(f"{number:,} {what}" for number, what in parts if number)
        left = f", left out: {left}" if left else ""
        donors = f" (donors left out: {some})" if some else ""
        return f"{len(self.rows):,} of {self.dataset.n_cells:,} cells of {self.dataset.name!r}{left}{donors}"


def corpus_datasets(dataset: Dataset, names: Sequence[str]) -> list[Dataset]:
    """Return the further datasets of a corpus, each content once and none that is `dataset`'s own.

    Raises
    ------
    NotFoundError
        If there is no dataset of that name.
    InputError
        If one has no counts, or no gene in common with `dataset`.
    """
    seen, others = {dataset.content_hash}, []
    for name in names:
        other = open_dataset(name)
        other.require_counts("a pretraining corpus")
        if other.content_hash in seen:
            continue
        seen.add(other.content_hash)
        if not len(common_genes(dataset, other)):
            raise InputError(
                f"corpus: datasets {dataset.name!r} and {name!r} have no gene in common (0 of "
                f"{dataset.n_genes:,} and {other.n_genes:,}; the first are {dataset.genes[0]!r} and "
                f"{other.genes[0]!r}): import both with the same kind of gene names, or leave {name!r} out"
            )
        others.append(other)
    return others


def training(members: Sequence[Member]) -> list[Member]:
    """Return the members that have cells to train: the first always, and those that bring something new."""
    return [one for number, one in enumerate(members) if number == 0 or len(one.rows)]


def corpus_columns(dataset: Dataset, columns: np.ndarray, others: Sequence[Dataset], how: str) -> np.ndarray:
    """Return which of the chosen genes the backbone has.

    Parameters
    ----------
    dataset : the dataset that the genes were chosen on
    columns : their column numbers, ascending
    others : the further datasets
    how : ``intersection`` = those that all of them measured, ``union`` = all

    Raises
    ------
    InputError
        If fewer than two are left.
    """
    if how == "union":
        return columns
    names = dataset.genes[columns]
    left = np.logical_and.reduce([np.isin(names, other.genes) for other in others], initial=True)
    kept = columns[np.broadcast_to(left, len(columns))]
    if len(kept) < 2:
        lacks = {other.name: int((~np.isin(names, other.genes)).sum()) for other in others}
        missing = ", ".join(f"{name!r} lacks {number:,}" for name, number in lacks.items())
        raise InputError(
            f"corpus: {len(kept)} of the {len(columns):,} informative genes of {dataset.name!r} are measured "
            f"by every dataset ({missing}): set corpus_genes=union, or leave a dataset out"
        )
    return kept


def corpus_members(dataset: Dataset, others: Sequence[Dataset], train: np.ndarray) -> list[Member]:
    """Choose the cells of each dataset that train: none of a held-out donor, none twice.

    Held out are all cells of `dataset` that don't train, and its donors without a training cell: those who
    test or validate. Left out of a further dataset are donors of the same name, copies of cells held out and
    of training cells before them (`sgm_core.cells.duplicates`, over the genes that both datasets have), and
    donors with a sure copy of a held-out donor's cell, who are that donor under another name. A cell whose
    counts were made anew from its reads is no copy by this measure.

    Parameters
    ----------
    dataset : the dataset that is finetuned and scored
    others : the further datasets
    train : its row numbers that train

    Returns
    -------
    list of Member
        First `dataset`, then the others in their order.
    """
    own = dataset.donors().astype(str).to_numpy(object)
    hidden = ~np.isin(own, pd.unique(own[train]))
    rest = np.setdiff1d(np.arange(dataset.n_cells), train)
    members = [Member(dataset, train, rest, np.flatnonzero(hidden))]
    names = list(pd.unique(own[hidden]))
    for other in others:
        donors = other.donors().astype(str).to_numpy(object)
        named = np.isin(donors, names)
        copy_held, copy_hidden, sure, copy = (np.zeros(other.n_cells, bool) for _ in range(4))
        for before in members:
            genes = common_genes(before.dataset, other)
            if not len(genes):
                continue
            mine, theirs = (cell_prints(one, genes) for one in (other, before.dataset))
            copy_held |= mine.copies_of(theirs, before.held)[0]
            found, certain = mine.copies_of(theirs, before.hidden)
            copy_hidden |= found
            sure |= certain
            copy |= mine.copies_of(theirs, before.rows)[0]
        renamed = np.isin(donors, pd.unique(donors[sure]))
        out = named | copy_held | renamed
        members.append(
            Member(
                other,
                np.flatnonzero(~(out | copy)),
                np.flatnonzero(out),
                np.flatnonzero(named | renamed | copy_hidden),
                int(named.sum()),
                int((copy_held & ~named).sum()),
                int((renamed & ~copy_held & ~named).sum()),
                int((copy & ~out).sum()),
                tuple(sorted(set(donors[named | renamed]))),
            )
        )
    return members


class CorpusCells(TrainCells):
    """The training cells of each epoch: all, or as many of each dataset, balanced within it.

    Where an epoch does not take all, every dataset gives the same number of cells or all it has; within
    `members`' first they are balanced over classes and donors, within the others over donors.

    Parameters
    ----------
    members : the corpus
    starts : number in the corpus of each one's first cell
    classes : number of each training cell's class, of the first member
    asked, seed : the fields ``train_cells`` and ``seed``

    Raises
    ------
    InputError
        If the first member's share of an epoch can't have a cell of each of its classes.
    """

    def __init__(
        self,
        members: Sequence[Member],
        starts: np.ndarray,
        classes: np.ndarray,
        asked: int | None,
        seed: int,
    ) -> None:
        sizes = np.array([len(member.rows) for member in members])
        first, *others = (member.dataset for member in members)
        self.size = cells_an_epoch(asked, first, int(sizes.sum()), others)
        self.rows = np.concatenate([start + one.rows for start, one in zip(starts, members, strict=True)])
        cap, more = even(sizes, self.size)
        quota = np.minimum(sizes, cap)
        quota[np.flatnonzero(sizes > cap)[:more]] += 1
        n_classes = len(np.unique(classes))
        if quota[0] < min(n_classes, sizes[0]):
            raise InputError(
                f"train_cells is {self.size:,}, of which {quota[0]:,} are of "
                f"{members[0].dataset.name!r}, whose training donors have {n_classes} classes: "
                f"give {n_classes * len(members):,} or more"
            )
        self._parts = []
        for number, (member, start, size) in enumerate(zip(members, starts, quota, strict=True)):
            if not size:
                continue
            own = classes if number == 0 else np.zeros(len(member.rows), np.int64)
            donors = pd.factorize(member.dataset.donors().iloc[member.rows])[0]
            self._parts.append(TrainCells(start + member.rows, own, donors, int(size), seed, PRETRAINING))

    def epoch(self, epoch: int) -> np.ndarray:
        """Return the numbers of an epoch's cells, ascending; epochs count from 0."""
        return np.concatenate([part.epoch(epoch) for part in self._parts])


def corpus_table(members: Sequence[Member], names: np.ndarray) -> pd.DataFrame:
    """Return the run table `corpus`: a row a dataset.

    Parameters
    ----------
    members : the corpus
    names : symbols of the backbone's genes

    Returns
    -------
    DataFrame
        Columns dataset, content_hash, cells, trained, same_donor, held_copies, held_donor, copies, silent
        (numbers of cells, see `Member`; trained = those that pretraining takes), genes (of the backbone's,
        those that the dataset has).
    """
    counts = ("same_donor", "held_copies", "held_donor", "copies", "silent")
    return pd.DataFrame(
        {
            "dataset": one.dataset.name,
            "content_hash": one.dataset.content_hash,
            "cells": one.dataset.n_cells,
            "trained": len(one.rows),
            **{name: getattr(one, name) for name in counts},
            "genes": int(np.isin(names, one.dataset.genes).sum()),
        }
        for one in members
    )


def corpus_sentences(
    members: Sequence[Member], asked: Sequence[str], names: np.ndarray, how: str, informative: int | None
) -> str:
    """Say which cells and genes a corpus has.

    Parameters
    ----------
    members : the corpus
    asked : the names of the further datasets as they were given
    names, how : symbols of the backbone's genes, and the field ``corpus_genes``
    informative : number of genes chosen on the first member; None = a vocabulary of imported weights
    """
    own, others = members[0], members[1:]
    said = [f"{len(own.rows):,} training cells of {own.dataset.name!r}", *(one.sentence() for one in others)]
    there = {one.dataset.name for one in others}
    nothing = [repr(name) for name in asked if name not in there]
    said += [f"{', '.join(nothing)}: nothing new, the same content as another dataset"] if nothing else []
    genes = f"{len(names):,} genes"
    if informative is not None and how == "intersection":
        genes = (
            f"{len(names):,} of the {informative:,} most informative genes of {own.dataset.name!r}, those "
            "that every dataset with training cells measured"
        )
    lacks = {one.dataset.name: int((~np.isin(names, one.dataset.genes)).sum()) for one in training(members)}
    missing = ", ".join(f"{name!r} lacks {number:,}" for name, number in lacks.items() if number)
    if missing:
        where = "in any cell" if how == "intersection" else "in its own cells"
        genes += f"; {missing}, never masked or scored {where}"
    return f"corpus: {'; '.join(said)}; {how} of genes: {genes}"

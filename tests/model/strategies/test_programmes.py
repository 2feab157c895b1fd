"""Gene programmes: whole sets are hidden together, in random order, within an exact budget."""

from pathlib import Path

import numpy as np
import pytest
import torch
from strategy_models import model_of, toy_cells, toy_numbers

from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.masking import cell_uniform
from sgm_core.resources.store import add_resource
from sgm_core.training.config import PretrainConfig

SETS = {"A": [0, 1, 2, 3], "B": [3, 4, 5], "C": [6, 7], "D": [8], "E": [0, 7, 9, 10]}
N_GENES = 14


@pytest.fixture
def sets(sgm_home: Path, tmp_path: Path) -> str:
    file = tmp_path / "toy.gmt"
    lines = ["\t".join([name, "", *(f"G{i}" for i in at), "ELSE"]) for name, at in SETS.items()]
    file.write_text("\n".join(lines) + "\n")
    return add_resource("genesets", file).name


def toy_model(sets: str, **fields: object):
    model = model_of("programmes", N_GENES, programmes=sets, **fields)
    model.strategy.genes = tuple(f"G{i}" for i in range(N_GENES))
    return model


def by_hand(allowed: np.ndarray, k: int, order: np.ndarray, noise: np.ndarray) -> set[int]:
    """Fill a budget set by set, as the docstring says; `order` over the sets with two genes or more."""
    usable = [at for at in SETS.values() if len(at) > 1]
    chosen: list[int] = []
    for number in order:
        inside = [i for i in usable[number] if allowed[i] and i not in chosen]
        chosen += sorted(inside, key=lambda i: noise[i])
    rest = [i for i in range(N_GENES) if allowed[i] and i not in chosen]
    chosen += sorted(rest, key=lambda i: noise[i])
    return set(chosen[:k])


@pytest.mark.parametrize("basis", ["strata", "all"])
def test_masks_are_filled_set_by_set(sets: str, basis: str) -> None:
    model = toy_model(sets, mask_basis=basis, mask_ratio=0.5, zero_ratio=0.4)
    values, (noise, subset) = toy_cells(200, N_GENES), toy_numbers(200, N_GENES)
    masked = model.draw(values, noise, subset).masked.numpy()
    order = cell_uniform(noise, 4).argsort(1).numpy()
    x = values.numpy() > 0
    for cell in range(200):
        strata = (x[cell], ~x[cell]) if basis == "strata" else (np.ones(N_GENES, bool),)
        for allowed, ratio in zip(strata, (0.5, 0.4), strict=False):
            k = int(np.rint(np.float32(allowed.sum() * np.float32(ratio))))
            first = ratio == 0.5
            k = min(max(k, 1), allowed.sum() - 1) if first and allowed.sum() > 1 else (0 if first else k)
            expected = by_hand(allowed, k, order[cell], noise[cell].numpy())
            found = set(np.flatnonzero(masked[cell] & allowed))
            if basis == "all" and found != expected:  # the guard kept its last visible non-zero gene
                assert (x[cell] & ~masked[cell]).sum() == 1
                continue
            assert found == expected, cell


def test_sets_come_in_every_order() -> None:
    first = cell_uniform(toy_numbers(8000)[0], 4).argmin(1)
    assert (first.bincount() - 2000).abs().max() < 4.5 * (8000 * 0.25 * 0.75) ** 0.5


def test_the_effective_share_is_that_of_the_first_position_over_all_orders(sets: str) -> None:
    draws = 40_000
    model = toy_model(sets, mask_basis="all", mask_ratio=0.08)
    values = toy_cells(1, N_GENES).expand(draws, -1)
    drawn = model.draw(values, *toy_numbers(draws, N_GENES))
    frequency = drawn.masked.float().mean(0)
    entropy = -(frequency * frequency.clamp(min=1e-9).log()).sum()
    assert float(drawn.effective_share[0]) == pytest.approx(float(entropy.exp() / N_GENES), abs=0.01)


def test_gene_sets_that_are_not_there_or_do_not_fit_say_so(sets: str) -> None:
    values, numbers = toy_cells(2, N_GENES), toy_numbers(2, N_GENES)
    with pytest.raises(NotFoundError, match="no genesets 'hallmark'"):
        model_of("programmes", N_GENES, programmes="hallmark").draw(values, *numbers)
    model = toy_model(sets)
    model.strategy.genes = tuple(f"mouse{i}" for i in range(N_GENES))
    with pytest.raises(InputError, match="no set of 'toy' has two of the model's 14 genes"):
        model.draw(values, *numbers)
    assert PretrainConfig().programmes == "go-demo-subset"


def test_a_whole_vocabulary_is_drawn_in_a_moment(sets: str) -> None:
    """19,264 genes and 2,000 sets of 60: memberships are handled together, never gene by gene."""
    model = model_of("programmes", 19_264)
    rng = np.random.default_rng(0)
    at, of = torch.from_numpy(rng.integers(0, 19_264, 120_000)), torch.arange(2000).repeat_interleave(60)
    model.strategy._pairs = at, of, 2000
    values, noise = toy_cells(4, 19_264), torch.empty(4, 19_264).exponential_()
    masked = model.draw(values, noise, torch.zeros(4, 2, dtype=torch.long)).masked
    nonzero = (values > 0).sum(1)
    assert torch.equal((masked & (values > 0)).sum(1), (nonzero * 0.3).round().long())

"""Masking of whole gene programmes."""

import torch
from torch import Tensor

from sgm_core.errors import InputError
from sgm_core.model.masking import cell_uniform, share_of_draw
from sgm_core.model.strategies.base import Seen, Strategy
from sgm_core.resources.gmt import read_gmt
from sgm_core.resources.store import resource_path

_APART = 100.0  # in log arrival time: more than the noise of one position can bridge


class Programmes(Strategy):
    """Genes of one set together: sets come in random order, each hidden whole while the budget lasts.

    With T_s the place of set s in the cell's random order, position j arrives at min over the sets s that
    hold j of T_s, and within a set at random; positions of no set come last, evenly. The k first of a
    stratum are hidden, so the last set is cut and the budget exact. Temperature has no meaning here; in a
    warm-up, cells are drawn by programmes with the probability `strength`, else uniformly. After the gene
    programme masks of Richter et al. 2025 (doi:10.1038/s42256-024-00934-3).

    Its sets are those of the GMT `programmes` with at least two of the model's genes.
    """

    _pairs: tuple[Tensor, Tensor, int] | None = None

    def _members(self, device: torch.device) -> tuple[Tensor, Tensor, int]:
        """Return positions (P,) and sets (P,) of all memberships, and the number of sets."""
        if self._pairs is None or self._pairs[0].device != device:
            name, place = self.options["programmes"], {gene: i for i, gene in enumerate(self.genes)}
            terms = read_gmt(resource_path("genesets", name)).values()
            sets = [[place[gene] for gene in genes if gene in place] for genes in terms]
            sets = [members for members in sets if len(members) > 1]
            if not sets:
                raise InputError(
                    f"no set of {name!r} has two of the model's {len(place):,} genes: choose gene sets of "
                    "the same species and symbols (programmes=NAME; 'sgm resources list' shows them)"
                )
            at = torch.tensor([i for members in sets for i in members], device=device)
            of = torch.tensor([n for n, members in enumerate(sets) for _ in members], device=device)
            self._pairs = at, of, len(sets)
        return self._pairs

    def log_importance(self, seen: Seen) -> Tensor:
        """Return minus the place of each position's first set, in steps that no noise bridges (B, L)."""
        at, of, count = self._members(seen.values.device)
        place = cell_uniform(seen.noise, count).argsort(1).argsort(1).float()
        first = torch.full_like(seen.values, count)
        first = first.scatter_reduce(1, at.expand(len(place), -1), place[:, of], "amin")
        return -_APART * first.double()

    def log_weights(self, seen: Seen) -> Tensor:
        """Return the importance, or zero in the cells that the warm-up still draws uniformly (B, L)."""
        by_sets = cell_uniform(seen.noise, 1, purpose=1) < self.strength
        return torch.where(by_sets, self.log_importance(seen), 0.0)

    def effective_share(self, seen: Seen, log_weights: Tensor, masked: Tensor) -> Tensor:
        """Return the effective share (B,) of a draw's first position over all orders of the sets."""
        at, of, count = self._members(seen.values.device)
        log_p = torch.zeros_like(seen.values)
        for allowed, _ in seen.strata:
            inside = allowed[:, at].to(log_p.dtype)
            sizes = log_p.new_zeros(len(log_p), count).scatter_add(1, of.expand(len(log_p), -1), inside)
            parts = inside / (sizes * (sizes > 0).sum(1, keepdim=True)).clamp(min=1)[:, of]
            by_sets = torch.zeros_like(log_p).scatter_add(1, at.expand(len(log_p), -1), parts)
            p = self.strength * by_sets + (1 - self.strength) / allowed.sum(1, keepdim=True).clamp(min=1)
            log_p = torch.where(allowed, p.clamp(min=1e-12).log(), log_p)
        return share_of_draw(log_p, seen.values, seen.eligible, self.options["mask_basis"], masked)

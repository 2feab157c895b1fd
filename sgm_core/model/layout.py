"""What an import finds: the files of one of the released models, whichever it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sgm_core.model.interface import CellBackbone
from sgm_core.model.released import RELEASED, Released

Genes = str | Path | Sequence[str] | None
"""A gene list that goes with weights: a file, or the names in order."""


@dataclass(frozen=True)
class Layout:
    """Weights as their owner released them, opened and not yet checked.

    Parameters
    ----------
    kind : of backbone
    file : the file of the weights
    keys : the weight sets in it
    read : checks one weight set and returns its backbone
    genes : checks the gene list for so many genes and returns their names in order
    notes : what a person should know of these files
    """

    kind: str
    file: Path
    keys: tuple[str, ...]
    read: Callable[[str], CellBackbone]
    genes: Callable[[int], tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def released(self) -> Released:
        """What is known of the model."""
        return RELEASED[self.kind]

"""The backbones of a model that is fitted: one for each donor fold, and one of all donors."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.annotation.encoder import Encoder
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold
from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.comparison.tasks import FOLDER, Task
from sgm_core.device import pick_device
from sgm_core.errors import InputError
from sgm_core.model.bundle import LICENCE, open_bundle
from sgm_core.model.checkpoint import load_model, save_model
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.backbones import corpus_sentence, is_bundle
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.pretrain import pretrain, pretrain_cells, weights_of
from sgm_core.training.start import initial_state, original, set_pool

WEIGHTS = "backbone"
"""Folder of the backbone in that of a model."""
_ALL = -1


@dataclass
class Backbones:
    """The backbones of an arm, each made once: a fold's never saw its test donors.

    Parameters
    ----------
    dataset : the cells
    config : the comparison whose settings hold
    arm, scheme : which of its arms
    scratch : a folder for vectors of cells, which outlives this
    run : folder of the finished comparison whose folds' backbones are taken, None = each is pretrained here
    """

    dataset: Dataset
    config: CompareConfig
    arm: str
    scheme: str
    scratch: Path
    run: Path | None = None
    _made: dict[int, Encoder] = field(default_factory=dict, repr=False)
    _stores: int = field(default=0, repr=False)
    _pool: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.recipe().head != "linear":
            raise InputError(
                f"the comparison has finetune.head={self.recipe().head}: only a linear head can be kept as a "
                "model"
            )

    def recipe(self, fold: int = 0) -> FinetuneConfig:
        """Return how the arm is finetuned."""
        return replace(settings(self.config, self.arm, fold)[1], scheme=self.scheme)

    def has(self, fold: Fold | None) -> bool:
        """Return whether the backbone of a fold, or that of all donors, is made."""
        return self._number(fold) in self._made

    def _number(self, fold: Fold | None) -> int:
        return _ALL if fold is None or self.arm == "original" else fold.index  # the same for every fold

    def encoder(self, fold: Fold | None, observer: Observer) -> Encoder:
        """Return the backbone of a fold, or that of all donors."""
        number = self._number(fold)
        if number not in self._made:
            model, names = self._model(fold, observer)
            self._pool = model.backbone.config.pool
            set_pool(model.backbone, self.recipe().pool)
            store = self.scratch / f"vectors.{number}.npy"
            self._made[number] = Encoder(model, names, self.dataset.genes, self.recipe(), store)
        return self._made[number]

    def free_store(self) -> Path:
        """Return a place for the vectors that another backbone makes of the dataset's cells."""
        self._stores += 1
        return self.scratch / f"tuned.{self._stores}.npy"

    def _pretraining(self, fold: Fold | None) -> PretrainConfig:
        return replace(
            settings(self.config, self.arm, 0 if fold is None else fold.index)[0],
            fold=None if fold is None else fold.index,
        )

    def _model(self, fold: Fold | None, observer: Observer) -> tuple[MaskedModel, np.ndarray]:
        pretraining = self._pretraining(fold)
        if self.arm == "original":
            model = original(self.config.backbone, pretraining.weights_key)
            return model, np.array(model.backbone.genes)
        if not ARMS[self.arm]:
            rows = pretrain_cells(self.dataset, fold)[0]
            device = pick_device(pretraining.device)
            start = initial_state(self.dataset, pretraining, rows, device, random=True)
            return start.model, start.names
        kept = None if fold is None else self._kept(fold)
        if kept is not None:
            model, names, _ = load_model(kept)
            return model, names
        result = pretrain(self.dataset, pretraining, fold, observer)
        return result.model, result.names

    def _kept(self, fold: Fold) -> Path | None:
        """Return the checkpoint of a fold that the comparison keeps, if it does."""
        if self.run is None or self.config.split != "cv":
            return None
        folder = self.run / FOLDER / Task(self.arm, fold.index, self.config.seed).name / "checkpoint"
        return folder if (folder / "model.json").is_file() else None

    def facts(self) -> dict[str, Any]:
        """Return what a model keeps of its backbone, beside its weights."""
        recipe, pretraining = self.recipe(), self._pretraining(None)
        imported = is_bundle(self.config.backbone) and self.arm != "no-pretraining"
        about = {
            "name": self.config.backbone,
            "imported": imported,
            "trained": bool(ARMS[self.arm]),
            "pool": recipe.pool,
            "keep_summary": recipe.keep_summary,
            "precision": recipe.precision,
            "max_tokens": recipe.max_tokens,
        }
        if imported:
            bundle = open_bundle(self.config.backbone)
            about |= {"key": pretraining.weights_key, "sha256": bundle.meta["source"]["sha256"]}
            about |= {"licence": LICENCE, "corpus": corpus_sentence(self.dataset, bundle.name)}
        return about

    def save(self, folder: Path, encoder: Encoder) -> None:
        """Write a backbone with its weights into `folder`."""
        backbone = encoder.model.backbone
        read = backbone.config
        backbone.config = replace(read, pool=self._pool)  # which its decoder was built for
        weights = weights_of(self._pretraining(None))
        save_model(folder, encoder.model, encoder.names, self.arm, weights)
        backbone.config = read


def load_encoder(folder: Path, about: dict[str, Any], symbols: np.ndarray) -> Encoder:
    """Return the backbone of a model, from what `Backbones.save` and `Backbones.facts` gave.

    Raises
    ------
    InputError
        If its files are damaged.
    """
    model, names, _ = load_model(folder)
    set_pool(model.backbone, about["pool"])
    recipe = FinetuneConfig(
        keep_summary=about["keep_summary"], precision=about["precision"], max_tokens=about["max_tokens"]
    )
    return Encoder(model, names, symbols, recipe)

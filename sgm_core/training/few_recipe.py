"""The recipe of a training on few labelled cells; needs no torch."""

from dataclasses import replace

from sgm_core.training.config import FinetuneConfig

MIN_UPDATES = 150
"""Updates that a training on few labelled cells has at least: epochs are short, so it gets more of them."""


def few_recipe(config: FinetuneConfig, n_cells: int) -> FinetuneConfig:
    """Return a recipe of at least `MIN_UPDATES` updates on `n_cells` cells: its scheme's epochs may grow.

    So may the patience, which is meant for epochs of many updates: in short ones it would end the training
    long before them, so it spans as many updates here.
    """
    if config.scheme == "linear-probe":
        least = -(-MIN_UPDATES // max(1, n_cells // config.probe_batch_size))
        few = replace(config, probe_epochs=max(config.probe_epochs, least))
    else:
        least = -(-MIN_UPDATES // -(-n_cells // (config.batch_size * config.accumulation)))
        few = replace(config, epochs=max(config.epochs, least))
    return few if few.patience is None else replace(few, patience=max(few.patience, least))

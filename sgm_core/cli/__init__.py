"""The `sgm` command: `frame` is what every part shares; each other module registers its own commands."""

from sgm_core.cli.frame import main

__all__ = ["main"]

"""``$SGM_HOME/config.toml``: what a person may settle for the whole home folder."""

import tomllib
from typing import Any

from sgm_core import home
from sgm_core.errors import InputError

FILE = "config.toml"


def configuration() -> dict[str, Any]:
    """Return what the file says; empty if there is none.

    Raises
    ------
    InputError
        If it can't be read.
    """
    file = home.home() / FILE
    if not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{FILE} in {file.parent} is no TOML file: mend or remove it ({error})") from error

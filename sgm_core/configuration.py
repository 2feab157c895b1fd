"""What a person configures: ``config.toml`` in the home folder, or the file that ``$SGM_CONFIG`` names."""

import os
import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sgm_core import home
from sgm_core.errors import InputError

_FILE = "config.toml"


def configuration_file() -> Path:
    """Return where the configuration is, or would be."""
    named = os.environ.get("SGM_CONFIG")
    return Path(named).expanduser().resolve() if named else home.home() / _FILE


def read_configuration() -> MappingProxyType[str, Any]:
    """Return the configuration as it is now; empty where there is no file.

    Raises
    ------
    InputError
        If it is no TOML file, can't be read, or `$SGM_CONFIG` names a file that is not there.
    """
    file = configuration_file()
    try:
        found = file.stat()
    except OSError:
        if os.environ.get("SGM_CONFIG"):
            raise InputError(f"there is no configuration {file}, which SGM_CONFIG names") from None
        return MappingProxyType({})
    return _read(file, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=8)
def _read(file: Path, *version: int) -> MappingProxyType[str, Any]:
    try:
        return MappingProxyType(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # the message of the parser may quote the line, and a line may hold what nobody else should see
        raise InputError(f"{file.name} in {file.parent} is no TOML file: mend or remove it") from error


def texts(table: MappingProxyType[str, Any] | dict[str, Any], field: str, example: str) -> tuple[str, ...]:
    """Return a field that is a list of texts; empty where it is not given.

    Raises
    ------
    InputError
        If it is something else.
    """
    value = table.get(field, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        file = configuration_file()
        raise InputError(f'{file.name} in {file.parent}: {field} must be a list, as ["{example}"]')
    return tuple(value)


def upload_megabytes() -> int | None:
    """Return ``upload_mb``, the most that one uploaded file may have; None where it is not given.

    Raises
    ------
    InputError
        If it is no whole number above 0.
    """
    value = read_configuration().get("upload_mb")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError(f"{configuration_file()}: upload_mb must be a whole number of megabytes above 0")
    return value

"""How ``sgm app`` starts the server: its flags, and what must be there before others may reach it."""

from __future__ import annotations

import importlib.util
import os
import stat
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from sgm_core import home
from sgm_core.access import read_access
from sgm_core.configuration import configuration_file, upload_megabytes
from sgm_core.errors import InputError

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SECRETS = Path(".streamlit", "secrets.toml")


def flags(
    root: Path, address: str, port: int, hosts: list[str], base_path: str, headless: bool, demo: bool
) -> list[str]:
    """Return Streamlit's flags.

    Parameters
    ----------
    root
        Folder of the program.
    address, port
        Where to listen.
    hosts
        Names under which a proxy serves the dashboard.
    base_path
        Path below which it does.
    headless
        Whether no browser is opened.
    demo
        Whether it is a demo session, which has no login of its own.

    Raises
    ------
    InputError
        If others could reach it and there is no login, or what the login needs is missing.
    """
    secrets = [] if demo else _secrets_files(root)
    auth = next((found for found in map(_auth, secrets) if found), {})
    if not auth and (hosts or address not in _LOCAL):
        raise InputError(
            "others could reach this dashboard, and there is no login: add the section [auth] to "
            f"{home.home() / _SECRETS} (README, For a group), or leave --host and --address out"
        )
    if auth:
        _check_login()
    elif not demo and read_access() is not None:
        raise InputError(
            f"{configuration_file()} names who may do what, and there is no login to tell people apart: add "
            f"the section [auth] to {home.home() / _SECRETS}, or take [access] out"
        )
    named = urlparse(str(auth.get("redirect_uri", ""))).hostname
    options: dict[str, Any] = {"port": port, "address": address, "showEmailPrompt": "false"}
    options |= {"headless": "true"} if headless else {}
    options |= {"maxUploadSize": limit} if (limit := upload_megabytes()) else {}
    options |= {"baseUrlPath": base_path.strip("/")} if base_path.strip("/") else {}
    given = [f"--server.{name}={value}" for name, value in options.items()]
    allowed = dict.fromkeys([*_LOCAL, *hosts, *([named] if named else [])])
    given += [f"--server.allowedHosts={host}" for host in allowed]
    return [*given, *(f"--secrets.files={file}" for file in secrets)]


def _secrets_files(root: Path) -> list[Path]:
    """Return the files of secrets that are there, those of the home folder first."""
    places = dict.fromkeys(place / _SECRETS for place in (home.home(), root, Path.home()))
    files = [place for place in places if place.is_file()]
    for file in files:
        if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            raise InputError(f"others on this machine can read or change {file}: chmod 600 {file}")
        if not os.access(file, os.R_OK):
            raise InputError(f"{file} can't be read by this user")
    return files


def _auth(file: Path) -> dict[str, Any]:
    """Return a file's section on the login; what is wrong in it is never quoted."""
    try:
        section = tomllib.loads(file.read_text()).get("auth", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise InputError(f"{file} is no TOML file: mend or remove it") from None
    return section if isinstance(section, dict) else {}


def _check_login() -> None:
    if missing := [name for name in ("authlib", "httpx") if importlib.util.find_spec(name) is None]:
        raise InputError(f"login needs {' and '.join(missing)}: pip install 'sgm-core[login]'")
    access = read_access()
    if access is None or not (access.operators or access.viewers or access.unknown == "viewer"):
        raise InputError(
            "there is a login, and nobody would be admitted: name operators in "
            f'{configuration_file()}: [access] operators = ["ada@example.org"]'
        )

"""Which files the dashboard may open: the command line opens what its user can, a page only these folders.

The folders are those that ``$SGM_DATA`` names (several with ``:`` between them, like ``$PATH``), those that
``data_roots`` in the configuration lists, the user's home folder where only this machine can reach the
dashboard and nobody has to log in, and ``$SGM_HOME`` without what the program keeps there for itself.
Somebody who may only look has the named and listed folders alone.
"""

import os
from pathlib import Path

from sgm_core import access, home
from sgm_core.configuration import configuration_file, read_configuration, texts
from sgm_core.errors import InputError

_COMPANIONS = ("matrix.mtx", ".dem.txt")  # files that are read together with others beside them


class RefusedPath(InputError):
    """A path outside the folders that may be opened; the message tells nothing of what is there."""


def allowed_roots(local: bool) -> list[Path]:
    """Return the folders, symbolic links resolved, each once.

    Parameters
    ----------
    local
        Whether only people on this machine can reach the dashboard. Others get no home folder of the person
        who started it, and neither does anybody who logs in.

    Raises
    ------
    InputError
        If the configuration can't be read.
    """
    named = [part for part in os.environ.get("SGM_DATA", "").split(os.pathsep) if part]
    who = access.person()
    given = [*map(Path, named), *_configured()] if who.role != access.NOBODY else []
    if who.role == access.OPERATOR:
        given += [*([Path.home()] if local and not who.login else []), home.home()]
    resolved = dict.fromkeys(path.expanduser().resolve() for path in given)
    return [path for path in resolved if path != Path(path.anchor)]  # never the whole machine


def allowed_path(given: str | Path, roots: list[Path], to_read: bool = True) -> Path:
    """Return `given`, links resolved, if it and all that a reader would open for it lie in one of `roots`.

    What lies there without being named: the files of a folder, and the companions of a file in a folder of
    10x or GEO output; not looked at where a folder is to be listed only (`to_read` is False). Hidden files
    and folders (keys and settings in a home folder), the configuration, logs and records are not opened.

    Raises
    ------
    RefusedPath
        If it does not. What is outside is refused alike whether it exists or not.
    """
    try:
        path = Path(given).expanduser().resolve()
        inside = _within(path, roots)
        members = _members(path) if inside and to_read else []
        inside = inside and all(_within(member.resolve(), roots) for member in members)
    except (OSError, RuntimeError, ValueError):  # a circle of links, no such user, a name with a NUL
        inside = False
    if not inside:
        where = f"files in {', '.join(map(str, roots))} that are not hidden" if roots else "no file for you"
        raise RefusedPath(
            f"The dashboard does not open this path: it opens {where}. Put the file there, or name its "
            "folder in $SGM_DATA when you start the dashboard; 'sgm data import' opens any file."
        )
    return path


def check_unmoved(path: str | Path) -> None:
    """Refuse a path that was resolved before, and leads through a symbolic link now.

    Raises
    ------
    RefusedPath
        If it does: somebody put another file there since it was allowed.
    """
    if Path(path).resolve() != Path(path):
        raise RefusedPath(f"{path} was put elsewhere by a link since it was chosen: choose the file again")


def _within(path: Path, roots: list[Path]) -> bool:
    if _own(path):
        return False
    for root in roots:
        if path.is_relative_to(root):
            # The home folder of the project may itself lie in a hidden folder; what it holds is allowed.
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if not hidden:
                return True
    return False


def _own(path: Path) -> bool:
    """Whether the program keeps it for itself: configuration, secrets, records and logs, not cells."""
    if path == configuration_file():
        return True
    if not path.is_relative_to(home.home()):
        return False
    parts = path.relative_to(home.home()).parts
    return parts[:1] == ("logs",) or (len(parts) == 1 and path.is_file())


def _members(path: Path) -> list[Path]:
    """Return the links to files that a reader would follow from `path`."""
    folder = path if path.is_dir() else path.parent
    alone = path.is_file() and not any(mark in path.name for mark in _COMPANIONS)
    if alone or not folder.is_dir():
        return []
    return [item for item in folder.iterdir() if item.is_symlink() and not item.is_dir()]


def _configured() -> list[Path]:
    return [Path(root) for root in texts(read_configuration(), "data_roots", "/data/aml")]

"""Download one large file: go on where it was cut off, check it, never leave half of it under its name."""

import errno
import hashlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sgm_core import home
from sgm_core.errors import InputError
from sgm_core.progress import Observer

if TYPE_CHECKING:
    import requests

_BLOCK = 1 << 16  # what a dropped connection loses at most
_TELL_EVERY = 1 << 20
_ATTEMPTS = 4
_ABANDONED_S = 30 * 86400.0
_TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte


def download(
    url: str, target: Path, observer: Observer, md5: str | None = None, by_hand: str = "", pause: float = 2.0
) -> Path:
    """Download `url` to `target` unless it is there already.

    What has arrived is kept as ``NAME.part``; the next call asks for the rest (HTTP Range, and only if the
    server's file is still the same one). A dropped connection is taken up again a few times at once.

    Parameters
    ----------
    url
        http or https.
    target
        Where to put it; it exists only when it is whole and checked.
    observer
        Is told the progress in bytes, and asked between blocks whether to stop.
    md5
        Checksum that the source publishes, in hex.
    by_hand
        What to do when the source can't be reached, for the message.
    pause
        Seconds before the connection is taken up again; doubles each time.

    Raises
    ------
    InputError
        If the source can't be reached, the file is cut off or damaged, or the disk is full.
    """
    import requests

    if target.exists():
        if md5 is None or _md5(target, observer) == md5:
            return target
        target.unlink()
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):
        before = _size(part)
        try:
            total = _transfer(url, part, observer)
            break
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            if attempt + 1 == _ATTEMPTS or (before == _size(part) == 0):
                raise InputError(_cut_off(url, part, error, by_hand)) from error
            observer.message(f"the connection dropped at {_bytes(_size(part))}; taking it up again")
            time.sleep(pause * 2**attempt)
        except requests.RequestException as error:
            raise InputError(f"can't download {url} ({type(error).__name__}); {by_hand}") from error
    if total is not None and _size(part) != total:
        _forget(part)
        raise InputError(f"{url} has {_bytes(total)} and another size arrived: run the same command again")
    if md5 is not None and (found := _md5(part, observer)) != md5:
        _forget(part)
        raise InputError(
            f"{target.name} arrived damaged (md5 {found}, its source says {md5}) and was deleted: "
            "run the same command again"
        )
    home.sync(part)
    part.replace(target)
    _forget(part)
    return target


def forget_abandoned() -> list[Path]:
    """Delete what arrived of downloads that nobody took up again for a month; returns what that was."""
    limit, forgotten = time.time() - _ABANDONED_S, []
    for part in (home.home() / "downloads").glob("*.part"):
        if part.stat().st_mtime < limit:
            _forget(part)
            forgotten.append(part)
    return forgotten


def _transfer(url: str, part: Path, observer: Observer) -> int | None:
    """Append what is missing to `part`; return the size of the whole file if the server says it."""
    import requests

    have = _size(part)
    # Compressed transfer would make lengths and ranges those of another file.
    headers = {"Accept-Encoding": "identity"}
    known = _version_file(part)
    if have and known.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": home.read_json(known)["version"]}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            whole = response.headers.get("Content-Range", "").rpartition("/")[2]
            if whole == str(have):
                return have
            _forget(part)
            raise requests.ConnectionError("the file became shorter")
        if response.status_code >= 400:
            raise InputError(f"{url} answered {response.status_code} {response.reason}: try again later")
        append = response.status_code == requests.codes.partial_content
        if append and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _forget(part)
            raise requests.ConnectionError("the server sent another part than asked for")
        have = have if append else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        _keep_version(part, response, total)
        _check_room(part, total, have)
        _write(part, response, have, total, observer)
    if total is not None and _size(part) < total:
        raise requests.ConnectionError("the connection was closed early")
    return total


def _write(
    part: Path, response: "requests.Response", have: int, total: int | None, observer: Observer
) -> None:
    name = part.name.removesuffix(".part")
    try:
        with part.open("r+b" if have else "wb") as stream:
            stream.seek(have)
            reported = have
            for block in response.iter_content(_BLOCK):
                stream.write(block)
                have += len(block)
                if have - reported >= _TELL_EVERY or have == total:
                    observer.progress(have, total or have, f"downloading {name} ({_bytes(have)})")
                    observer.check()
                    reported = have
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(_no_room(part, total)) from error
        raise


def _keep_version(part: Path, response: "requests.Response", total: int | None) -> None:
    """Remember which version of the file this is; without a strong name for it nothing is resumed."""
    tag = response.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if version and total is not None and response.headers.get("Accept-Ranges", "bytes") != "none":
        home.write_json(_version_file(part), {"version": version})
    else:
        _version_file(part).unlink(missing_ok=True)


def _check_room(part: Path, total: int | None, have: int) -> None:
    if total is not None and shutil.disk_usage(part.parent).free < total - have:
        raise InputError(_no_room(part, total))


def _no_room(part: Path, total: int | None) -> str:
    size = _bytes(total) if total else "size unknown"
    return (
        f"no space left for {part.name.removesuffix('.part')} ({size}): "
        f"{_bytes(shutil.disk_usage(part.parent).free)} is left in {part.parent}; free some space or set "
        "SGM_HOME to a larger disk, then run the same command again"
    )


def _cut_off(url: str, part: Path, error: Exception, by_hand: str) -> str:
    host, reason = url.split("/")[2], type(error).__name__
    if _size(part):
        return (
            f"the download from {host} was cut off at {_bytes(_size(part))} ({reason}): run the same command "
            "again, it goes on from there"
        )
    return f"can't reach {host} ({reason}): is there a network? {by_hand}".rstrip()


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _md5(path: Path, observer: Observer) -> str:
    digest, total, done = hashlib.md5(usedforsecurity=False), path.stat().st_size, 0
    with path.open("rb") as stream:
        while block := stream.read(16 * _TELL_EVERY):
            observer.check()
            digest.update(block)
            done += len(block)
            observer.progress(done, total, f"checking {path.name.removesuffix('.part')}")
    return digest.hexdigest()


def _bytes(n: float) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"

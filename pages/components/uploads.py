"""Files that browsers send: limited, refused to who may not bring any, and streamed to disk.

Streamlit itself keeps an upload in memory for as long as its session lives. `Streamed`, which `serve.py`
puts before it, takes the content out of the request as it arrives, writes it below ``uploads`` in the home
folder, and hands Streamlit a file of that name with nothing in it; pages get the content by `save` or
`content`. Under a plain ``streamlit run app.py`` uploads are in memory as ever, and these give them too.
"""

import asyncio
import atexit
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import streamlit as st
from python_multipart import FormParser
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components import login, permit
from sgm_core import home
from sgm_core.access import record_action
from sgm_core.errors import InputError

_ROUTE = "/_stcore/upload_file/"
_FRAMING = 100_000
"""Bytes of a request around its file."""
_BLOCK = 1 << 20
_AWAY_S = 3600.0
"""An upload is kept so long after its session has gone: a laptop sleeps and comes back."""
_process = ExitStack()
atexit.register(_process.close)
_folders: list[Path] = []
_asking: dict[str, dict[str, Any]] = {}
"""What the login says of the sessions that were shown where to bring a file."""
_received: dict[tuple[str, str], Path] = {}
_streaming: list[bool] = []


def uploader(label: str, key: str, **options: Any) -> Any:
    """Draw `st.file_uploader`; disabled, with the reason, for who may bring no files."""
    _tidy()
    _asking[_session()] = dict(st.user.to_dict())
    given = st.file_uploader(label, key=key, **(options | permit.refused("upload")))
    permit.note("upload")
    return given


def save(file: Any, path: Path) -> None:
    """Write an uploaded file to `path`, whole or not at all.

    Raises
    ------
    InputError
        If it is not there any more.
    """
    source = _place(file)
    with home.whole_file(path) as temporary:
        if source is None:
            temporary.write_bytes(file.getvalue())
            return
        temporary.unlink()
        try:
            os.link(source, temporary)  # the same disk: nothing is copied
        except OSError:
            shutil.copyfile(source, temporary)


def content(file: Any, most: int) -> bytes:
    """Return the content of a small uploaded file.

    Raises
    ------
    InputError
        If it has more than `most` bytes, or is not there any more.
    """
    source = _place(file)
    size = source.stat().st_size if source else file.size
    if size > most:
        raise InputError(f"{file.name} has {size:,} bytes, and {most:,} are the most here.")
    return source.read_bytes() if source else bytes(file.getvalue())


def _place(file: Any) -> Path | None:
    """Return where the content is; None where Streamlit holds it in memory."""
    place = _received.get((_session(), file.file_id))
    if _streaming and (place is None or not place.is_file()):
        raise InputError(f"The upload {file.name} is gone: choose the file again.")
    return place


class Streamed:
    """The part of the server that takes uploads before Streamlit does (an ASGI middleware).

    Streamlit checks a request first (its token against cross-site requests, the session, the length it
    claims), and asks for the content then; only then is anything read, so nothing is checked twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        _streaming.append(True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or _ROUTE not in path:
            await self.app(scope, receive, send)
            return
        session, _, file_id = path.partition(_ROUTE)[2].partition("/")

        async def forgetting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                _forget([(session, file_id)])
            await send(message)

        if scope["method"] == "PUT":
            await self.app(scope, _Taken(scope, receive, session, file_id), send)
        else:
            await self.app(scope, receive, forgetting if scope["method"] == "DELETE" else send)


class _Taken:
    """What Streamlit receives in place of an upload: the same form, its file empty."""

    def __init__(self, scope: Scope, receive: Receive, session: str, file_id: str) -> None:
        self.receive, self.key = receive, (session, file_id)
        headers = dict(scope["headers"])
        _, options = parse_options_header(headers.get(b"content-type", b""))
        self.boundary = options.get(b"boundary", b"")
        self.given = False

    async def __call__(self) -> Message:
        if self.given:
            return {"type": "http.disconnect"}
        self.given = True
        claims = _asking.get(self.key[0])
        who = login.person_with(claims) if claims is not None else login.NOBODY
        if not who.may("upload"):
            raise HTTPException(403, "uploads are for operators of this dashboard")
        folder = Path(tempfile.mkdtemp(dir=_folder()))
        try:
            name, content_type, file = await self._take(folder)
            record_action(who, "upload", name.decode(errors="replace"), "allowed")
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, ValueError | AssertionError):
                raise HTTPException(400, "this is no upload of a browser") from error
            if isinstance(error, OSError):
                raise HTTPException(507, f"the upload can't be kept: {error.strerror}") from error
            raise
        _forget([self.key])
        _received[self.key] = file
        quoted = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        head = b'Content-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: %s\r\n\r\n'
        body = b"--%s\r\n" % self.boundary + head % (quoted, content_type) + b"\r\n--%s--\r\n" % self.boundary
        return {"type": "http.request", "body": body, "more_body": False}

    async def _take(self, folder: Path) -> tuple[bytes, bytes, Path]:
        """Write the file of the request to disk as it arrives; returns its name, type and place."""
        most = int(config.get_option("server.maxUploadSize")) * 1024 * 1024
        files: list[Any] = []
        parser = FormParser(
            "multipart/form-data", None, files.append, boundary=self.boundary,
            config={"UPLOAD_DIR": str(folder), "UPLOAD_DELETE_TMP": False, "MAX_MEMORY_FILE_SIZE": 0},
        )  # fmt: skip
        total = 0
        async for block in self._blocks():
            total += len(block)
            if total > most + _FRAMING:
                raise HTTPException(413, "File too large")
            await asyncio.to_thread(parser.write, block)
        await asyncio.to_thread(parser.finalize)
        if len(files) != 1:
            raise HTTPException(400, f"Expected 1 file, but got {len(files)}")
        (file,) = files
        if file.size > most:
            raise HTTPException(413, "File too large")
        if file.in_memory:  # it is empty
            file.flush_to_disk()
        file.close()
        kind = (file.content_type or "application/octet-stream").encode()
        return file.file_name or b"", kind, Path(os.fsdecode(file.actual_file_name))

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Yield what the browser sends, gathered to blocks."""
        gathered, n_bytes, more = [], 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "the browser went away")
            gathered.append(message.get("body", b""))
            n_bytes += len(gathered[-1])
            more = message.get("more_body", False)
            if n_bytes >= _BLOCK or not more:
                yield b"".join(gathered)
                gathered, n_bytes = [], 0


def _session() -> str:
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context is not None else ""


def _folder() -> Path:
    """Return the folder of uploads that no page has asked for yet; it goes with the server."""
    if not _folders:
        _folders.append(_process.enter_context(home.scratch(home.folder("uploads") / "browser")))
    return _folders[0]


def _forget(keys: list[tuple[str, str]]) -> None:
    for key in keys:
        place = _received.pop(key, None)
        if place is not None:
            shutil.rmtree(place.parent, ignore_errors=True)


def _tidy() -> None:
    """Delete uploads of sessions that have been gone for long."""
    if not runtime.exists():
        return
    here = runtime.get_instance().is_active_session
    for session in [session for session in _asking if not here(session)]:
        _asking.pop(session, None)
    for key, place in list(_received.items()):
        with suppress(OSError):
            if not here(key[0]) and time.time() - place.stat().st_mtime > _AWAY_S:
                _forget([key])

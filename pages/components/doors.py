"""What the server lets in before Streamlit sees it (ASGI middleware): its own pages, and who is admitted."""

import json
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlparse

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from pages.components import login
from sgm_core import access
from sgm_core.errors import SGMError

_DOWNLOADS = "/media/"


class SameOrigin:
    """Refuse the WebSocket to a page that comes from elsewhere.

    Streamlit does so too, and lets in whatever a browser has from any port of its own machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "websocket":
            headers = _headers(scope)
            origin = headers.get("origin")  # programs send none, browsers always do
            if origin is not None and urlparse(origin).netloc != headers.get("host"):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
        await self.app(scope, receive, send)


class Admitted:
    """Give downloads to who is admitted alone; Streamlit gives them to whoever knows their address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and _DOWNLOADS in scope["path"] and not _admitted(scope):
            await PlainTextResponse("log in first", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _admitted(scope: Scope) -> bool:
    try:
        claims = _claims(_headers(scope).get("cookie", "")) if login.wanted() else {}
        return login.person_with(claims).role != access.NOBODY
    except (SGMError, CookieError, ValueError):
        return False


def _claims(header: str) -> Mapping[str, Any]:
    """Return what the signed cookie of a login says; that nobody is logged in where there is none."""
    cookies, secret = SimpleCookie(header), get_cookie_secret()

    def signed(name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(secret, name, value.value.encode("latin-1"))

    found = get_cookie_with_chunks(signed, USER_COOKIE_NAME)
    return json.loads(found) if found else {"is_logged_in": False}


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

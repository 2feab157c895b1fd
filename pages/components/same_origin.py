"""Only pages of this dashboard open its sessions."""

from urllib.parse import urlparse

from starlette.types import ASGIApp, Receive, Scope, Send


class SameOrigin:
    """Refuse the WebSocket to a page that comes from elsewhere (an ASGI middleware).

    Streamlit does so too, and lets in whatever a browser has from any port of its own machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "websocket":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            origin = headers.get(b"origin")  # programs send none, browsers always do
            if origin is not None and urlparse(origin).netloc != headers.get(b"host"):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
        await self.app(scope, receive, send)

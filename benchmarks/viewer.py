"""One person's session with a running dashboard, without a browser: its WebSocket and its messages."""

import json
import socket
import time
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlparse

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import (
    create_signed_value,
    generate_xsrf_token_string,
)
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME, XSRF_COOKIE_NAME
from websockets.sync.client import connect

PATIENCE_S = 120.0


@dataclass
class Drawn:
    """What a run of a page's script sent.

    Parameters
    ----------
    seconds : from the wish to the end of the script
    n_bytes : all messages together
    text : all of them as text, to look for something in
    uploaders : the widgets that take files
    sent_to : the address that the browser is to open, for a login
    pages : names in the address of the pages that the navigation shows, by their titles
    """

    seconds: float = 0.0
    n_bytes: int = 0
    text: str = ""
    uploaders: list[str] = field(default_factory=list)
    sent_to: str = ""
    pages: dict[str, str] = field(default_factory=dict)


class Viewer:
    """A session; its first run is that of the start page.

    Parameters
    ----------
    url
        Of the dashboard, such as ``http://localhost:8501``.
    query
        What a link would bring: ``dataset=aml``.
    cookie
        A signed login (`login_cookie`), if any.
    origin
        Where the page that asks says it comes from; by default the dashboard itself.
    through
        Host and port to connect to in place of those of `url`, as a proxy would.
    """

    def __init__(
        self,
        url: str,
        query: str = "",
        cookie: str = "",
        origin: str | None = None,
        through: tuple[str, int] | None = None,
    ) -> None:
        where = urlparse(url)
        self.query, self.session_id = query, ""
        self.hashes: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self.downloads: dict[str, str] = {}
        self.token = generate_xsrf_token_string()
        cookies = f"{XSRF_COOKIE_NAME}={self.token}" + (f"; {USER_COOKIE_NAME}={cookie}" if cookie else "")
        self.cookies = cookies
        self.socket = connect(
            f"ws://{where.netloc}{where.path.rstrip('/')}/_stcore/stream",
            origin=origin or f"{where.scheme}://{where.netloc}",
            subprotocols=["streamlit", self.token],
            additional_headers={"Cookie": cookies},
            sock=socket.create_connection(through) if through else None,
            max_size=None,
            open_timeout=PATIENCE_S,
            compression=None,
            proxy=None,
        )
        self.first = self.open("")

    def press(self, label: str) -> str:
        """Press a button of the page drawn last; returns where the browser is sent to, if anywhere."""
        wish = BackMsg()
        wish.rerun_script.query_string = self.query
        wish.rerun_script.widget_states.widgets.add(id=self.buttons[label], trigger_value=True)
        return self._wait(wish).sent_to

    def download(self, label: str) -> str:
        """Ask for the file of a download button; returns its address."""
        wish = BackMsg()
        wish.backend_operation_request.request_id = "1"
        wish.backend_operation_request.session_id = self.session_id
        wish.backend_operation_request.deferred_file.file_id = self.downloads[label]
        self.socket.send(wish.SerializeToString())
        while True:
            message = ForwardMsg.FromString(self.socket.recv(timeout=PATIENCE_S))
            if message.WhichOneof("type") == "backend_operation_response":
                return message.backend_operation_response.deferred_file.url

    def open(self, page: str, query: str | None = None, uploaded: tuple[str, str] | None = None) -> Drawn:
        """Go to a page by its name in the address (``masked_genes``), and wait until its script has ended.

        With `uploaded`, a widget that takes files and the ID of one, as after an upload.
        """
        self.query = self.query if query is None else query
        wish = BackMsg()
        if uploaded is not None:
            state = wish.rerun_script.widget_states.widgets.add(id=uploaded[0])
            state.file_uploader_state_value.uploaded_file_info.add(
                file_id=uploaded[1], name="cells.csv", size=1
            )
        wish.rerun_script.query_string = self.query
        if self.hashes.get(page):
            wish.rerun_script.page_script_hash = self.hashes[page]
        else:
            wish.rerun_script.page_name = page
        return self._wait(wish)

    def _wait(self, wish: BackMsg) -> Drawn:
        drawn, texts, began = Drawn(), [], time.perf_counter()
        self.socket.send(wish.SerializeToString())
        while True:
            data = self.socket.recv(timeout=PATIENCE_S)
            message = ForwardMsg.FromString(data)
            drawn.n_bytes += len(data)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session_id = message.new_session.initialize.session_id or self.session_id
                texts = []
            elif kind == "navigation":
                for page in message.navigation.app_pages:
                    name = "" if page.is_default else page.url_pathname
                    self.hashes[name] = page.page_script_hash
                    drawn.pages[page.page_name] = name
            elif kind == "delta":
                texts.append(str(message.delta))
                if message.delta.new_element.HasField("file_uploader"):
                    drawn.uploaders.append(message.delta.new_element.file_uploader.id)
                if message.delta.new_element.HasField("button"):
                    self.buttons[message.delta.new_element.button.label] = message.delta.new_element.button.id
                if message.delta.new_element.HasField("download_button"):
                    button = message.delta.new_element.download_button
                    self.downloads[button.label] = button.deferred_file_id
            elif kind == "auth_redirect":
                drawn.sent_to = message.auth_redirect.url
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                break
        drawn.seconds = time.perf_counter() - began
        drawn.text = "\n".join(texts)
        return drawn

    def close(self) -> None:
        """Leave, as closing the tab does."""
        self.socket.close()

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def login_cookie(secret: str, url: str, email: str, name: str, **claims: object) -> str:
    """Return the cookie that Streamlit sets at a login, signed with the server's secret."""
    user = {"is_logged_in": True, "origin": url, "email": email, "name": name, **claims}
    return create_signed_value(secret, USER_COOKIE_NAME, json.dumps(user)).decode()

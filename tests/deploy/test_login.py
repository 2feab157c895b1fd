"""A login from start to end, by a provider that speaks OpenID Connect: to it, back, and into a session."""

import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest
from group_server import CLIENT_SECRET, HOST, Group
from viewer import Viewer

pytest.importorskip("httpx", reason="login needs httpx: pip install -r requirements-dev.txt")
pytest.importorskip("authlib", reason="login needs Authlib: pip install -r requirements-dev.txt")


class Provider(BaseHTTPRequestHandler):
    """The provider: whoever comes is Ada, and the codes that it gave are good once."""

    key = None
    codes: dict[str, dict[str, str]] = {}  # noqa: RUF012
    asked_with: list[str] = []  # noqa: RUF012

    @property
    def at(self) -> str:
        return f"http://localhost:{self.server.server_port}"

    def do_GET(self) -> None:
        if self.path == "/.well-known/openid-configuration":
            self.say(
                {
                    "issuer": self.at,
                    "authorization_endpoint": f"{self.at}/authorize",
                    "token_endpoint": f"{self.at}/token",
                    "jwks_uri": f"{self.at}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif self.path == "/keys":
            self.say({"keys": [self.key.as_dict(private=False) | {"use": "sig", "alg": "RS256"}]})

    def do_POST(self) -> None:
        from joserfc import jwt

        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        self.asked_with.append(base64.b64decode(given).decode() or form["client_secret"][0])
        asked = self.codes.pop(form["code"][0])
        now = int(time.time())
        claims = {"iss": self.at, "aud": "sgm", "sub": "1", "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], "email": "ada@lab.test", "name": "Ada", "email_verified": True}
        token = jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)
        self.say({"access_token": "access-token-of-ada", "token_type": "Bearer", "id_token": token})

    def say(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider(group: Group) -> Iterator[type[Provider]]:
    from joserfc.jwk import RSAKey

    Provider.key = RSAKey.generate_key(2048, {"kid": "1"})
    server = ThreadingHTTPServer(("localhost", int(group.provider.rpartition(":")[2])), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Provider
    server.shutdown()
    server.server_close()


def get(group: Group, url: str, cookies: dict[str, str]) -> str:
    """Ask as a browser does, keep the cookies, and return where it is sent to."""
    where = urlparse(url)
    connection = http.client.HTTPConnection("localhost", group.port, timeout=60)
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    connection.request("GET", f"{where.path}?{where.query}", headers={"Cookie": sent, "Host": HOST})
    answer = connection.getresponse()
    answer.read()
    for header, value in answer.getheaders():
        if header.lower() == "set-cookie":
            name, _, content = value.partition(";")[0].partition("=")
            cookies[name] = content.strip('"')
    connection.close()
    assert answer.status in (302, 307), answer.status
    return answer.getheader("Location")


def test_a_person_goes_to_the_provider_and_comes_back_as_an_operator(group, provider):
    through = ("localhost", group.port)
    here, site = f"http://{HOST}/sgm", f"https://{HOST}"
    with Viewer(here, "dataset=small", origin=site, through=through) as stranger:
        assert "small" not in stranger.first.text
        asked = stranger.press("Log in")
    cookies: dict[str, str] = {}
    at_provider = urlparse(get(group, asked, cookies))
    query = {name: values[0] for name, values in parse_qs(at_provider.query).items()}
    assert f"{at_provider.scheme}://{at_provider.netloc}" == group.provider
    assert query["redirect_uri"] == f"https://{HOST}/sgm/oauth2callback" and query["client_id"] == "sgm"
    assert CLIENT_SECRET not in at_provider.query
    provider.codes["the-code"] = query
    back = f"{query['redirect_uri']}?code=the-code&state={query['state']}"
    forged = dict(cookies)
    get(group, f"{query['redirect_uri']}?code=the-code&state=another", forged)
    assert "_streamlit_user" not in forged and "the-code" in provider.codes, "the state is ours or nothing"
    get(group, back, cookies)
    assert CLIENT_SECRET in provider.asked_with[0]
    with Viewer(here, "dataset=small", cookies["_streamlit_user"], site, through) as ada:
        assert "operator" in ada.first.text and "small" in ada.first.text
        assert "ada" in ada.first.text.lower() and "Actions" in ada.first.pages
    with Viewer(f"http://localhost:{group.port}/sgm", "", cookies["_streamlit_user"]) as elsewhere:
        assert "operator" not in elsewhere.first.text, "the login is of its own site alone"
    log = group.log.read_text()
    assert CLIENT_SECRET not in log and "access-token-of-ada" not in log and "the-code" not in log

"""Real requests to a running dashboard: who may bring files, what other sites may not, what stays secret."""

import html
import http.client
import json
import uuid
from pathlib import Path

import psutil
import pytest
from group_server import CLIENT_SECRET, HOST, SECRET, Group
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from viewer import Viewer, login_cookie
from websockets.exceptions import InvalidStatus

MB = 1024 * 1024
CELLS = b"cell,x,y,cell_type\na,1,2,HSC\nb,2,3,Mono\n"


def put(
    group: Group, viewer: Viewer, content: bytes, token: str | None = None, chunked: bool = False, **also: str
) -> tuple[int, str]:
    """Send a file as a browser does; returns the status and the file's ID."""
    file_id, mark = str(uuid.uuid4()), b"----mark"
    head = b'--%s\r\nContent-Disposition: form-data; name="f"; filename="cells.csv"\r\n\r\n' % mark
    body = head + content + b"\r\n--%s--\r\n" % mark
    headers = {"Content-Type": f"multipart/form-data; boundary={mark.decode()}", "Cookie": viewer.cookies}
    headers |= {"X-Xsrftoken": viewer.token if token is None else token} | also
    connection = http.client.HTTPConnection("localhost", group.port, timeout=60)
    path = f"/sgm/_stcore/upload_file/{viewer.session_id}/{file_id}"
    blocks = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    try:
        connection.request("PUT", path, blocks, headers, encode_chunked=chunked)
        return connection.getresponse().status, file_id
    except (BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        return 413, file_id
    finally:
        connection.close()


@pytest.fixture(scope="module")
def ada(group: Group):
    """An operator, at the form that takes files."""
    with Viewer(group.url, "dataset=small&view=Import&from=Upload", group.login("ada")) as viewer:
        viewer.drawn = viewer.open("datasets")
        yield viewer


def read_actions(group: Group, action: str) -> list[dict[str, str]]:
    lines = (group.home / "actions.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["action"] == action]


def on_disk(group: Group) -> list[Path]:
    return [path for path in (group.home / "uploads").rglob("*") if path.is_file()]


def test_an_upload_goes_to_disk_and_its_page_reads_it(group, ada):
    before = on_disk(group)
    status, file_id = put(group, ada, CELLS)
    assert status == 204
    assert [path.read_bytes() for path in on_disk(group) if path not in before] == [CELLS]
    drawn = ada.open("datasets", uploaded=(ada.drawn.uploaders[0], file_id))
    assert "cells.csv: coordinates and labels, no counts, 2 cells" in _plain(drawn.text)
    assert read_actions(group, "upload")[-1]["who"] == "Ada (ada@lab.test)"
    kept = [path for path in on_disk(group) if path.name == "cells.csv"]
    assert [path.read_bytes() for path in kept] == [CELLS]


def test_without_the_token_nothing_is_taken(group, ada):
    before = on_disk(group)
    assert put(group, ada, CELLS, token="")[0] == 403
    assert put(group, ada, CELLS, token="2|aaaaaaaa|bbbbbbbb|1")[0] == 403
    assert put(group, ada, CELLS, Cookie="")[0] == 403
    assert on_disk(group) == before


def test_what_is_no_upload_of_a_browser_leaves_nothing(group, ada):
    before = on_disk(group)
    assert put(group, ada, CELLS, **{"Content-Type": "text/plain"})[0] == 400
    assert put(group, ada, CELLS, **{"Content-Type": "multipart/form-data; boundary=other"})[0] == 400
    assert on_disk(group) == before


def test_viewers_and_strangers_bring_no_file_though_their_token_is_right(group, ada):
    before = on_disk(group)
    with Viewer(group.url, "dataset=small&view=Import&from=Upload", group.login("bob")) as bob:
        assert "small" in bob.open("datasets").text
        assert put(group, bob, CELLS)[0] == 403
    with Viewer(group.url) as stranger:
        assert put(group, stranger, CELLS)[0] == 403
    assert on_disk(group) == before


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_above_the_limit_is_refused_whatever_length_it_claims(group, ada, chunked):
    before = on_disk(group)
    assert put(group, ada, bytes(2 * MB - 1000), chunked=chunked)[0] == 204
    assert put(group, ada, bytes(3 * MB), chunked=chunked)[0] == 413
    assert put(group, ada, bytes(2 * MB + 1), chunked=chunked)[0] == 413  # within the room for the framing
    assert len(on_disk(group)) == len(before) + 1


def test_the_server_holds_no_upload_in_memory(group, ada):
    server, content = psutil.Process(group.pid), bytes(2 * MB - 1000)
    put(group, ada, content)
    before = server.memory_info().rss
    for _ in range(20):
        assert put(group, ada, content)[0] == 204
    assert server.memory_info().rss - before < 20 * MB  # of 40 that were sent


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://localhost:1"])
def test_a_page_of_another_site_opens_no_session(group, origin):
    with pytest.raises(InvalidStatus) as refused:
        Viewer(group.url, cookie=group.login("ada"), origin=origin)
    assert refused.value.response.status_code == 403


def test_a_foreign_name_that_points_here_opens_no_session(group):
    """Rebinding: the page of evil.test asks evil.test, which by now is this machine."""
    for host, status in ((f"evil.test:{group.port}", 403), (HOST, 101), ("localhost", 101)):
        connection = http.client.HTTPConnection("localhost", group.port, timeout=20)
        headers = {"Host": host, "Origin": f"http://{host}", "Connection": "Upgrade", "Upgrade": "websocket"}
        headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        connection.request("GET", "/sgm/_stcore/stream", headers=headers)
        assert connection.getresponse().status == status, host
        connection.close()


def test_other_sites_read_nothing(group, ada):
    for path in ("/_stcore/health", "/_stcore/host-config", "/", f"/_stcore/upload_file/{ada.session_id}/x"):
        for method in ("GET", "OPTIONS"):
            connection = http.client.HTTPConnection("localhost", group.port, timeout=20)
            connection.request(method, f"/sgm{path}", headers={"Origin": "https://evil.test"})
            allowed = connection.getresponse().getheader("Access-Control-Allow-Origin")
            assert allowed not in ("*", "https://evil.test", "null"), (method, path)
            connection.close()


def test_people_share_nothing_but_the_data(group, ada):
    with Viewer(group.url, "dataset=small&run=none", group.login("bob")) as bob:
        mine, others = bob.open("review").text, ada.open("review").text
    assert "Bob (bob@lab.test), viewer" in _plain(mine) and "ada@lab.test" not in _plain(mine)
    assert "Ada (ada@lab.test), operator" in _plain(others) and "bob@lab.test" not in _plain(others)


def test_a_download_is_for_who_is_admitted_though_others_know_its_address(group, ada):
    ada.open("datasets", "dataset=small&view=Donors and types")
    path = ada.download(":small[CSV]")
    assert "/media/" in path
    eve = login_cookie(SECRET, f"http://localhost:{group.port}", "eve@else.test", "Eve")
    forged = login_cookie("another-secret", f"http://localhost:{group.port}", "ada@lab.test", "Ada")
    for cookie, status in ((group.login("ada"), 200), ("", 403), (eve, 403), (forged, 403)):
        connection = http.client.HTTPConnection("localhost", group.port, timeout=60)
        connection.request(
            "GET", f"/sgm{path.removeprefix('/sgm')}", headers={"Cookie": f"{USER_COOKIE_NAME}={cookie}"}
        )
        assert connection.getresponse().status == status
        connection.close()


@pytest.mark.parametrize("secret", ["another-secret", ""])
def test_a_login_that_the_server_did_not_sign_is_none(group, secret):
    cookie = login_cookie(secret or "x", f"http://localhost:{group.port}", "ada@lab.test", "Ada")
    with Viewer(group.url, "dataset=small", cookie) as viewer:
        assert "who have been admitted" in viewer.first.text and "small" not in viewer.first.text


def test_a_login_counts_only_with_the_token_and_from_its_own_site(group):
    cookie = group.login("ada", origin="https://evil.test")
    with Viewer(group.url, "dataset=small", cookie) as viewer:
        assert "small" not in viewer.first.text


def test_no_secret_is_in_logs_records_or_pages(group, ada):
    assert SECRET in (group.home / ".streamlit" / "secrets.toml").read_text()
    said = [drawn.text for drawn in (ada.first, ada.open(""), ada.open("runs"), ada.open("actions"))]
    files = [path for path in group.home.rglob("*") if path.is_file() and ".streamlit" not in path.parts]
    written = [path.read_bytes().decode("latin-1") for path in [*files, group.log]]
    for text in (*said, *written):
        assert SECRET not in text and CLIENT_SECRET not in text
    command = psutil.Process(group.pid).cmdline()
    assert not any(SECRET in part or CLIENT_SECRET in part for part in command)


def _plain(text: str) -> str:
    """Return a message as a person reads it: no escapes, no signs that take no room."""
    return html.unescape(text.replace("\\u2060", "").replace("\u2060", "").replace("\\", ""))

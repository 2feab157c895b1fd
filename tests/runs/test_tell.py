"""Who is told of a run's end, and that telling never changes how it ended."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sgm_core import home
from sgm_core.errors import Cancelled, InputError
from sgm_core.progress import Observer
from sgm_core.runs.labels import tag_run
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run
from sgm_core.runs.tell import telling
from sgm_core.runs.worker import run_in_foreground

SECRET = "hooks/T0P-S3CRET"


@pytest.fixture
def run(monkeypatch) -> Run:
    monkeypatch.setattr("sgm_core.runs.worker.execute", lambda run, observer: None)
    return create_run("import", "aml", {"path": "x.csv"}, title="For the test")


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A web server that keeps what is posted; `status` is what it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            if self.server.status == 0:
                self.server.wait.wait(20)
                return
            self.send_response(self.server.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.status, server.wait = [], 200, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.wait.set()
    server.shutdown()
    server.server_close()


def configure(text: str) -> None:
    (home.home() / "config.toml").write_text(f"[run_ends]\n{text}\n")


def program(tmp_path: Path, code: str) -> str:
    """Return the field ``command`` with a program in Python."""
    path = tmp_path / "tell me.py"  # a shell would take this for two words
    path.write_text(f"import json, sys, time\n{code}\n")
    return f"command = {json.dumps([sys.executable, '-S', str(path), '$HOME; exit 7'])}"


def test_a_command_gets_the_facts_of_the_run(run, tmp_path) -> None:
    target = tmp_path / "told.json"
    code = f"open({str(target)!r}, 'w').write(json.dumps([sys.argv[1:], json.load(sys.stdin)]))"
    configure(program(tmp_path, f"{code}; print({SECRET!r})"))
    tag_run(run.id, ["paper"])
    run_in_foreground(run, Observer())
    arguments, facts = json.loads(target.read_text())
    assert arguments == ["$HOME; exit 7"], "no shell has read it"
    assert (facts["run"], facts["state"], facts["title"]) == (run.id, "done", "For the test")
    assert facts["tags"] == ["paper"] and facts["finished"] == run.status["finished"]
    assert facts["folder"] == str(run.path) and facts["error"] is None
    assert "told of its end by command" in run.log_tail() and SECRET not in run.log_tail()


def test_a_webhook_gets_them_by_post(run, server, monkeypatch) -> None:
    configure(f'webhook = "http://127.0.0.1:{server.server_port}/{SECRET}"')

    def fail(run: Run, observer: Observer) -> None:
        raise InputError("the file has no donors")

    monkeypatch.setattr("sgm_core.runs.worker.execute", fail)
    with pytest.raises(InputError, match="no donors"):
        run_in_foreground(run, Observer())
    [(path, kind, facts)] = server.got
    assert path == f"/{SECRET}" and kind == "application/json"
    assert (facts["state"], facts["error"]) == ("failed", "the file has no donors")
    assert "told of its end by webhook" in run.log_tail() and SECRET not in run.log_tail()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('command = ["/no/such/program"]', "command of [run_ends] failed: No such file or directory"),
        ("CODE sys.exit(3)", "command of [run_ends] failed: it ended with 3"),
        ("CODE time.sleep(60)\nseconds = 0.5", "it took longer than 0.5 s and was stopped"),
        ('webhook = "http://127.0.0.1:1/SECRET"', "webhook of [run_ends] failed: ConnectionError"),
        ('webhook = "http://no host/SECRET"', "webhook of [run_ends] failed: InvalidURL"),
        ('command = "tell SECRET"', "nobody is told of the end"),
        ("command = [", "is no TOML file"),
    ],
)
def test_a_failure_is_a_line_of_the_log_and_no_more(run, tmp_path, text, said) -> None:
    if text.startswith("CODE "):
        code, _, rest = text.removeprefix("CODE ").partition("\n")
        text = f"{program(tmp_path, code)}\n{rest}"
    configure(text.replace("SECRET", SECRET))
    run_in_foreground(run, Observer())
    assert run.state == "done" and run.status["error"] is None
    assert said in run.log_tail() and SECRET not in run.log_tail()


@pytest.mark.parametrize(
    ("status", "said"), [(500, "status 500"), (302, "status 302"), (0, "longer than 0.5 s")]
)
def test_what_a_webhook_answers_is_said(run, server, status, said) -> None:
    server.status = status
    configure(f'webhook = "http://127.0.0.1:{server.server_port}/{SECRET}"\nseconds = 0.5')
    run_in_foreground(run, Observer())
    assert run.state == "done" and (said in run.log_tail() or "ReadTimeout" in run.log_tail())
    assert len(server.got) == 1, "no other address gets the facts"
    assert SECRET not in run.log_tail()


def test_only_the_ends_that_were_asked_for_are_told(run, server, monkeypatch) -> None:
    configure(f'webhook = "http://127.0.0.1:{server.server_port}/x"\nstates = ["done", "cancelled"]')

    def stop(run: Run, observer: Observer) -> None:
        raise Cancelled("enough")

    for work, end in ((stop, "cancelled"), (lambda *_: 1 / 0, "failed"), (lambda *_: None, "done")):
        monkeypatch.setattr("sgm_core.runs.worker.execute", work)
        with pytest.raises((Cancelled, ZeroDivisionError)) if end != "done" else threading.Lock():
            run_in_foreground(run, Observer())
        assert run.state == end
    assert [facts["state"] for _, _, facts in server.got] == ["cancelled", "done"]


def test_who_is_refused_a_run_tells_nobody(run, server, monkeypatch) -> None:
    configure(f'webhook = "http://127.0.0.1:{server.server_port}/x"')
    run.finish("cancelled")
    with run.held(), pytest.raises(InputError, match="still stopping"):
        monkeypatch.setattr("sgm_core.runs.launch._STOPPING_S", 0.1)
        run_in_foreground(run, Observer())
    assert server.got == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('webhok = "https://a"', "command, webhook, states, seconds and no others"),
        ('webhook = "ftp://a"', "begins with https://"),
        ('states = ["running"]', "'running' is no end of a run"),
        ("seconds = 0", "up to 60"),
        ("seconds = true", "up to 60"),
        ('command = "ls"', "command must be a list"),
    ],
)
def test_a_wrong_configuration_is_named(text, said) -> None:
    configure(text)
    with pytest.raises(InputError, match=said):
        telling()


def test_without_a_configuration_nobody_is_told(run) -> None:
    run_in_foreground(run, Observer())
    assert "told" not in run.log_tail() and telling().command == ()

"""The examples in ``deploy/``: valid by the programs that read them, and a dashboard works behind them."""

import http.client
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from group_server import HOST, ROOT, Group, free_port, need, wait_for
from test_requests import CELLS, MB, put
from viewer import Viewer

DEPLOY = ROOT / "deploy"


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_takes_the_unit(tmp_path):
    need("systemd-analyze")
    unit = (DEPLOY / "sgm.service").read_text()
    program = tmp_path / "sgm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    here = tmp_path / "sgm.service"
    here.write_text(unit.replace("/opt/sgm/.venv/bin/sgm", str(program)))
    said = run("systemd-analyze", "verify", "--man=no", here)
    assert str(here) not in said and "sgm.service" not in said, said  # it only warns of what it does not know


def test_the_unit_starts_what_the_command_line_has():
    from sgm_core.cli.frame import build_parser

    (line,) = re.findall(
        r"^ExecStart=/opt/sgm/\.venv/bin/sgm (.*)$", (DEPLOY / "sgm.service").read_text(), re.M
    )
    args = build_parser().parse_args(line.split())
    assert (args.host, args.headless, args.address) == ([HOST], True, "localhost")
    (listed,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Containerfile").read_text(), re.M)
    command = re.findall(r'"([^"]+)"', listed)
    assert build_parser().parse_args(command[1:]).host == [HOST]


@contextmanager
def process(*command: str | Path, env: dict[str, str] | None = None) -> Iterator[None]:
    started = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    try:
        yield
    finally:
        started.terminate()
        started.wait(20)


def as_nginx_reads_it(folder: Path, listen: int, port: int) -> Path:
    """Put the example into a configuration of nginx; on another port and without a certificate if given."""
    site = (DEPLOY / "nginx.conf").read_text()
    if listen:
        site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{listen};").replace(
            "listen 80;", "listen 127.0.0.1:1;"
        )
        site = re.sub(r"server \{\s*listen 127\.0\.0\.1:1;.*?\n\}", "", site, flags=re.S)
        site = re.sub(r"^\s*ssl_.*$", "", site, flags=re.M)
        site = site.replace("127.0.0.1:8501", f"127.0.0.1:{port}")
    else:
        for name, file in (("fullchain", "cert.pem"), ("privkey", "key.pem")):
            site = site.replace(f"/etc/ssl/sgm/{name}.pem", str(folder / file))
    (folder / "site.conf").write_text(site)
    whole = folder / "nginx.conf"
    whole.write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"include {folder}/site.conf; }}\n"
    )
    return whole


def test_nginx_takes_the_example(tmp_path):
    need("nginx", "openssl")
    files = ("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={HOST}",
        *files,
    )
    said = run("nginx", "-t", "-p", tmp_path, "-c", as_nginx_reads_it(tmp_path, 0, 0))
    assert "test is successful" in said and "[warn]" not in said


def test_caddy_takes_the_example(tmp_path):
    need("caddy")
    said = run("caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile")
    assert "Valid configuration" in said and '"level":"warn"' not in said
    run("caddy", "fmt", "--diff", DEPLOY / "Caddyfile")


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request, group: Group, tmp_path: Path) -> Iterator[str]:
    """Where a proxy with the example serves the dashboard, as others would reach it."""
    need(request.param)
    listen = free_port()
    if request.param == "nginx":
        command: tuple = ("nginx", "-p", tmp_path, "-c", as_nginx_reads_it(tmp_path, listen, group.port))
        env = None
    else:
        text = (DEPLOY / "Caddyfile").read_text().replace("localhost:8501 {", f"localhost:{group.port} {{")
        text = text.replace(f"{HOST} {{", f"http://localhost:{listen} {{", 1)
        file = tmp_path / "Caddyfile"
        file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
        command = ("caddy", "run", "--adapter", "caddyfile", "--config", file)
        env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with process(*command, env=env):
        wait_for(f"http://localhost:{listen}/sgm/_stcore/health")
        yield f"http://localhost:{listen}/sgm"


def test_a_session_and_an_upload_go_through_the_proxy(proxy, group):
    port = int(proxy.split(":")[2].split("/")[0])
    origin = f"http://localhost:{port}"
    with Viewer(proxy, "dataset=small&view=Import&from=Upload", group.login("ada", origin)) as ada:
        drawn = ada.open("datasets")
        assert "small" in drawn.text and drawn.uploaders
        behind = Group(group.home, port, group.log, group.pid, "")
        assert put(behind, ada, bytes(2 * MB - 1000))[0] == 204
        assert put(behind, ada, CELLS, token="")[0] == 403
        # nginx passes on what it gets, and calls an answer that comes before the end of that a bad one
        assert put(behind, ada, bytes(3 * MB))[0] in (413, 502)
        form = ada.open("datasets", "dataset=small&view=Import&from=This machine")
        assert "Open a folder" not in form.text, "folders are listed to people on this machine alone"
    connection = http.client.HTTPConnection("localhost", port, timeout=20)
    connection.request("GET", "/sgm/")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Security-Policy") == "frame-ancestors 'none'"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"


def test_the_proxies_limit_uploads_as_the_dashboard_does():
    configured = re.search(r"^maxUploadSize = (\d+)", (ROOT / ".streamlit" / "config.toml").read_text(), re.M)
    assert configured is not None
    n_mb = int(configured[1])
    assert f"client_max_body_size {n_mb}m;" in (DEPLOY / "nginx.conf").read_text()
    assert f"max_size {n_mb}MiB" in (DEPLOY / "Caddyfile").read_text()


def steps(text: str) -> list[str]:
    """Return the packages of Debian and the commands of pip and make that a text tells."""
    packages = [
        " ".join(sorted(found.split())) for found in re.findall(r"apt-get install ([a-z][a-z0-9 -]+)", text)
    ]
    return [*packages, *re.findall(r"\.venv/bin/pip install [^\n]+", text)]


def test_the_container_takes_the_steps_of_the_readme():
    readme, container = (ROOT / "README.md").read_text(), (DEPLOY / "Containerfile").read_text()
    told = steps(readme[readme.index("## Start") : readme.index("## The five-minute tour")])
    group = readme[readme.index("## For a group") :]
    done = steps(container.replace("-y --no-install-recommends ", "").replace(" ca-certificates", ""))
    assert done == [*told, *steps(group)[:1]], "deploy/Containerfile and the README tell different steps"
    (target,) = re.findall(r"RUN make (\S+)", container)
    makefile = (ROOT / "Makefile").read_text()
    assert "make app" in readme and re.search(
        rf"^app: {re.escape(target.replace('.venv', '$(VENV)'))}$", makefile, re.M
    )
    assert shutil.which("make") and sys.version_info >= (3, 11)

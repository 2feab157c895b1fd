"""A dashboard of a group: its secrets and roles, who logs in, and what else its tests share."""

import os
import shutil
import socket
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
SECRET = "fake-cookie-secret-0123456789abcdef0123456789"
CLIENT_SECRET = "fake-client-secret-fedcba9876543210"
HOST = "sgm.example.org"
CONFIG = """upload_mb = 2
[access]
operators = ["ada@lab.test"]
viewers = ["@lab.test"]
"""
SECRETS = f"""[auth]
redirect_uri = "https://{HOST}/sgm/oauth2callback"
cookie_secret = "{SECRET}"
client_id = "sgm"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "PROVIDER/.well-known/openid-configuration"
"""


@dataclass(frozen=True)
class Group:
    """A running dashboard."""

    home: Path
    port: int
    log: Path
    pid: int
    provider: str

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/sgm"

    def login(self, who: str, origin: str | None = None) -> str:
        """Return the cookie of somebody of the lab."""
        from viewer import login_cookie

        origin = origin or f"http://localhost:{self.port}"
        return login_cookie(SECRET, origin, f"{who}@lab.test", who.title())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"nothing answers at {url}")


def need(*programs: str) -> None:
    """Skip without what Debian has as packages; in CI, which installs them, fail."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        reason = f"apt-get install {' '.join(missing)}"
        pytest.fail(reason) if os.environ.get("SGM_REQUIRE_SHARED") == "1" else pytest.skip(reason)

"""A dashboard of a group, as `sgm app` serves it: a process, a login, a limit on uploads, below a path."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from group_server import CONFIG, ROOT, SECRETS, Group, free_port, wait_for

from sgm_core.cli import server


@pytest.fixture(scope="session")
def group(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """The dashboard; tests share it, and only add to its home folder."""
    home = tmp_path_factory.mktemp("group") / "home"
    shutil.copytree(demo_home, home)
    (home / "config.toml").write_text(CONFIG)
    (home / ".streamlit").mkdir()
    secrets = home / ".streamlit" / "secrets.toml"
    secrets.touch(mode=0o600)
    provider = f"http://localhost:{free_port()}"
    secrets.write_text(SECRETS.replace("PROVIDER", provider))
    port, log = free_port(), home.parent / "server.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        patch.setattr(server.importlib.util, "find_spec", lambda name: name)  # cookies stand for the provider
        flags = server.flags(ROOT, "localhost", port, [], "/sgm", True, False)
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "serve.py", *flags],
            cwd=ROOT, env={**os.environ, "SGM_HOME": str(home), "SGM_DATA": str(home.parent / "data")},
            stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
    found = Group(home, port, log, process.pid, provider)
    try:
        wait_for(f"{found.url}/_stcore/health")
        yield found
    finally:
        process.terminate()
        process.wait(20)

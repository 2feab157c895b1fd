"""`sgm app` for a group: nothing is opened to others without a login, and no secret is told."""

from pathlib import Path

import pytest

from sgm_core.cli import server
from sgm_core.errors import InputError

AUTH = '[auth]\nredirect_uri = "https://sgm.example.org/oauth2callback"\ncookie_secret = "s3cret"\n'
ROLES = '[access]\noperators = ["ada@lab.test"]\n'


@pytest.fixture
def secrets(sgm_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The place of the secrets; Authlib counts as installed, and the person's home folder is empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: name)
    file = sgm_home / ".streamlit" / "secrets.toml"
    file.parent.mkdir()
    file.touch(mode=0o600)
    return file


def flags(hosts: tuple[str, ...] = (), address: str = "localhost", base_path: str = "") -> list[str]:
    return server.flags(Path("/nowhere"), address, 8501, list(hosts), base_path, True, False)


def test_without_a_login_this_machine_alone_is_served(sgm_home, secrets):
    secrets.unlink()
    given = flags()
    assert "--server.address=localhost" in given and not any("secrets" in flag for flag in given)
    hosts = [flag.partition("=")[2] for flag in given if "allowedHosts" in flag]
    assert hosts == ["localhost", "127.0.0.1", "::1"]
    for opened in ({"hosts": ("sgm.example.org",)}, {"address": "0.0.0.0"}):
        with pytest.raises(InputError, match="others could reach this dashboard, and there is no login"):
            flags(**opened)


def test_with_a_login_the_names_below_which_it_is_served_are_let_in(sgm_home, secrets):
    secrets.write_text(AUTH)
    (sgm_home / "config.toml").write_text("upload_mb = 7\n" + ROLES)
    given = flags(hosts=("other.example.org",), base_path="/sgm/")
    assert {"--server.allowedHosts=sgm.example.org", "--server.allowedHosts=other.example.org"} <= set(given)
    assert {"--server.maxUploadSize=7", "--server.baseUrlPath=sgm", f"--secrets.files={secrets}"} <= set(
        given
    )
    assert not any("s3cret" in flag for flag in given)


def test_a_login_that_admits_nobody_or_roles_without_a_login_are_refused(sgm_home, secrets):
    secrets.write_text(AUTH)
    with pytest.raises(InputError, match="nobody would be admitted"):
        flags()
    secrets.unlink()
    (sgm_home / "config.toml").write_text(ROLES)
    with pytest.raises(InputError, match="no login to tell people apart"):
        flags()


def test_a_missing_package_is_said_with_what_installs_it(sgm_home, secrets, monkeypatch):
    secrets.write_text(AUTH)
    (sgm_home / "config.toml").write_text(ROLES)
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^login needs authlib and httpx: pip install 'sgm-core\[login\]'$"):
        flags()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_secrets_that_others_can_read_or_change_are_refused(sgm_home, secrets, mode):
    secrets.write_text(AUTH)
    secrets.chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        flags()


def test_broken_secrets_are_not_quoted(sgm_home, secrets):
    secrets.write_text('[auth]\ncookie_secret = "s3cret\n')
    with pytest.raises(InputError, match="is no TOML file") as refused:
        flags()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("value", ["0", '"2"', "true", "1.5"])
def test_a_limit_of_uploads_is_a_number_of_megabytes(sgm_home, secrets, value):
    secrets.unlink()
    (sgm_home / "config.toml").write_text(f"upload_mb = {value}\n")
    with pytest.raises(InputError, match="upload_mb must be a whole number of megabytes above 0"):
        flags()


def test_the_log_is_read_by_the_command(sgm_home, capsys):
    import json

    from sgm_core.cli import main

    assert main(["resources", "add", "genesets", "no-such-file.gmt"]) == 2
    assert main(["log", "--json"]) == 0
    failed, allowed = json.loads(capsys.readouterr().out)["actions"]
    assert (failed["action"], failed["outcome"]) == ("add a resource", "failed")
    assert (allowed["what"], allowed["outcome"]) == ("genesets no-such-file.gmt", "allowed")
    assert main(["log", "--who", "nobody-of-that-name"]) == 0
    assert capsys.readouterr().out == "nothing was done yet\n"

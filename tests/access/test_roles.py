"""Who has which role, by the configuration and what a login says."""

from pathlib import Path

import pytest

from sgm_core.access import NOBODY, OPERATOR, VIEWER, Access, person_of, read_access
from sgm_core.errors import InputError

ADA = {"is_logged_in": True, "email": "ada@lab.test", "name": "Ada Lovelace"}


def configure(home: Path, text: str) -> None:
    (home / "config.toml").write_text(text)


def test_without_the_section_there_are_no_roles(sgm_home):
    assert read_access() is None
    configure(sgm_home, 'data_roots = ["/data"]')
    assert read_access() is None


@pytest.mark.parametrize(
    ("email", "role"),
    [
        ("ada@lab.test", OPERATOR),
        ("ADA@Lab.Test", OPERATOR),
        ("bob@uni.test", VIEWER),
        ("ada@lab.test.evil.test", NOBODY),
        ("bob@sub.uni.test", NOBODY),
        ("evil@x.test@uni.test", NOBODY),
        ("bob@eviluni.test", NOBODY),
        ("uni.test", NOBODY),
        ("", NOBODY),
    ],
)
def test_a_role_goes_by_the_whole_address_or_its_domain(email, role):
    access = Access(operators=("ada@lab.test",), viewers=("@uni.test", "*@uni.test", "ada@lab.test"))
    assert access.role_of(email) == role


def test_the_role_is_that_of_the_configuration_as_it_is_now(sgm_home):
    configure(sgm_home, '[access]\noperators = ["ada@lab.test"]')
    assert person_of(ADA).role == OPERATOR
    configure(sgm_home, '[access]\nviewers = ["ada@lab.test"]')
    assert person_of(ADA).role == VIEWER
    configure(sgm_home, '[access]\noperators = ["bob@lab.test"]\nunknown = "viewer"')
    assert person_of(ADA).role == VIEWER
    configure(sgm_home, '[access]\noperators = ["bob@lab.test"]')
    assert person_of(ADA).role == NOBODY


@pytest.mark.parametrize(
    "claims",
    [
        {},
        ADA | {"is_logged_in": False},
        ADA | {"is_logged_in": "yes"},
        ADA | {"email_verified": False},
        {"is_logged_in": True, "name": "ada@lab.test"},
        {"is_logged_in": True, "email": ["ada@lab.test"]},
    ],
)
def test_what_a_login_does_not_vouch_for_gives_no_role(sgm_home, claims):
    configure(sgm_home, '[access]\noperators = ["ada@lab.test"]')
    assert person_of(claims).role == NOBODY


def test_two_people_of_one_name_are_two_and_a_long_name_is_no_trouble(sgm_home):
    configure(sgm_home, '[access]\nunknown = "viewer"')
    names = {person_of(ADA | {"email": f"{who}@lab.test"}).name for who in ("ada", "eve")}
    assert names == {"Ada Lovelace (ada@lab.test)", "Ada Lovelace (eve@lab.test)"}
    assert len(person_of(ADA | {"name": "A" * 500}).name) == 80
    assert person_of(ADA | {"name": "Ada\n\x00Root"}).name == "Ada Root (ada@lab.test)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[access]\noperators = "ada@lab.test"', "operators must be a list"),
        ('[access]\noperators = ["*"]', "no e-mail address and no domain"),
        ('[access]\nviewers = ["lab.test"]', "no e-mail address and no domain"),
        ('[access]\nunknown = "operator"', 'unknown must be "refused" or "viewer"'),
        ('[access]\noperator = ["ada@lab.test"]', "the fields operators, viewers, unknown and no others"),
        ("access = 3", "the fields operators, viewers, unknown and no others"),
        ('[access]\ntoken = "s3cret', "is no TOML file"),
    ],
)
def test_a_wrong_configuration_is_refused_and_quotes_no_secret(sgm_home, text, message):
    configure(sgm_home, text)
    with pytest.raises(InputError, match=message) as refused:
        read_access()
    assert "s3cret" not in str(refused.value)
    with pytest.raises(InputError):
        person_of(ADA)


def test_the_command_may_name_another_configuration(sgm_home, tmp_path, monkeypatch):
    configure(sgm_home, '[access]\noperators = ["ada@lab.test"]')
    monkeypatch.setenv("SGM_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(InputError, match="there is no configuration"):
        read_access()
    (tmp_path / "other.toml").write_text('[access]\nviewers = ["ada@lab.test"]')
    assert person_of(ADA).role == VIEWER

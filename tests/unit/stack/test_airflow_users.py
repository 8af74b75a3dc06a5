"""Users of the embedded Airflow: roles from the setting, passwords in files that only their owner reads."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManagerRole

from perennial.errors import PerennialError
from stack.airflow import prepare_airflow
from stack.airflow_users import ROLES, airflow_users
from stack.config import StackConfig

SETTING = "PERENNIAL_AIRFLOW_USERS"


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path / "var")


def prepared(config: StackConfig) -> tuple[str, dict[str, str]]:
    """Return Airflow's setting of users, and its passwords."""
    prepare_airflow(config)
    parser = configparser.ConfigParser()
    parser.read(config.var / "airflow" / "airflow.cfg", encoding="utf-8")
    core = parser["core"]
    return core["simple_auth_manager_users"], json.loads(Path(core["simple_auth_manager_passwords_file"]).read_text())


def test_roles_are_those_of_airflow_in_their_order() -> None:
    assert [role.name.lower() for role in sorted(SimpleAuthManagerRole, key=lambda role: role.order)] == list(ROLES)


def test_without_the_setting_there_is_one_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    assert airflow_users() == {"admin": "admin"}


def test_each_user_has_a_role_and_a_password_of_their_own(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "ann:op, bob:viewer")
    users, first = prepared(config)
    assert users == "admin:admin,ann:op,bob:viewer"
    assert first.keys() == {"admin", "ann", "bob"}
    assert len({*first.values()}) == 3
    files = [path for path in config.secrets.rglob("*") if path.is_file()]
    assert {path.name: path.read_text() for path in files if path.parent.name == "airflow_users"} == {
        name: first[name] for name in ("ann", "bob")
    }
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert (config.secrets / "airflow_users").stat().st_mode & 0o777 == 0o700
    assert prepared(config)[1] == first


def test_a_user_who_is_named_again_gets_another_password(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "ann:op,bob:viewer")
    before = prepared(config)[1]
    monkeypatch.setenv(SETTING, "bob:viewer")
    without = prepared(config)[1]
    monkeypatch.setenv(SETTING, "ann:op,bob:viewer")
    after = prepared(config)[1]
    assert without.keys() == {"admin", "bob"}
    assert after["ann"] != before["ann"]
    assert (after["admin"], after["bob"]) == (before["admin"], before["bob"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ann", "'ann': expected a role after the name, viewer, user, op, admin"),
        ("ann:root", "'ann:root': expected a role"),
        ("../x:op", "'../x': a name may hold"),
        ("ann:op:team", "'ann:op:team': expected a role"),
        ("ann:op,ann:viewer", "'ann' has the roles op and viewer"),
        ("admin:viewer", "'admin' has the roles admin and viewer"),
        ("ann:op\nbob:admin", "expected a role"),
    ],
)
def test_what_is_no_user_is_refused(text: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, text)
    with pytest.raises(PerennialError) as refused:
        airflow_users()
    assert problem in str(refused.value)
    assert "Write it as ann:op,bob:viewer." in str(refused.value)

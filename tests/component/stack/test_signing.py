"""The stack's signing key: made once, and everything stored is signed with it before a server needs that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, build_lab, with_lookup
from scripted_runtime import ScriptedRuntime
from signing_keys import use_no_keys
from steps import D1, decide

from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy
from perennial.deploy.release import read_release
from perennial.errors import SignatureRefusedError
from perennial.signing.keys import parse_signing_key
from stack import signing
from stack.config import REPO, StackConfig, Store
from stack.errors import StackError
from stack.plan import choose, plan
from stack.signing import find_untrusted, prepare_signing


@pytest.fixture
def released(s3: Any, pipeline_factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lake with a release that a version without signatures deployed."""
    use_no_keys(monkeypatch)
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 10)
    monkeypatch.setattr("perennial.deploy.serve_check.WARM_UP", 1)
    lab = build_lab(s3.open_lake(pipeline_factory(with_lookup(tmp_path / "pipelines" / "machine_faults"))), tmp_path)
    decide(lab, D1)
    with ScriptedRuntime(lab.lake) as runtime:
        deploy(lab.lake, D1, runtime)
    return lab


@pytest.fixture
def config(released: Lab, s3_server: dict[str, str], tmp_path: Path) -> StackConfig:
    """A stack on the lake's store."""
    keys = Path(s3_server["AWS_SHARED_CREDENTIALS_FILE"])
    store = Store(keys, keys, released.lake.layout.lake, s3_server["AWS_ENDPOINT_URL_S3"], "us-east-1")
    return StackConfig(repo=REPO, var=tmp_path / "var", pipelines=tmp_path / "pipelines", store=store)


def use(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERENNIAL_SIGNING_KEY", "PERENNIAL_TRUSTED_KEYS"):
        monkeypatch.setenv(name, config.shared_environment()[name])


def signer(lab: Lab) -> str | None:
    pointer = read_active(lab.lake)
    assert pointer.release is not None
    read_release(lab.lake, pointer.release)
    return pointer.signed_by


def test_an_upgrade_signs_what_is_stored_and_a_later_start_does_nothing(
    released: Lab, config: StackConfig, monkeypatch: pytest.MonkeyPatch
):
    assert prepare_signing(config) is None
    assert config.signing_key.stat().st_mode & 0o777 == 0o600
    (trusted,) = config.trusted_keys.iterdir()
    monkeypatch.setattr(signing, "_sign_stored", lambda *_, **__: pytest.fail("it signs again"))
    assert prepare_signing(config) is None
    use(config, monkeypatch)
    assert f"{signer(released)}.pem" == trusted.name
    text = trusted.read_text()
    assert find_untrusted(config) == []
    trusted.unlink()
    assert [str(trusted) in finding.found for finding in find_untrusted(config)] == [True]
    assert prepare_signing(config) is None
    assert trusted.read_text() == text


def test_containers_move_the_key_of_an_earlier_version_into_its_own_folder(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    prepare_signing(config)
    key, trusted = config.signing_key.read_text(), {file.name for file in config.trusted_keys.iterdir()}
    monkeypatch.setattr(signing, "_sign_stored", lambda *_, **__: pytest.fail("it is no new key"))
    apart = replace(config, keys=tmp_path / "keys")
    assert prepare_signing(apart) is None
    assert apart.signing_key.read_text() == key
    assert apart.signing_key.parent != config.secrets
    assert not config.signing_key.exists()
    assert {file.name for file in config.trusted_keys.iterdir()} == trusted


def test_a_pipeline_whose_folder_appears_later_is_signed_with_the_others(
    released: Lab, config: StackConfig, monkeypatch: pytest.MonkeyPatch
):
    folder = config.pipelines / "machine_faults"
    away = folder.rename(config.pipelines.parent / "away")
    assert prepare_signing(config) is None
    away.rename(folder)
    use(config, monkeypatch)
    assert signer(released) is not None


def test_an_interrupted_start_is_finished_by_the_next(released: Lab, config: StackConfig, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr(signing, "_sign_stored", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare_signing(config)
    assert prepare_signing(config) is None
    use(config, monkeypatch)
    assert signer(released) is not None


def test_a_new_key_signs_what_the_old_one_has_signed_and_nothing_else(
    released: Lab, config: StackConfig, monkeypatch: pytest.MonkeyPatch, s3: Any
):
    prepare_signing(config)
    old = config.signing_key.read_text()
    forged = released.lake.layout.release("2026-03-01-000000000000")
    s3.put(forged, b"{}")
    config.signing_key.unlink()
    note = prepare_signing(config)
    assert note is not None
    assert "releases/2026-03-01-000000000000.json" in note
    assert config.signing_key.read_text() != old
    assert len(list(config.trusted_keys.iterdir())) == 2
    former = config.trusted_keys / f"{parse_signing_key(old.encode()).id}.pem"
    mine = parse_signing_key(config.signing_key.read_bytes()).id
    hint = f"Signs with {mine}; also trusts {former.stem} (when nothing needs it, rm {former})."
    assert note.endswith(hint)
    assert prepare_signing(config) == hint
    use(config, monkeypatch)
    new = signer(released)
    for file in config.trusted_keys.iterdir():
        if file.stem != new:
            file.unlink()
    assert signer(released) == new
    with pytest.raises(SignatureRefusedError):
        read_release(released.lake, "2026-03-01-000000000000")


def test_the_users_own_keys_are_left_alone(config: StackConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PERENNIAL_TRUSTED_KEYS", str(tmp_path / "mine"))
    assert prepare_signing(config) is None
    assert not config.signing_key.exists()
    assert config.shared_environment()["PERENNIAL_TRUSTED_KEYS"] == str(tmp_path / "mine")


def test_a_store_that_does_not_answer_is_an_error_and_the_next_start_tries_again(config: StackConfig, s3_server: dict[str, str]):
    keys = Path(s3_server["AWS_SHARED_CREDENTIALS_FILE"])
    away = StackConfig(
        repo=REPO,
        var=config.var,
        pipelines=config.pipelines,
        store=Store(keys, keys, "s3://perennial/x", "http://127.0.0.1:9", "us-east-1"),
    )
    with pytest.raises(StackError, match=r"perennial sign.*stack is down"):
        prepare_signing(away)
    assert not (config.secrets / signing.DONE).exists()


def test_servers_and_the_scheduler_start_after_the_signatures(config: StackConfig):
    parts = {part.name: part for part in plan(config)}
    users = [name for name, part in parts.items() if "signing" in part.needs]
    assert users == ["airflow-scheduler", "server-machine_faults"]
    assert "signing" in {part.name for part in choose(plan(config), ["server"])}
    assert parts["server-machine_faults"].service.env["PERENNIAL_SIGNING_KEY"] == ""

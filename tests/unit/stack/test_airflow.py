"""Airflow's configuration file holds all settings and secrets; the environment holds none."""

from __future__ import annotations

import configparser
import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from stack.airflow import airflow_services, connections, prepare_airflow
from stack.config import StackConfig


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path / "50%", offset=7)


def test_settings_are_private_and_survive_interpolation(config: StackConfig) -> None:
    prepare_airflow(config)
    path = config.var / "airflow" / "airflow.cfg"
    assert path.stat().st_mode & 0o777 == 0o600
    parser = configparser.ConfigParser()
    parser.read(path, encoding="utf-8")
    assert parser["api"]["host"] == "127.0.0.1"
    assert parser["api"]["port"] == "8087"
    assert parser["core"]["execution_api_server_url"] == "http://127.0.0.1:8087/execution/"
    assert parser["logging"]["base_log_folder"] == str(config.var / "airflow" / "logs")
    password = (config.secrets / "airflow_admin").read_text()
    assert json.loads(Path(parser["core"]["simple_auth_manager_passwords_file"]).read_text()) == {"admin": password}


def test_airflow_knows_every_setting_and_wraps_its_logs(config: StackConfig) -> None:
    """Airflow ignores a setting that it does not know."""
    prepare_airflow(config)
    parser = configparser.ConfigParser()
    parser.read(config.var / "airflow" / "airflow.cfg", encoding="utf-8")
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    folder = Path(str(spec.origin)).parent / "config_templates"
    known = yaml.safe_load((folder / "config.yml").read_text(encoding="utf-8"))
    settings = [(section, name) for section in parser.sections() for name in parser[section]]
    assert ("api", "default_wrap") in settings
    assert [setting for setting in settings if setting[1] not in known.get(setting[0], {}).get("options", {})] == []


def test_writing_again_keeps_every_secret(config: StackConfig) -> None:
    prepare_airflow(config)
    before = (config.var / "airflow" / "airflow.cfg").read_text(encoding="utf-8")
    prepare_airflow(config)
    assert (config.var / "airflow" / "airflow.cfg").read_text(encoding="utf-8") == before


def test_no_secret_in_arguments_or_environment(config: StackConfig) -> None:
    prepare_airflow(config)
    secrets = [path.read_text(encoding="utf-8") for path in config.secrets.iterdir()]
    shown = [*connections().values(), *config.shared_environment().values()]
    shown += [text for service in airflow_services(config) for text in (*service.argv, *service.env.values())]
    assert not [text for text in shown for secret in secrets if secret in text]

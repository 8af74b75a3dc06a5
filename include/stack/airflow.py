"""Airflow of the embedded stack: its configuration, its database, its four services."""

from __future__ import annotations

import base64
import configparser
import importlib.metadata
import io
import json
import os
import subprocess
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from perennial.settings import get_settings
from stack.airflow_forks import AirflowForks
from stack.airflow_users import airflow_users, passwords
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import open_log, write_file
from stack.postgres import AUTHENTICATION, database_password, refused_password
from stack.probe import http_get
from stack.process import Service, last_lines, recorded
from stack.roles import Role
from stack.secrets import secret
from stack.service_user import PASSWORDS, identity, share

PARALLELISM = 4
"""Task processes at a time. Each idle worker costs memory and start-up time, and the stack is made for two cores."""


def connections() -> dict[str, str]:
    """Return Airflow's connections as variables. They hold no secrets, so the environment may contain them."""
    return {
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",  # boto3's own configuration chain finds address and keys
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": get_settings().spark_master}),
    }


def airflow_services(config: StackConfig) -> tuple[Service, ...]:
    """
    Return the four services. `prepare_airflow` and `migrate_airflow` must run first.

    Scheduler and triggerer do not serve logs: their log servers bind to every interface, and the API server can read the log
    files on this machine itself.
    """
    forks = AirflowForks(config)

    def service(name: str, command: tuple[str, ...], part: str, ports: tuple[int, ...] = ()) -> Service:
        return Service(
            name=name,
            argv=(str(config.python), "-m", "airflow", *command),
            fork=partial(forks.fork, command),
            env=connections(),
            role=Role.JOBS,
            ports=ports,
            is_ready=lambda: _is_healthy(config, name, part),
            ready_seconds=180,
            hopeless=refused_password(config, "airflow"),
        )

    return (
        service("airflow-api", ("api-server",), "metadatabase", ports=(config.port("airflow"),)),
        service("airflow-scheduler", ("scheduler", "--skip-serve-logs"), "scheduler"),
        service("airflow-dag-processor", ("dag-processor",), "dag_processor"),
        service("airflow-triggerer", ("triggerer", "--skip-serve-logs"), "triggerer"),
    )


def prepare_airflow(config: StackConfig) -> None:
    """Write airflow.cfg with all settings and secrets, and the password file of the UI."""
    home = config.var / "airflow"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(_passwords_file(config), json.dumps(passwords(config)))
    parser = configparser.RawConfigParser()
    parser.read_dict(_settings(config))
    text = io.StringIO()
    parser.write(text)
    # Airflow reads the file with interpolation, where a single % is an error.
    write_file(home / "airflow.cfg", text.getvalue().replace("%", "%%"))


def migrate_airflow(config: StackConfig) -> bool:
    """Migrate Airflow's tables to the installed version. Return False if the stamp has it: asking costs seconds."""
    stamp = config.var / "airflow" / "migrated"
    version = importlib.metadata.version("apache-airflow")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == version:
        return False
    config.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = config.logs / "airflow-migrate.log"
    log.unlink(missing_ok=True)
    share(config.var)
    with open_log(log) as output:
        command = [str(config.python), "-m", "airflow", "db", "migrate"]
        environment = config.process_environment(connections())
        done = subprocess.run(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=config.repo,
            check=False,
            **identity(config.var),
        )
    if done.returncode != 0:
        raise StackError(f"Airflow: `airflow db migrate` ended with {done.returncode}. The end of {log}:\n{last_lines(log)}")
    write_file(stamp, version)
    return True


def _is_healthy(config: StackConfig, name: str, part: str) -> bool:
    """Ask the API server, which sees the heartbeats of the other three. Ignore a heartbeat from before this process began."""
    answer = http_get(f"{config.airflow_url}/api/v2/monitor/health")
    if answer is None:
        return False
    health = json.loads(answer)[part]
    heartbeat, record = health.get(f"latest_{part}_heartbeat"), recorded(config, name)
    if heartbeat and record and datetime.fromisoformat(heartbeat).timestamp() < record.created:
        return False
    return bool(health["status"] == "healthy")


def _settings(config: StackConfig) -> Mapping[str, Mapping[str, str]]:
    user = f"airflow:{database_password(config, 'airflow')}"
    database = f"{user}@127.0.0.1:{config.port('postgres')}/airflow?require_auth={AUTHENTICATION}"
    return {
        "core": {
            "dags_folder": str(config.repo / "dags"),
            "plugins_folder": str(config.repo / "plugins"),
            "executor": "stack.executor.PromptLocalExecutor",
            "parallelism": str(PARALLELISM),
            "load_examples": "False",
            "hostname_callable": "socket.gethostname",  # the default does a DNS lookup
            "fernet_key": secret(config.secrets, "airflow_fernet_key", lambda: base64.urlsafe_b64encode(os.urandom(32)).decode()),
            "simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in airflow_users().items()),
            "simple_auth_manager_passwords_file": str(_passwords_file(config)),
            "execution_api_server_url": f"{config.airflow_url}/execution/",
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            # Airflow's default for coroutines, asyncpg, sends the password in clear text if the server asks for it.
            "sql_alchemy_conn_async": f"postgresql+psycopg://{database}",
            # Each connection is a PostgreSQL process. Connections beyond the pool are closed after use.
            "sql_alchemy_pool_size": "2",
            "sql_alchemy_max_overflow": "20",
        },
        "logging": {"base_log_folder": str(config.var / "airflow" / "logs")},
        "api": {
            "host": config.bind,
            "port": str(config.port("airflow")),
            "base_url": config.airflow_url,
            "workers": "1",
            "default_wrap": "True",  # errors are sentences: a log that does not wrap cuts them at the right
            "secret_key": secret(config.secrets, "airflow_api_secret_key"),
        },
        "api_auth": {"jwt_secret": secret(config.secrets, "airflow_jwt_secret")},
        "scheduler": {
            "scheduler_idle_sleep_time": "0",  # the executor itself waits for the end of a task
            # A task whose supervisor was killed is retried after this many seconds. The default of 300 is long for one machine.
            "task_instance_heartbeat_timeout": "120",
            # A new scheduler adopts the tasks of a killed one at its start. This check finds tasks whose rows were locked then.
            "orphaned_tasks_check_interval": "30",
            # The same check declares a scheduler dead whose last heartbeat is older than this, even the scheduler that checks. On
            # a busy machine, with the default of 30 s, it reset its own running tasks. A killed scheduler does not have to wait
            # for this: its successor marks it as failed.
            "scheduler_health_check_threshold": "120",
        },
        "dag_processor": {
            "dag_bundle_storage_path": str(config.var / "airflow" / "bundles"),
            "refresh_interval": "10",
            "parsing_processes": "1",
        },
    }


def _passwords_file(config: StackConfig) -> Path:
    return config.secrets / PASSWORDS

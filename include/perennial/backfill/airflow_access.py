"""Access to the stack's Airflow as its user `admin`. Password and token go to the stack's own API server alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from perennial.backfill.airflow_client import AirflowClient
from perennial.errors import PerennialError, UnreachableError
from perennial.lake.reach import STACK_IS_DOWN
from perennial.runtime.process_record import read_record
from perennial.settings import describe_missing, get_settings, var_folder

SERVICE = "airflow-api"


def open_airflow() -> AirflowClient:
    """Return a client of the Airflow that the settings name, with the password that the stack wrote."""
    settings = get_settings()
    if settings.airflow_url is None or settings.airflow_login is None:
        missing = "airflow_url" if settings.airflow_url is None else "airflow_login"
        raise PerennialError(describe_missing(missing), remedy="Start the stack (`make up`), or set the variable.")
    if not settings.airflow_login.exists():
        raise PerennialError(STACK_IS_DOWN)
    password = settings.airflow_login.read_text(encoding="utf-8").strip()
    var = var_folder().resolve()
    records = var / "run"
    if not settings.airflow_login.resolve().is_relative_to(var) or not records.is_dir():
        return AirflowClient(settings.airflow_url, password)  # another Airflow, or parts in containers, which keep no records
    return AirflowClient(settings.airflow_url, password, check_server=partial(check_server, settings.airflow_url, records))


def check_server(url: str, records: Path) -> None:
    """
    Check that the process that the stack recorded as its API server listens on the port of `url`.

    Any user's program can listen there while the API server is down.

    :raises UnreachableError: if it does not; it may come back
    """
    port = urlsplit(url).port
    if port not in _listening_ports(records / f"{SERVICE}.json"):
        raise UnreachableError(
            f"The stack's API server of Airflow does not listen on port {port}, so nothing was sent to {url}. See `make status`."
        )


def _listening_ports(record: Path) -> set[int]:
    """Return the ports of the recorded process and its children; none if it has ended."""
    try:
        leader = read_record(record).process()
        if leader is None:
            return set()
        processes = (leader, *leader.children(recursive=True))
        connections = [connection for process in processes for connection in process.net_connections("tcp")]
    except (FileNotFoundError, psutil.Error):
        return set()
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}

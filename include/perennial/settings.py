"""The settings: every environment variable that Perennial reads, and the files that supply them: `.env` and `stack.env`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from perennial.errors import RefusedError

ENVIRONMENT_FILE = "stack.env"
SERVICE_MARK = "PERENNIAL_SERVICE"
"""
Variable that the services of the stack and their children inherit.

By it the stack finds children whose parent has ended, and `load_environment` keeps the keys that a service was started with.
"""

SETTINGS_FILE = ".env"
ROOT = Path(__file__).resolve().parents[2]


Limit = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


def _variable(name: str, default: object, purpose: str, *, also: str | None = None) -> Any:
    """
    Declare a field that is set by an environment variable.

    :param purpose: one sentence for the reference page and for errors
    :param also: a second variable, read if the first one is not set
    """
    return Field(default, validation_alias=AliasChoices(name, *([also] if also else [])), description=purpose)


class Settings(BaseSettings):
    """All settings. An empty variable counts as not set. docs/reference/settings.md is generated from this class."""

    model_config = SettingsConfigDict(case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True)

    # Data
    lake: str = _variable("PERENNIAL_LAKE", "s3://perennial", "Address of the lake in the object store.")
    metastore_uri: str = _variable("PERENNIAL_METASTORE_URI", "thrift://127.0.0.1:9083", "Address of the Hive Metastore.")
    s3_endpoint: str | None = _variable("AWS_ENDPOINT_URL_S3", None, "Address of the object store; AWS when it is not set.")
    credentials_file: Path | None = _variable(
        "AWS_SHARED_CREDENTIALS_FILE", None, "File with the AWS credentials of a process, which boto3 reads; errors name it."
    )
    region: str = _variable("AWS_REGION", "us-east-1", "Region of the object store for pods.", also="AWS_DEFAULT_REGION")
    pipelines: Path | None = _variable(
        "PERENNIAL_PIPELINES", None, "Folder with one folder for each pipeline; `include/pipelines` when it is not set."
    )
    trusted_pipelines: str | None = _variable(
        "PERENNIAL_TRUSTED_PIPELINES",
        None,
        "Names of the pipelines whose Python (`sources/*.py`, `candidates/*.py`) may run, separated by commas; none when it "
        "is not set.",
    )
    landing: str | None = _variable(
        "PERENNIAL_LANDING",
        None,
        "Prefixes in which sources and references may lie, separated by commas, such as `s3://landing/{pipeline}/`; anywhere "
        "except in the lake and in folders named like other pipelines when it is not set.",
    )
    var: Path | None = _variable(
        "PERENNIAL_VAR", None, "Folder for all state of the embedded stack; `var` of the checkout when it is not set."
    )

    scratch: Path | None = _variable(
        "PERENNIAL_SCRATCH",
        None,
        "Existing folder on a local disk for the files of trainings, of large lookups and of Spark jobs on this machine; when it "
        "is not set, `spark` of the state folder for Spark, and `scratch` of it for the others, or the folder for temporary "
        "files where that cannot be written to.",
    )
    max_scratch: Annotated[int, Field(ge=0)] | None = _variable(
        "PERENNIAL_MAX_SCRATCH",
        None,
        "Bytes that a training may hold on scratch disk, set for each trainer from `training.resources.scratch`.",
    )

    max_row_ms: Annotated[float, Field(gt=0)] | None = _variable(
        "PERENNIAL_MAX_ROW_MS",
        None,
        "Milliseconds that a model may take for one row, set for each trainer from `deployment.p99_ms`.",
    )

    # Programs and services that commands and tasks call
    spark_submit: str | None = _variable("PERENNIAL_SPARK_SUBMIT", None, "Program that submits Spark jobs.")
    query_minutes: Limit = _variable(
        "PERENNIAL_QUERY_MINUTES", 60, "Minutes after which a query of a pipeline is stopped and its file refused."
    )
    query_rows: Annotated[int, Field(ge=1)] = _variable(
        "PERENNIAL_QUERY_ROWS",
        10_000_000_000,
        "Rows, for each date, that one step of a query may produce before the query is stopped and its file refused.",
    )
    query_gb: Limit = _variable(
        "PERENNIAL_QUERY_GB",
        1000,
        "Gigabytes, for each date, that a query may shuffle and spill before it is stopped and its file refused.",
    )
    query_disk_gb: Limit = _variable(
        "PERENNIAL_QUERY_DISK_GB", 100, "Gigabytes on Spark's local disk at which a query is stopped and its file refused."
    )
    big_date_rows: Annotated[int, Field(ge=0)] = _variable(
        "PERENNIAL_BIG_DATE_ROWS",
        500_000,
        "Rows of a date and table above which many tasks share its work; the results are the same.",
    )
    airflow_url: str | None = _variable("PERENNIAL_AIRFLOW_URL", None, "Address of Airflow's API server, for backfills.")
    airflow_login: Path | None = _variable(
        "PERENNIAL_AIRFLOW_LOGIN", None, "File with the password of Airflow's user `admin`, for backfills."
    )
    endpoint_port: int = _variable(
        "PERENNIAL_ENDPOINT_PORT", 8090, "Port of the first pipeline's model server; further pipelines use the ports after it."
    )
    endpoint_host: str = _variable("PERENNIAL_ENDPOINT_HOST", "127.0.0.1", "Host of the stack's model servers for their clients.")

    # Model servers
    serving_credentials: Path | None = _variable(
        "PERENNIAL_SERVING_CREDENTIALS",
        None,
        "File with the AWS credentials of model servers, which only read the lake; those of everything else when it is not set.",
    )
    server_tokens: Path | None = _variable(
        "PERENNIAL_SERVER_TOKENS",
        None,
        "File with the tokens for predictions, one a line; predictions need no token when it is not set.",
    )
    server_memory_mib: Annotated[int, Field(ge=64)] | None = _variable(
        "PERENNIAL_SERVER_MEMORY_MIB",
        None,
        "Memory of a model server, in MiB; 512, or the limit of its cgroup if that is lower, when it is not set.",
    )
    server_address_connections: Annotated[int, Field(ge=1)] = _variable(
        "PERENNIAL_SERVER_ADDRESS_CONNECTIONS",
        1000,
        "Maximum number of connections to a model server from one address (IPv6: from one /64; 127.0.0.0/8 is one address).",
    )

    # Training and serving
    runtime: str | None = _variable(
        "PERENNIAL_RUNTIME",
        None,
        "Runtime of all pipelines, `process` or `kubernetes`; the `runtime` of each pipeline when it is not set.",
    )
    kubeconfig: str | None = _variable(
        "KUBECONFIG", None, "Kubeconfig file of the cluster; `~/.kube/config`, or the pod's own cluster, when it is not set."
    )
    training_namespace: str = _variable("PERENNIAL_KUBERNETES_NAMESPACE", "perennial-training", "Namespace of training pods.")
    serving_namespace: str = _variable(
        "PERENNIAL_KUBERNETES_SERVING_NAMESPACE", "perennial-serving", "Namespace of model servers."
    )
    kubernetes_s3_endpoint: str | None = _variable(
        "PERENNIAL_KUBERNETES_S3_ENDPOINT",
        None,
        "Address of the object store for pods; the value of `AWS_ENDPOINT_URL_S3` when it is not set.",
    )
    kubernetes_dns: str = _variable(
        "PERENNIAL_KUBERNETES_DNS",
        "kubernetes.io/metadata.name=kube-system,169.254.20.10/32",
        "DNS servers that pods ask for names: networks and labels of namespaces, separated by commas.",
    )
    kubernetes_egress: str | None = _variable(
        "PERENNIAL_KUBERNETES_EGRESS",
        None,
        "Object store to which pods may connect, and beside DNS to nothing else: networks and labels of namespaces, separated by "
        "commas; any place when it is not set.",
    )
    kubernetes_ingress: str | None = _variable(
        "PERENNIAL_KUBERNETES_INGRESS",
        None,
        "Clients that may connect to model servers on Kubernetes: networks and labels of namespaces, separated by commas; "
        "all when it is not set.",
    )
    trainer_image: str | None = _variable("PERENNIAL_TRAINER_IMAGE", None, "Image of training pods.")
    torch_trainer_image: str | None = _variable(
        "PERENNIAL_TORCH_TRAINER_IMAGE", None, "Image of training pods of the family `pytorch`."
    )
    server_image: str | None = _variable("PERENNIAL_SERVER_IMAGE", None, "Image of model servers on Kubernetes.")

    # Signatures
    signing_key: Path | None = _variable(
        "PERENNIAL_SIGNING_KEY",
        None,
        "File with the private key that signs decisions, releases and pointers, where Perennial evaluates and deploys.",
    )
    trusted_keys: Path | None = _variable(
        "PERENNIAL_TRUSTED_KEYS",
        None,
        "Folder of files `*.pem`, or one file, with the public keys whose signatures count; "
        "signatures are not checked when it is not set.",
    )

    # The embedded stack
    port_offset: str | None = _variable(
        "PERENNIAL_PORT_OFFSET",
        None,
        "Number added to all ports of the stack; 0, or the offset of the running stack, when it is not set.",
    )
    bind: str = _variable("PERENNIAL_BIND", "127.0.0.1", "Address at which Airflow and the model servers listen.")
    s3_bind: str = _variable(
        "PERENNIAL_S3_BIND", "127.0.0.1", "IPv4 address of this machine at which the stack's object store listens."
    )
    s3_host: str | None = _variable(
        "PERENNIAL_S3_HOST",
        None,
        "Host of the stack's object store for its clients; the value of `PERENNIAL_S3_BIND` when it is not set.",
    )
    keys: Path | None = _variable(
        "PERENNIAL_KEYS",
        None,
        "Folder for keys that containers need apart from the other secrets: those of jobs and model servers for the stack's "
        "object store, the signing key, the secret of the Spark cluster; `secrets` of the state folder when it is not set.",
    )
    airflow_users: str | None = _variable(
        "PERENNIAL_AIRFLOW_USERS",
        None,
        "Users of the embedded Airflow beside `admin`, with their roles, such as `ann:op,bob:viewer`.",
    )
    spark_master: str = _variable("PERENNIAL_SPARK_MASTER", "local[2]", "Spark master to which the stack's Airflow submits.")
    spark_properties: Path | None = _variable(
        "PERENNIAL_SPARK_PROPERTIES",
        None,
        "File with the properties of jobs on that master, its secret among them; those of a job on this machine, without "
        "authentication, when it is not set.",
    )
    store_credentials: Path | None = _variable(
        "PERENNIAL_STORE_CREDENTIALS", None, "File with the AWS credentials of your own object store, which replaces the stack's."
    )
    store_endpoint: str | None = _variable(
        "PERENNIAL_STORE_ENDPOINT", None, "Address of your own object store; AWS when it is not set."
    )
    store_region: str = _variable("PERENNIAL_STORE_REGION", "us-east-1", "Region of your own object store.")

    @property
    def trusted_names(self) -> frozenset[str]:
        """Return the names of the pipelines whose Python may run."""
        return frozenset(name.strip() for name in (self.trusted_pipelines or "").split(",") if name.strip())

    @property
    def landing_prefixes(self) -> list[str]:
        """Return the prefixes in which sources and references may lie; an empty list if the setting does not limit them."""
        return [prefix.strip() for prefix in (self.landing or "").split(",") if prefix.strip()]


def variables_of(field: str) -> list[str]:
    """Return the environment variables that set a field; the first takes precedence."""
    alias = Settings.model_fields[field].validation_alias
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else []


_VARIABLES = tuple(name for field in Settings.model_fields for name in variables_of(field))


def get_settings() -> Settings:
    """
    Return the settings as the environment is now.

    :raises RefusedError: when a variable holds a value of the wrong type
    """
    return _read_settings(tuple(os.environ.get(name) for name in _VARIABLES))


@lru_cache(maxsize=8)
def _read_settings(_values: tuple[str | None, ...]) -> Settings:
    """Read the environment. Cached by its values: parsing takes 0.7 ms, looking up the values 0.02 ms."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{problem['loc'][0]} is {problem['input']!r}: {problem['msg']}" for problem in error.errors()]
        raise RefusedError(
            "Settings in the environment are not valid", problems, remedy="docs/reference/settings.md lists all settings."
        ) from error


def training_environment() -> dict[str, str]:
    """Return the environment of a training that this process starts: it signs nothing, so it does not learn where the key is."""
    return {**os.environ, "PERENNIAL_SIGNING_KEY": ""}


def server_environment() -> dict[str, str]:
    """Return the environment of a model server that this process starts: that of a training, with the keys of model servers."""
    keys = get_settings().serving_credentials
    return {**training_environment(), **({"AWS_SHARED_CREDENTIALS_FILE": str(keys)} if keys else {})}


def describe_missing(field: str) -> str:
    """Describe a missing setting: its variable, its purpose, and each place that was searched."""
    variable = variables_of(field)[0]
    purpose = str(Settings.model_fields[field].description).rstrip(".")
    return f"{variable} is not set ({purpose}). Looked in the environment; {'; '.join(_searched_files(variable))}"


def _searched_files(variable: str) -> Iterator[str]:
    if get_settings().var is None:
        yield _searched_file(ROOT / SETTINGS_FILE, variable)
    yield _searched_file(var_folder() / ENVIRONMENT_FILE, variable)


def _searched_file(file: Path, variable: str) -> str:
    if not file.is_file():
        return f"{file}, which does not exist"
    if variable in dict(_read_file(file)):
        return f"{file}, which sets it now, after this process started"
    return f"{file}, which does not set it"


def var_folder() -> Path:
    """Return the state folder: PERENNIAL_VAR, or var/ of this checkout."""
    return get_settings().var or ROOT / "var"


def load_settings() -> None:
    """
    Copy the variables of `.env` at the root of this checkout into the environment; variables that are set stay.

    Only for this checkout's own stack. With PERENNIAL_VAR, which points to another stack, the user sets the variables too.
    """
    file = ROOT / SETTINGS_FILE
    if "PERENNIAL_VAR" not in os.environ and file.is_file():
        _export(file)


def _export(file: Path) -> None:
    """Set the variables of a file in the environment, except those that are set."""
    for name, value in _read_file(file):
        os.environ.setdefault(name, value)


def _read_file(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, value = line.strip().partition("=")
        if value and not name.startswith("#"):
            yield name.strip(), os.path.expanduser(value.strip())


def load_environment() -> bool:
    """
    Copy the settings that `stack up` wrote into the environment; variables that are set stay. Return whether the file exists.

    AWS settings are replaced together. Otherwise keys or a profile of another account, set in the shell, would be sent to
    the stack's own S3. They stay only if the shell also sets its own endpoint, or if a service of the stack was given them.
    """
    load_settings()
    file = var_folder() / ENVIRONMENT_FILE
    if not file.is_file():
        return False
    if "AWS_ENDPOINT_URL_S3" not in os.environ and SERVICE_MARK not in os.environ:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
    _export(file)
    settings = get_settings()
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        store = urlsplit(settings.s3_endpoint or "").hostname
        local_store = [store] if store and store in (settings.s3_bind, settings.s3_host) else []
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost", *local_store]))
    return True

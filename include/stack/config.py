"""Configuration of the embedded stack: folders, ports, and the environment that its processes share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from perennial.runtime.process_record import read_record
from perennial.settings import ENVIRONMENT_FILE, Settings, get_settings
from perennial.store.scratch import SCRATCH
from stack.errors import StackError
from stack.files import PUBLIC, write_file
from stack.roles import IN_CONTAINERS, Role
from stack.service_user import adapt

REPO = Path(__file__).resolve().parents[2]

PORTS = {
    "airflow": 8080,
    "endpoint": 8090,
    "filer": 8334,
    "filer-grpc": 8335,
    "master": 8336,
    "master-grpc": 8337,
    "metastore": 9083,
    "postgres": 5480,
    "s3": 8333,
    "s3-grpc": 8338,
    "volume": 8339,
    "volume-grpc": 8340,
}
"""Default port of each service. PERENNIAL_PORT_OFFSET is added to all of them."""

FOREIGN = ("AIRFLOW", "AWS_", "HADOOP_", "HIVE_", "JAVA_", "JDK_", "LC_", "PG", "PYSPARK_", "PYTHON", "SPARK_", "WEED_")
"""Prefixes of shell variables that would misdirect a service, such as the AWS keys of another account. They are dropped."""

NEUTRAL = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""Java changes case by the locale (a Turkish locale breaks Hive), and cannot read non-ASCII paths in the locale C."""

RUNTIME_SETTINGS = (
    "KUBECONFIG",
    "PERENNIAL_ENDPOINT_HOST",
    "PERENNIAL_S3_BIND",
    "PERENNIAL_S3_HOST",
    "PERENNIAL_KUBERNETES_DNS",
    "PERENNIAL_KUBERNETES_EGRESS",
    "PERENNIAL_KUBERNETES_INGRESS",
    "PERENNIAL_KUBERNETES_NAMESPACE",
    "PERENNIAL_KUBERNETES_S3_ENDPOINT",
    "PERENNIAL_KUBERNETES_SERVING_NAMESPACE",
    "PERENNIAL_LANDING",
    "PERENNIAL_RUNTIME",
    "PERENNIAL_SERVER_ADDRESS_CONNECTIONS",
    "PERENNIAL_SERVER_IMAGE",
    "PERENNIAL_SERVER_MEMORY_MIB",
    "PERENNIAL_SERVER_TOKENS",
    "PERENNIAL_TORCH_TRAINER_IMAGE",
    "PERENNIAL_TRAINER_IMAGE",
    "PERENNIAL_TRUSTED_PIPELINES",
)


@dataclass(frozen=True, slots=True)
class Store:
    """The user's own object store, in place of the stack's. `endpoint` None: AWS. `serving`: the keys of model servers."""

    credentials: Path
    serving: Path
    lake: str
    endpoint: str | None
    region: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Store | None:
        """Return the store of PERENNIAL_STORE_CREDENTIALS, _ENDPOINT, _REGION and PERENNIAL_LAKE; None without credentials."""
        credentials = settings.store_credentials
        if credentials is None:
            return None
        lake = settings.lake if "lake" in settings.model_fields_set else ""
        serving = settings.serving_credentials or credentials
        for name, file in {"PERENNIAL_STORE_CREDENTIALS": credentials, "PERENNIAL_SERVING_CREDENTIALS": serving}.items():
            if not file.is_file():
                raise StackError(
                    f"{name} points to {file}, which is not a file. "
                    "Set it to a file in the format of AWS's shared credentials file."
                )
        if not lake.startswith("s3://"):
            raise StackError(
                f"PERENNIAL_LAKE is {lake!r}, expected s3://BUCKET. With your own store, set it to the location of the lake."
            )
        location = (lake.rstrip("/"), settings.store_endpoint, settings.store_region)
        return cls(credentials.resolve(), serving.resolve(), *location)


@dataclass(frozen=True, slots=True)
class StackConfig:
    """One embedded stack. Two stacks can run side by side if both `var` and `offset` differ."""

    repo: Path
    var: Path
    offset: int = 0
    pipelines: Path = field(default=REPO / "include" / "pipelines")
    store: Store | None = None
    keys: Path | None = None
    """A folder with one folder for each kind of key that a container needs, apart from the other secrets."""

    s3_bind: str = "127.0.0.1"
    """The address that the object store listens on. With another one of this machine, pods of a local cluster reach it."""

    s3_host: str = ""
    """The host at which clients reach the object store, if it is not `s3_bind`: a container listens on all of its addresses."""

    bind: str = "127.0.0.1"
    """The address that user-facing services listen on. A container listens on all of its own; docker publishes it on the host."""

    @classmethod
    def from_environment(cls) -> StackConfig:
        """Return the stack that the settings describe. All settings have defaults."""
        settings = get_settings()
        var = (settings.var or REPO / "var").resolve()
        text = settings.port_offset or _offset_of_running(var) or "0"
        # Linux gives ports from 32768 on to outgoing connections, which would sometimes hold one of ours. The limit is lower, as
        # each model server takes the next port.
        max_offset = 32_000 - max(PORTS.values())
        if not (text.isascii() and text.isdigit() and int(text) <= max_offset):
            raise StackError(
                f"PERENNIAL_PORT_OFFSET is {text!r}, expected a whole number from 0 to {max_offset}. Correct it or unset it."
            )
        return cls(
            repo=REPO,
            var=var,
            offset=int(text),
            # Not resolved: git-sync switches the link to another folder while the stack runs.
            pipelines=(settings.pipelines or REPO / "include" / "pipelines").absolute(),
            store=Store.from_settings(settings),
            s3_bind=_check_address(settings.s3_bind, settings.s3_host),
            s3_host=settings.s3_host or "",
            keys=settings.keys,
            bind=settings.bind,
        )

    def check_offset(self) -> None:
        """Refuse an offset other than that of the running stack: the command would wait at ports where no service listens."""
        running = _offset_of_running(self.var)
        if running is not None and running != str(self.offset):
            raise StackError(
                f"The stack that runs in {self.var} has PERENNIAL_PORT_OFFSET={running}, found {self.offset}. "
                "Stop it first (`make down`), or unset the variable."
            )

    def port(self, service: str) -> int:
        """Return the port of a service of `PORTS`, with the offset."""
        return PORTS[service] + self.offset

    @property
    def python(self) -> Path:
        return self.repo / ".venv" / "bin" / "python"

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    def credentials(self, role: Role) -> Path:
        """Return the file with a role's keys of the object store."""
        if self.store:
            return self.store.serving if role is Role.SERVING else self.store.credentials
        folder = self.keys if self.keys and role in IN_CONTAINERS else self.secrets
        return (folder if role is Role.OWNER else folder / role) / "aws_credentials"

    @property
    def has_own_signing(self) -> bool:
        """Return whether the user's settings name keys: then the stack makes none."""
        return (self.signing_key, self.trusted_keys) != (self._own_signing_key, self._own_trusted_keys)

    @property
    def signing_key(self) -> Path:
        """Return the file with the private key that signs: the user's, or the stack's own."""
        return get_settings().signing_key or self._own_signing_key

    @property
    def trusted_keys(self) -> Path:
        """Return the folder with the trusted public keys: the user's, or the stack's own."""
        return get_settings().trusted_keys or self._own_trusted_keys

    @property
    def _own_signing_key(self) -> Path:
        return (self.keys / "signing" if self.keys else self.secrets) / "signing_key"

    @property
    def _own_trusted_keys(self) -> Path:
        """Return the stack's own folder of public keys, which model servers read."""
        return (self.keys / Role.SERVING if self.keys else self.secrets) / "trusted_keys"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def environment_file(self) -> Path:
        return self.var / ENVIRONMENT_FILE

    @property
    def spark_submit(self) -> Path:
        return self.repo / ".spark" / "bin" / "perennial-spark-submit"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.port('airflow')}"

    @property
    def s3_endpoint(self) -> str | None:
        """Return the address of the object store; None: AWS."""
        return self.store.endpoint if self.store else self.s3_url

    @property
    def s3_url(self) -> str:
        return f"http://{self.s3_host or self.s3_bind}:{self.port('s3')}"

    def pipeline_names(self) -> list[str]:
        """Return the names of the pipeline folders, in alphabetical order."""
        from perennial.config.load import pipeline_names

        return pipeline_names(self.pipelines)

    def shared_environment(self) -> dict[str, str]:
        """Return the environment of the owner's commands. Services share it, but with other keys. It holds no secret."""
        region = self.store.region if self.store else "us-east-1"
        return {
            "AIRFLOW_HOME": str(self.var / "airflow"),
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **({"AWS_ENDPOINT_URL_S3": self.s3_endpoint} if self.s3_endpoint else {}),
            "AWS_REGION": region,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials(Role.OWNER)),
            "PERENNIAL_AIRFLOW_LOGIN": str(self.secrets / "airflow_admin"),
            "PERENNIAL_AIRFLOW_URL": self.airflow_url,
            "PERENNIAL_ENDPOINT_PORT": str(self.port("endpoint")),
            "PERENNIAL_LAKE": self.store.lake if self.store else "s3://perennial",
            "PERENNIAL_METASTORE_URI": f"thrift://127.0.0.1:{self.port('metastore')}",
            "PERENNIAL_PIPELINES": str(self.pipelines),
            "PERENNIAL_PORT_OFFSET": str(self.offset),
            "PERENNIAL_SERVING_CREDENTIALS": str(self.credentials(Role.SERVING)),
            "PERENNIAL_SIGNING_KEY": str(self.signing_key),
            "PERENNIAL_SPARK_SUBMIT": str(self.spark_submit),
            "PERENNIAL_TRUSTED_KEYS": str(self.trusted_keys),
            "PERENNIAL_VAR": str(self.var),
            # The runtime of releases: without it, a shell would deploy them on this machine.
            **{name: os.environ[name] for name in RUNTIME_SETTINGS if os.environ.get(name)},
        }

    def process_environment(self, extra: Mapping[str, str] | None = None, role: Role | None = None) -> dict[str, str]:
        """
        Return the environment of a process of the stack: the user's without `FOREIGN`, the shared one, and `extra`.

        :param role: the role whose keys of the object store the process gets; None: it gets none
        """
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        # The traffic within the stack must not go through a proxy of the user's shell.
        for key in ("NO_PROXY", "no_proxy"):
            hosts = dict.fromkeys([*inherited.get(key, "").split(","), "127.0.0.1", "localhost", self.s3_host or self.s3_bind])
            inherited[key] = ",".join(host for host in hosts if host)
        shared = self.shared_environment()
        shared["AWS_SHARED_CREDENTIALS_FILE"] = str(self.credentials(role)) if role else os.devnull
        return adapt(self.var, {**inherited, **NEUTRAL, **shared, **(extra or {})})

    def write_environment(self) -> None:
        """Write `stack.env` for `perennial.settings.load_environment`, and make the folder of large temporary files."""
        self.var.mkdir(parents=True, exist_ok=True)
        (self.var / SCRATCH).mkdir(mode=0o700, exist_ok=True)
        lines = [f"{key}={value}\n" for key, value in sorted(self.shared_environment().items())]
        write_file(self.environment_file, "".join(lines), mode=PUBLIC)


def _offset_of_running(var: Path) -> str | None:
    """Return the port offset of the stack that runs in `var`, which a new shell does not know; None if none runs."""
    file = var / ENVIRONMENT_FILE
    records = map(read_record, (var / "run").glob("*.json"))
    if not file.is_file() or all(record.process() is None for record in records):
        return None
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith("PERENNIAL_PORT_OFFSET=")), None)


def _check_address(text: str, host: str | None) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if not isinstance(address, IPv4Address) or (address.is_unspecified and not host):
        raise StackError(
            f"PERENNIAL_S3_BIND is {text!r}, expected one IPv4 address of this machine, such as 172.18.0.1: "
            "the store listens on it, and all clients use it. "
            "For 0.0.0.0, set PERENNIAL_S3_HOST to the host that clients use."
        )
    return text

"""S3 of the embedded stack: SeaweedFS with keys for each role, on 127.0.0.1. Its inner ports serve its own parts alone."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

from stack.certificate import ensure_certificate
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import PRIVATE, write_file
from stack.probe import http_get
from stack.process import Service, is_running, stop
from stack.roles import BUCKETS, RIGHTS, Role
from stack.secrets import secret
from stack.service_user import secret_mode, share

INNER_PORTS = ("filer", "filer-grpc", "master", "master-grpc", "s3-grpc", "volume", "volume-grpc")

SOCKETS = Path("/tmp")  # noqa: S108  fixed by SeaweedFS
"""Folder of the sockets between SeaweedFS' parts. No setting moves it; only their names distinguish stacks."""

CERTIFICATE = "s3_grpc.pem"
PROBE = ".readable"
DATA_SECONDS = 300.0

SECURITY = """
[jwt.signing]
key = "{signing}"
[jwt.signing.read]
key = "{signing_read}"
[jwt.filer_signing]
key = "{filer}"
[jwt.filer_signing.read]
key = "{filer_read}"
[grpc]
ca = "{certificate}"
[https.master]
ca = "{certificate}"
cert = "{certificate}"
key = "{certificate}"
"""
"""
With the four keys, filer and volume servers refuse HTTP requests that the S3 gateway or the master did not sign.

With the certificate, the master's HTTP port and every gRPC port refuse a client that lacks it.
"""

MASTER = """
[master.volume_growth]
copy_1 = 2
"""
"""
A bucket begins with two volumes. SeaweedFS reserves the full size of each, and with its default of seven, the lake's bucket takes
all that a disk with 15 GB of free space has: nothing could be landed.
"""

GRPC_PART = """\
[grpc.{name}]
cert = "{certificate}"
key = "{certificate}"
"""
GRPC_PARTS = ("master", "volume", "filer", "s3", "client", "admin", "worker", "mq", "msg_agent", "msg_broker")
"""All parts that SeaweedFS knows, because a part without a certificate accepts every client."""


def s3_service(config: StackConfig) -> Service:
    """Return the object store as a service. Run `prepare_s3` before its start and `create_buckets` after it."""
    port = config.port
    return Service(
        name="s3",
        argv=(
            str(config.repo / ".venv" / "bin" / "weed"),
            "-logtostderr",  # only there: otherwise it keeps a second log in /tmp
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-disableHttp",  # of master and filer: the S3 gateway reaches them through gRPC
            # Paths are relative to its folder: a socket path has at most 107 bytes, and a comma would end the path of a folder.
            "-dir=data",
            f"-master.port={port('master')}",
            f"-master.port.grpc={port('master-grpc')}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",  # the only master elects itself; with the default, every restart waits 10 s
            "-master.volumeSizeLimitMB=256",
            f"-volume.port={port('volume')}",
            f"-volume.port.grpc={port('volume-grpc')}",
            "-volume.max=0",  # as many as fit on the disk
            "-filer",
            f"-filer.port={port('filer')}",
            f"-filer.port.grpc={port('filer-grpc')}",
            "-filer.localSocket=filer.sock",
            "-s3",
            f"-s3.ip.bind={config.s3_bind}",
            f"-s3.port={port('s3')}",
            f"-s3.port.grpc={port('s3-grpc')}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.localSocket=s3.sock",
            f"-s3.config={_relative(config, config.secrets / 's3.json')}",
        ),
        cwd=_folder(config),  # it reads security.toml and master.toml from here
        is_ready=lambda: http_get(f"{config.s3_url}/healthz") is not None,
        ports=(port("s3"), *map(port, INNER_PORTS)),
        leaves=tuple(
            SOCKETS / f"seaweedfs-{name}-grpc-{port(f'{name}-grpc')}.sock" for name in ("filer", "master", "s3", "volume")
        ),
        hopeless={
            r"dial unix .*permission denied": "Remove that file, or choose other ports with another PERENNIAL_PORT_OFFSET."
        },
        # A graceful stop takes 26 s, mostly because its parts wait for each other. Acknowledged writes survive a kill.
        stop_signal=signal.SIGKILL,
    )


def prepare_s3(config: StackConfig) -> None:
    """
    Create the keys and the certificate that are missing, and the files from which the server and its clients read them.

    A server that runs with other files is stopped, so that the start uses the new ones.
    """
    share(config.var)  # of earlier versions: a file that a service could write is not compared, but replaced
    (_folder(config) / "data").mkdir(parents=True, exist_ok=True)
    identities = []
    for role in Role:
        access, key = _keys(config, role)
        credentials = [{"accessKey": access, "secretKey": key}]
        identities.append({"name": role, "credentials": credentials, "actions": list(RIGHTS[role])})
        lines = ("[default]", f"aws_access_key_id = {access}", f"aws_secret_access_key = {key}", "")
        mode = secret_mode(config.var) if role in (Role.JOBS, Role.SERVING) else PRIVATE
        write_file(config.credentials(role), "\n".join(lines), mode)
    is_new = (
        ensure_certificate(config.secrets / CERTIFICATE),
        write_file(config.secrets / "s3.json", json.dumps({"identities": identities}), secret_mode(config.var)),
        write_file(_folder(config) / "security.toml", _security(config)),
        write_file(_folder(config) / "master.toml", MASTER),
    )
    if any(is_new) and is_running(config, "s3"):
        stop(config, s3_service(config))


def create_buckets(config: StackConfig) -> None:
    """Create missing buckets, and wait until stored objects can be read."""
    import boto3

    session = boto3.session.Session(*_keys(config, Role.OWNER), region_name="us-east-1")
    client = session.client("s3", endpoint_url=config.s3_url)
    present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in BUCKETS:
        if name not in present:
            client.create_bucket(Bucket=name)
    _await_data(client)


def _await_data(client: Any) -> None:
    """
    Wait until the stack's own probe object, written at the first start, can be read.

    The gateway is healthy before the volumes have reported to the master. Until then every read fails with an internal error.
    """
    from botocore.exceptions import ClientError

    deadline = time.monotonic() + DATA_SECONDS
    while True:
        try:
            client.get_object(Bucket=BUCKETS[-1], Key=PROBE)["Body"].read()
            return
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                client.put_object(Bucket=BUCKETS[-1], Key=PROBE, Body=b"readable\n")
            elif time.monotonic() > deadline:
                raise StackError(
                    f"The object store cannot read its stored objects after {DATA_SECONDS:.0f} s: {error}"
                ) from error
            time.sleep(0.5)


def _keys(config: StackConfig, role: Role) -> tuple[str, str]:
    """Return the access key and the secret key of a role."""
    suffix = "" if role is Role.OWNER else f"_{role}"
    access = secret(config.secrets, f"s3_access_key{suffix}", lambda: secrets.token_hex(10).upper())
    return access, secret(config.secrets, f"s3_secret_key{suffix}")


def _security(config: StackConfig) -> str:
    keys = {name: secret(config.secrets, f"s3_jwt_{name}") for name in ("signing", "signing_read", "filer", "filer_read")}
    certificate = _relative(config, config.secrets / CERTIFICATE)
    parts = (GRPC_PART.format(name=name, certificate=certificate) for name in GRPC_PARTS)
    return SECURITY.format(**keys, certificate=certificate) + "".join(parts)


def _relative(config: StackConfig, path: Path) -> str:
    """Return a path as the server needs it: relative to its folder."""
    return os.path.relpath(path, _folder(config))


def _folder(config: StackConfig) -> Path:
    return config.var / "s3"

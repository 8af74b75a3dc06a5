"""S3 of the embedded stack: SeaweedFS with keys, on 127.0.0.1. Its inner ports refuse unsigned requests."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

from stack.config import BUCKETS, StackConfig
from stack.errors import StackError
from stack.probe import http_get
from stack.process import Service
from stack.secrets import secret, write_private

INNER_PORTS = ("filer", "filer-grpc", "master", "master-grpc", "s3-grpc", "volume", "volume-grpc")

SOCKETS = Path("/tmp")  # noqa: S108  fixed by SeaweedFS
"""Folder of the sockets between SeaweedFS' parts. No setting moves it; only their names distinguish stacks."""

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
"""
"""With these four keys, filer and volume servers refuse HTTP requests that the S3 gateway or the master did not sign."""


def s3_service(config: StackConfig) -> Service:
    """Return the object store as a service. Run `prepare_s3` before its start and `create_buckets` after it."""
    port = config.port
    return Service(
        name="s3",
        argv=(
            str(config.repo / ".venv" / "bin" / "weed"),
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
            "-master.volumeSizeLimitMB=1024",
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
            f"-s3.config={os.path.relpath(config.secrets / 's3.json', _folder(config))}",
        ),
        cwd=_folder(config),  # it reads security.toml from here
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
    """Create the keys, and the files from which the server and its clients read them."""
    (_folder(config) / "data").mkdir(parents=True, exist_ok=True)
    access = secret(config.secrets, "s3_access_key", lambda: secrets.token_hex(10).upper())
    key = secret(config.secrets, "s3_secret_key")
    credentials = [{"accessKey": access, "secretKey": key}]
    identities = [{"name": "perennial", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    write_private(config.secrets / "s3.json", json.dumps({"identities": identities}))
    lines = ("[default]", f"aws_access_key_id = {access}", f"aws_secret_access_key = {key}", "")
    write_private(config.credentials, "\n".join(lines))
    names = ("signing", "signing_read", "filer", "filer_read")
    keys = {name: secret(config.secrets, f"s3_jwt_{name}") for name in names}
    write_private(_folder(config) / "security.toml", SECURITY.format(**keys))


def create_buckets(config: StackConfig) -> None:
    """Create missing buckets, and wait until stored objects can be read."""
    import boto3

    key_id = secret(config.secrets, "s3_access_key")
    session = boto3.session.Session(key_id, secret(config.secrets, "s3_secret_key"), region_name="us-east-1")
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


def _folder(config: StackConfig) -> Path:
    return config.var / "s3"

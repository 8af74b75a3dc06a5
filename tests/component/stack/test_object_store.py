"""The object store gives each role its own rights, and its inner ports accept only its own parts."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from perennial.lake.layout import Layout
from perennial.store.denied import DeniedError
from perennial.store.objects import Objects
from stack.certificate import ensure_certificate
from stack.config import REPO, StackConfig
from stack.roles import Role
from stack.seaweedfs import BUCKETS, CERTIFICATE, s3_service

WEED = str(REPO / ".venv/bin/weed")
LOCKED = ("master-grpc", "volume-grpc", "filer-grpc", "s3-grpc", "master")
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The first bytes of an HTTP/2 client: its preface and empty settings."""

SETTINGS_FRAME = 4
LAYOUT = Layout("s3://perennial", "main", "roles")


def answers(port: int, certificate: Path | None = None, *, tls: bool = True) -> bool:
    """Return whether a port answers an HTTP/2 client with this certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(certificate)
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        with context.wrap_socket(plain) if tls else plain as connection:
            connection.sendall(HTTP2)
            header = connection.recv(9)
    except (ssl.SSLError, ConnectionError):
        return False
    return len(header) > 3 and header[3] == SETTINGS_FRAME


@pytest.fixture(scope="module")
def foreign_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "other.pem"
    ensure_certificate(path)
    return path


@pytest.mark.parametrize("name", LOCKED)
def test_an_inner_port_answers_only_to_the_stores_own_certificate(
    s3_config: StackConfig, foreign_certificate: Path, name: str
) -> None:
    port = s3_config.port(name)
    assert answers(port, s3_config.secrets / CERTIFICATE)
    assert not answers(port, tls=False)
    assert not answers(port)
    assert not answers(port, foreign_certificate)


def test_the_master_tells_nothing_by_plain_http(s3_config: StackConfig) -> None:
    answer = httpx.get(f"http://127.0.0.1:{s3_config.port('master')}/cluster/status")
    assert (answer.status_code, "Leader" in answer.text) == (400, False)


def weed(folder: Path, *arguments: str, stdin: str = "") -> str:
    """Run a tool of SeaweedFS, which reads `security.toml` in its folder, for at most five seconds; return its output."""
    command = ["timeout", "--kill-after=1", "5", WEED, *arguments]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_two_buckets_fit_on_a_small_disk(s3_config: StackConfig) -> None:
    """The store reserves the size of each volume. With seven of 1 GiB for a bucket, 15 GB were not enough for the second."""
    for bucket in BUCKETS:
        owner(s3_config).put_object(Bucket=bucket, Key="volumes/one", Body=b"one")
    volumes = httpx.get(f"http://127.0.0.1:{s3_config.port('volume')}/status").json()["Volumes"]
    found = Counter(volume["Collection"] for volume in volumes)
    assert found.keys() >= set(BUCKETS)
    assert max(found.values()) == 2
    assert "-master.volumeSizeLimitMB=256" in s3_service(s3_config).argv


def test_tools_of_seaweedfs_need_the_certificate(s3_config: StackConfig, tmp_path: Path) -> None:
    owner(s3_config).put_object(Bucket="landing", Key="tools/seen", Body=b"seen")
    shell = (
        "shell",
        f"-master=127.0.0.1:{s3_config.port('master')}.{s3_config.port('master-grpc')}",
        f"-filer=127.0.0.1:{s3_config.port('filer')}.{s3_config.port('filer-grpc')}",
    )
    listing = "fs.ls /buckets/landing/tools\nexit\n"
    assert "seen" in weed(s3_config.var / "s3", *shell, stdin=listing)
    assert "seen" not in weed(tmp_path, *shell, stdin=listing)

    (tmp_path / "evil").write_text("evil")
    filer = f"http://127.0.0.1:{s3_config.port('filer')}.{s3_config.port('filer-grpc')}"
    weed(tmp_path, "filer.copy", "evil", f"{filer}/buckets/landing/tools/")
    assert keys_in(s3_config, "landing", "tools/") == ["tools/seen"]
    weed(s3_config.var / "s3", "filer.copy", str(tmp_path / "evil"), f"{filer}/buckets/landing/tools/")
    assert keys_in(s3_config, "landing", "tools/") == ["tools/evil", "tools/seen"]

    master = f"-master=127.0.0.1:{s3_config.port('master')}.{s3_config.port('master-grpc')}"
    volume = next((s3_config.var / "s3/data").glob("landing_*.dat")).stem.removeprefix("landing_")
    backup = ("backup", master, "-collection=landing", f"-volumeId={volume}", f"-dir={tmp_path}")
    weed(tmp_path, *backup)
    assert [path.name for path in tmp_path.iterdir()] == ["evil"]
    weed(s3_config.var / "s3", *backup)
    assert f"landing_{volume}.dat" in [path.name for path in tmp_path.iterdir()]


def test_each_role_has_the_rights_of_its_work(s3_config: StackConfig) -> None:
    served = [LAYOUT.active, LAYOUT.release("one"), LAYOUT.blob("0" * 64), LAYOUT.signature("k", "s")]
    others = [f"{LAYOUT.root}/raw/one", f"{LAYOUT.root}/decisions/chain.json", f"{LAYOUT.root}/models/one.json"]
    lake = [uri.removeprefix("s3://perennial/") for uri in (*served, *others)]
    for key in lake:
        owner(s3_config).put_object(Bucket="perennial", Key=key, Body=b"{}")
    owner(s3_config).put_object(Bucket="landing", Key="roles/drop", Body=b"{}")

    def rights(role: Role) -> dict[str, list[str]]:
        s3, buckets = client(s3_config, role), ("landing", "perennial")
        return {
            "get": [key for key in lake if allowed(s3.get_object, Bucket="perennial", Key=key)],
            "put": [bucket for bucket in buckets if allowed(s3.put_object, Bucket=bucket, Key="roles/new", Body=b"new")],
            "delete": [bucket for bucket in buckets if allowed(s3.delete_object, Bucket=bucket, Key="roles/new")],
            "list": [bucket for bucket in buckets if allowed(s3.list_objects_v2, Bucket=bucket)],
            "land": ["read"] if allowed(s3.get_object, Bucket="landing", Key="roles/drop") else [],
            "copy": ["lake"] if allowed(s3.copy_object, **copied, Bucket="landing", Key="roles/copy") else [],
            "settings": [bucket for bucket in buckets if may_change_settings(s3, bucket)],
            "admin": ["create"] if allowed(s3.create_bucket, Bucket=f"roles-{role}") else [],
        }

    copied = {"CopySource": {"Bucket": "perennial", "Key": lake[-1]}}
    both = ["landing", "perennial"]
    everything = {"get": lake, "put": both, "delete": both, "list": both, "land": ["read"], "copy": ["lake"], "settings": both}
    assert rights(Role.OWNER) == {**everything, "admin": ["create"]}
    written = {"put": ["perennial"], "delete": ["perennial"]}
    assert rights(Role.JOBS) == {**everything, **written, "copy": [], "settings": [], "admin": []}
    none: dict[str, list[str]] = {name: [] for name in (*everything, "admin")}
    assert rights(Role.SERVING) == {**none, "get": lake[: len(served)]}
    landed = {"put": ["landing"], "delete": ["landing"], "list": ["landing"], "land": ["read"]}
    assert rights(Role.LANDING) == {**none, **landed}


def test_an_object_that_is_not_there_is_missing_for_model_servers_too(s3_config: StackConfig) -> None:
    """A server without a release must tell this from a refusal."""
    with pytest.raises(ClientError, match="NoSuchKey"):
        client(s3_config, Role.SERVING).get_object(Bucket="perennial", Key="main/nothing/endpoint/active.json")


def objects_of(config: StackConfig, role: Role, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in config.process_environment(role=role).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Objects()


def test_a_drop_that_is_landed_with_the_keys_of_jobs_is_told_which_keys_may(
    s3_config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = objects_of(s3_config, Role.JOBS, monkeypatch)
    with pytest.raises(DeniedError) as denied:
        objects.create("s3://landing/roles/drop.csv", b"a")
    text = str(denied.value)
    assert "PutObject" in text
    assert "/landing/roles/drop.csv (AccessDenied)" in text
    assert str(s3_config.credentials(Role.JOBS)) in text
    assert "the role landing" in text
    assert denied.value.retryable


def test_keys_that_may_not_read_signatures_are_told_so(s3_config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = objects_of(s3_config, Role.LANDING, monkeypatch)
    for call in (objects.read, objects.head):
        with pytest.raises(DeniedError, match=r"signatures/\*` in the lake too, since.*docs/reference/roles\.md"):
            call(LAYOUT.signature("k", "s"))
    with pytest.raises(DeniedError, match=r"ListObjectsV2 .*may read it"):
        objects.listing(f"{LAYOUT.root}/raw/")


@pytest.mark.parametrize("role", Role)
def test_keys_of_a_role_are_private(s3_config: StackConfig, role: Role) -> None:
    assert s3_config.credentials(role).stat().st_mode & 0o777 == 0o600
    assert s3_config.secrets.stat().st_mode & 0o777 == 0o700


def client(config: StackConfig, role: Role) -> Any:
    lines = dict(line.split(" = ") for line in config.credentials(role).read_text().splitlines() if " = " in line)
    session = boto3.session.Session(lines["aws_access_key_id"], lines["aws_secret_access_key"], region_name="us-east-1")
    return session.client("s3", endpoint_url=config.s3_url, config=Config(retries={"max_attempts": 3}))


def owner(config: StackConfig) -> Any:
    return client(config, Role.OWNER)


def keys_in(config: StackConfig, bucket: str, prefix: str) -> list[str]:
    return [item["Key"] for item in owner(config).list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]


def may_change_settings(s3: Any, bucket: str) -> bool:
    """Return whether a client may change how a bucket keeps its objects, and who may read them from a web page."""
    return any(allowed(call, Bucket=bucket) for call in (s3.delete_bucket_lifecycle, s3.delete_bucket_cors))


def test_upstream_cannot_let_drops_expire_or_keep_their_versions(s3_config: StackConfig) -> None:
    s3 = client(s3_config, Role.LANDING)
    rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": "others/"}, "Expiration": {"Days": 1}}
    rules = {"Rules": [rule]}
    assert not allowed(s3.put_bucket_lifecycle_configuration, Bucket="landing", LifecycleConfiguration=rules)
    assert not allowed(s3.put_bucket_versioning, Bucket="landing", VersioningConfiguration={"Status": "Suspended"})


def test_upstream_may_land_in_parts_and_delete_many(s3_config: StackConfig) -> None:
    s3, place = client(s3_config, Role.LANDING), {"Bucket": "landing", "Key": "parts/drop"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"drop")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=parts)
    assert "Errors" not in s3.delete_objects(Bucket="landing", Delete={"Objects": [{"Key": "parts/drop"}]})


def allowed(call: Callable[..., object], **arguments: Any) -> bool:
    """Return whether a call is not refused for lack of rights."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] != httpx.codes.FORBIDDEN
    return True


def test_its_log_is_in_the_folder_of_the_stack_alone(s3_config: StackConfig) -> None:
    """SeaweedFS' default is a second log in the folder of temporary files, and links there for root to follow."""
    numbers = [process.pid for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(s3_config.var / "s3")]
    assert numbers
    assert [file for number in numbers for file in Path(tempfile.gettempdir()).glob(f"weed.*.{number}")] == []
    assert (s3_config.var / "s3.log").stat().st_size > 0

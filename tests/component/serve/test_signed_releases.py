"""Signed releases: each way to change one is refused before anything of it is parsed, and the server keeps the old one."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_process import ServerProcess
from serve_release_builder import RECORD, build_release, inputs_of, point_at, small_graph
from serve_small_s3 import SmallS3
from signing_keys import KeyFolder

from perennial.errors import RefusedError
from perennial.lake.layout import Layout
from perennial.serve import release as server_release
from perennial.serve.limits import Limits
from perennial.serve.pointer import PointerReader
from perennial.serve.release import load_release
from perennial.signing.keys import SigningKey
from perennial.signing.sealed import seal
from perennial.signing.subject import Kind, Subject
from perennial.store.content_name import canonical_json, sha256
from perennial.store.objects import Objects, Stored

INPUTS = inputs_of("small")
NAME, OLDER = "2013-02-12-0123456789ab", "2013-02-11-0123456789ab"
LAYOUT = Layout("s3://perennial", "main", "signed")
OTHER_PIPELINE, OTHER_SPACE = Layout("s3://perennial", "main", "other"), Layout("s3://perennial", "lab", "signed")

_BUILT: dict[str, bytes] = {}
"""The objects of the two releases without signatures: to build them takes most of a test's time."""


class Lake:
    """A store with two signed releases, and the keys that may have signed them."""

    def __init__(self, store: SmallS3, keys: KeyFolder) -> None:
        self.store = store
        self.key, self.stranger = keys.make("good"), keys.make("stranger", trust=False)
        store.objects.clear()
        if not _BUILT:
            for name in (OLDER, NAME):
                build_release(store, LAYOUT.pipeline, INPUTS, name=name)
            _BUILT.update(store.objects)
        store.objects.update(_BUILT)
        for name in (OLDER, NAME):
            self.sign(name=name)

    def build(self, name: str, pipeline: str = LAYOUT.pipeline, bias: float = 0.0) -> str:
        build_release(self.store, pipeline, INPUTS, name=name, bias=bias)
        self.sign(Layout("s3://perennial", "main", pipeline), name)
        return name

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def body(self) -> bytes:
        return self.store.objects[LAYOUT.release(NAME)]

    @body.setter
    def body(self, body: bytes) -> None:
        self.store.objects[LAYOUT.release(NAME)] = body

    def change(self, **members: Any) -> None:
        """Change members of the manifest."""
        self.body = canonical_json({**self.manifest, **members})

    def swap(self, *names: str) -> None:
        """Put other bytes in the place of files, with digests to match."""
        files = self.manifest["files"]
        for name in names:
            body = {"model.onnx": small_graph(INPUTS, 3.0)}.get(name, b'{"other":1}')
            self.store.objects[LAYOUT.blob(sha256(body))] = body
            files[name] = {"sha256": sha256(body), "size": len(body)}
        self.change(files=files)

    def address(self, layout: Layout = LAYOUT, name: str = NAME, key: SigningKey | None = None) -> str:
        return layout.signature((key or self.key).id, f"releases/{name}.json")

    def sign(self, layout: Layout = LAYOUT, name: str = NAME) -> None:
        self.store.objects[self.address(layout, name)] = self.signature(layout, name=name)

    def signature(
        self, layout: Layout = LAYOUT, kind: Kind = Kind.RELEASE, name: str = NAME, key: SigningKey | None = None
    ) -> bytes:
        body = self.store.objects.get(layout.release(name)) or self.body
        return (key or self.key).sign(Subject(kind, layout.space, layout.pipeline, f"releases/{name}.json").message(body))

    def set_signature(self, signature: bytes) -> None:
        self.store.objects[self.address()] = signature

    def copy(self, layout: Layout, name: str) -> None:
        """Put another release, with its signature, in the place of this one."""
        self.body = self.store.objects[layout.release(name)]
        self.set_signature(self.store.objects[self.address(layout, name)])


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    keys = KeyFolder(tmp_path / "keys")
    keys.use(monkeypatch, None)
    return keys


@pytest.fixture
def objects(own_store: SmallS3, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in own_store.environment.items():
        monkeypatch.setenv(name, value)
    return Objects()


@pytest.fixture(scope="module")
def own_store() -> Iterator[SmallS3]:
    with SmallS3() as store:
        yield store


@pytest.fixture
def lake(own_store: SmallS3, keys: KeyFolder) -> Lake:
    return Lake(own_store, keys)


def flip(body: bytes, at: int = 0) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def of_other_pipeline(lake: Lake) -> None:
    lake.build(NAME, OTHER_PIPELINE.pipeline)
    lake.copy(OTHER_PIPELINE, NAME)


TAMPERED: dict[str, Callable[[Lake], Any]] = {
    "no signature": lambda lake: lake.store.objects.pop(lake.address()),
    "empty signature": lambda lake: lake.set_signature(b""),
    "truncated signature": lambda lake: lake.set_signature(lake.signature()[:63]),
    "longer signature": lambda lake: lake.set_signature(lake.signature() + b"\0"),
    "very large signature": lambda lake: lake.set_signature(bytes(10 * 2**20)),
    "signature with a flipped bit": lambda lake: lake.set_signature(flip(lake.signature(), 40)),
    "signature of zeros": lambda lake: lake.set_signature(bytes(64)),
    "signature as text": lambda lake: lake.set_signature(base64.b64encode(lake.signature())[:64]),
    "signature by another key": lambda lake: lake.set_signature(lake.signature(key=lake.stranger)),
    "signature by another key at its own address": lambda lake: (
        lake.store.objects.pop(lake.address()),
        lake.store.objects.update({lake.address(key=lake.stranger): lake.signature(key=lake.stranger)}),
    ),
    "signature of another release": lambda lake: lake.set_signature(lake.signature(name=OLDER)),
    "signature as a decision": lambda lake: lake.set_signature(lake.signature(kind=Kind.DECISION)),
    "signature as a model": lambda lake: lake.set_signature(lake.signature(kind=Kind.MODEL)),
    "signature as a pointer": lambda lake: lake.set_signature(lake.signature(kind=Kind.POINTER)),
    "signature for another pipeline": lambda lake: lake.set_signature(lake.signature(OTHER_PIPELINE)),
    "signature for another space": lambda lake: lake.set_signature(lake.signature(OTHER_SPACE)),
    "signature of the bytes alone": lambda lake: lake.set_signature(lake.key.sign(lake.body)),
    "signature of the digest": lambda lake: lake.set_signature(lake.key.sign(hashlib.sha256(lake.body).digest())),
    "older release under this name": lambda lake: lake.copy(LAYOUT, OLDER),
    "release of another pipeline": of_other_pipeline,
    "other version in the manifest": lambda lake: lake.change(version="mlp-2013-02-12-00000000"),
    "other row key in the manifest": lambda lake: lake.change(row_key=["origin"]),
    "other inputs in the manifest": lambda lake: lake.change(inputs={}),
    "file left out of the manifest": lambda lake: lake.change(files={}),
    "member added to the manifest": lambda lake: lake.change(note="x"),
    "bit flipped in the manifest": lambda lake: setattr(lake, "body", flip(lake.body, len(lake.body) // 2)),
    "byte added to the manifest": lambda lake: setattr(lake, "body", lake.body + b"\n"),
    "manifest in another order": lambda lake: setattr(lake, "body", json.dumps(dict(reversed(lake.manifest.items()))).encode()),
    "manifest truncated": lambda lake: setattr(lake, "body", lake.body[:-1]),
    "manifest empty": lambda lake: setattr(lake, "body", b""),
    "manifest nested 100,000 deep": lambda lake: setattr(lake, "body", b"[" * 100_000),
    "manifest of 20 MiB": lambda lake: setattr(lake, "body", lake.body + b" " * (20 * 2**20)),
    "other graph, digests rewritten": lambda lake: lake.swap("model.onnx"),
    "other golden requests, digests rewritten": lambda lake: lake.swap("golden.json"),
    "other lookup, digests rewritten": lambda lake: lake.swap("lookups/tail_rates.json"),
    "other graph, golden requests and lookups, digests rewritten": lambda lake: lake.swap(*lake.manifest["files"]),
}

TOO_LARGE = {"very large signature", "longer signature", "manifest of 20 MiB"}


def test_a_signed_release_is_loaded(lake: Lake, objects: Objects):
    assert load_release(objects, LAYOUT, NAME, Limits()).id == NAME


@pytest.mark.parametrize("case", TAMPERED)
def test_a_changed_release_is_refused_before_it_is_parsed(
    lake: Lake, objects: Objects, case: str, monkeypatch: pytest.MonkeyPatch
):
    def parse(*_: Any, **__: Any) -> None:
        pytest.fail("it was parsed")

    TAMPERED[case](lake)
    monkeypatch.setattr(Stored, "json", parse)
    monkeypatch.setattr(server_release, "Model", parse)
    with pytest.raises(RefusedError, match="expected at most" if case in TOO_LARGE else "."):
        load_release(objects, LAYOUT, NAME, Limits())


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "lookups/tail_rates.json"])
@pytest.mark.parametrize("change", [lambda body: flip(body, 9), lambda body: body + b"\0", lambda body: b""])
def test_a_changed_file_of_a_signed_release_is_refused(lake: Lake, objects: Objects, name: str, change: Callable[[bytes], bytes]):
    address = LAYOUT.blob(lake.manifest["files"][name]["sha256"])
    lake.store.objects[address] = change(lake.store.objects[address])
    with pytest.raises(RefusedError, match="expected"):
        load_release(objects, LAYOUT, NAME, Limits())


def pointer(key: SigningKey, kind: Kind = Kind.POINTER, layout: Layout = LAYOUT, **members: Any) -> dict[str, Any]:
    document = {
        "format": 1,
        "release": NAME,
        "previous": OLDER,
        "soaked": True,
        "runtime": "process",
        "number": 1000,
        **members,
    }
    document = {name: value for name, value in document.items() if value != "left out"}
    return seal(document, Subject(kind, layout.space, layout.pipeline, "endpoint/active.json"), key)


def resigned(good: dict[str, Any], **signature: Any) -> dict[str, Any]:
    return {**good, "signature": {**good["signature"], **signature}}


POINTERS: dict[str, Callable[[Lake, dict[str, Any]], Any]] = {
    "no signature": lambda lake, good: {name: value for name, value in good.items() if name != "signature"},
    "signature null": lambda lake, good: {**good, "signature": None},
    "signature a text": lambda lake, good: {**good, "signature": "x"},
    "signature a list": lambda lake, good: {**good, "signature": []},
    "signature without a value": lambda lake, good: {**good, "signature": {"key": good["signature"]["key"]}},
    "signature a number": lambda lake, good: resigned(good, value=5),
    "signature empty": lambda lake, good: resigned(good, value=""),
    "signature truncated": lambda lake, good: resigned(good, value=good["signature"]["value"][:-8]),
    "signature not base64": lambda lake, good: resigned(good, value="é" * 88),
    "signature of zeros": lambda lake, good: resigned(good, value=base64.b64encode(bytes(64)).decode()),
    "key unknown": lambda lake, good: resigned(good, key="0123456789abcdef"),
    "key a list": lambda lake, good: resigned(good, key=[]),
    "another key": lambda lake, good: pointer(lake.stranger, number=2000),
    "another key under the id of the trusted one": lambda lake, good: resigned(
        pointer(lake.stranger, number=2000), key=lake.key.id
    ),
    "other kind": lambda lake, good: pointer(lake.key, Kind.RELEASE, number=2000),
    "other pipeline": lambda lake, good: pointer(lake.key, layout=OTHER_PIPELINE, number=2000),
    "other space": lambda lake, good: pointer(lake.key, layout=OTHER_SPACE, number=2000),
    "other release": lambda lake, good: {**good, "release": OLDER},
    "no release": lambda lake, good: {**good, "release": None},
    "higher number": lambda lake, good: {**good, "number": 2000},
    "other previous release": lambda lake, good: {**good, "previous": None},
    "not soaked": lambda lake, good: {**good, "soaked": False},
    "member added": lambda lake, good: {**good, "note": 1},
    "member left out": lambda lake, good: {name: value for name, value in good.items() if name != "runtime"},
    "older pointer": lambda lake, good: pointer(lake.key, release=OLDER, number=999),
    "much older pointer": lambda lake, good: pointer(lake.key, release=OLDER, number=1),
    "the same number with another release": lambda lake, good: pointer(lake.key, release=OLDER),
    "negative number": lambda lake, good: pointer(lake.key, number=-5),
    "signed without a number": lambda lake, good: pointer(lake.key, number="left out"),
    "more than a day ahead": lambda lake, good: pointer(lake.key, number=int((time.time() + 25 * 3600) * 1000)),
    "number null": lambda lake, good: pointer(lake.key, number=None),
    "other format": lambda lake, good: pointer(lake.key, format=2, number=2000),
}
BODIES = {
    "not JSON": b"{",
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "nested": b'{"format":' + b"[" * 5000,
    "a number without an end": b'{"format":1,"signature":{"key":"","value":""},"number":' + b"9" * 5000 + b"}",
    "larger than a megabyte": b'{"format":1,"note":"' + b"x" * 2**20 + b'"}',
    "surrogate": b'{"format":1,"release":"\\ud800","signature":{"key":"K","value":""}}',
}


def read(reader: PointerReader, body: bytes) -> str | None:
    return reader.read(Stored(body, "etag"))


@pytest.mark.parametrize("case", [*POINTERS, *BODIES])
def test_a_changed_or_older_pointer_is_refused(lake: Lake, case: str):
    reader, good = PointerReader(LAYOUT), pointer(lake.key)
    assert read(reader, canonical_json(good)) == NAME
    body = BODIES[case] if case in BODIES else json.dumps(POINTERS[case](lake, good)).encode()
    with pytest.raises(RefusedError):
        read(reader, body)
    assert read(reader, canonical_json(good)) == NAME
    assert read(reader, canonical_json(pointer(lake.key, release=OLDER, number=1001))) == OLDER


def test_a_new_reader_takes_any_pointer_that_was_signed(lake: Lake):
    assert read(PointerReader(LAYOUT), canonical_json(pointer(lake.key, release=OLDER, number=1))) == OLDER


def test_a_restarted_server_takes_no_older_pointer(lake: Lake, keys: KeyFolder, tmp_path: Path):
    kept = tmp_path / "serve" / LAYOUT.pipeline
    put_pointer(lake, pointer(lake.key, number=2000))
    settings = {"PERENNIAL_TRUSTED_KEYS": str(keys.trusted)}
    with ServerProcess(lake.store, LAYOUT.pipeline, "--newest-file", str(kept), **settings) as server:
        serves(server, NAME)
    assert kept.read_text() == "2000\n"

    put_pointer(lake, pointer(lake.key, number=1999))
    with ServerProcess(lake.store, LAYOUT.pipeline, "--newest-file", str(kept), **settings) as server:
        wait_for_log(server, "its number is 1999, expected at least 2000")
        assert server.get("/v2/health/ready").status == 503
        put_pointer(lake, pointer(lake.key, number=2000))
        serves(server, NAME)


@pytest.mark.parametrize("how", ["missing", "not a number", "empty", "not ASCII", "endless", "a folder"])
def test_a_server_starts_without_the_number_that_it_kept(lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str):
    file = tmp_path / "newest"
    if how == "a folder":
        file.mkdir()
    elif how != "missing":
        file.write_bytes({"not a number": b"x", "empty": b"", "not ASCII": b"\xff", "endless": b"9" * 10_000}[how])
    assert read(PointerReader(LAYOUT, file), canonical_json(pointer(lake.key, number=5))) == NAME
    assert ("cannot be read" in caplog.text) == (how != "missing")
    if how != "a folder":
        assert file.read_text() == "5\n"


def serves(server: ServerProcess, release: str) -> None:
    server.wait_until(f"/v2/models/{LAYOUT.pipeline}/versions/{release}/ready", 200)


def wait_for_log(server: ServerProcess, text: str) -> None:
    deadline = time.monotonic() + 15
    while text not in server.log():
        assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{server.log()}"
        time.sleep(0.05)


def wait_for_metrics(server: ServerProcess, is_shown: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_shown(text := server.get("/metrics").body.decode()):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)


def put_pointer(lake: Lake, document: dict[str, Any]) -> None:
    lake.store.objects[LAYOUT.active] = canonical_json(document)


def test_a_server_keeps_its_release_under_attack_and_follows_a_rotation(lake: Lake, keys: KeyFolder):
    put_pointer(lake, pointer(lake.key, number=1000))
    with ServerProcess(lake.store, LAYOUT.pipeline, PERENNIAL_TRUSTED_KEYS=str(keys.trusted)) as server:
        serves(server, NAME)
        assert server.log().count("trusted keys:") == 1
        assert f"trusted keys: {lake.key.id}" in server.log()
        assert f'perennial_trusted_key_info{{key="{lake.key.id}"}} 1.0' in server.get("/metrics").body.decode()

        put_pointer(lake, pointer(lake.key, release=OLDER, number=900))
        wait_for_log(server, "older than one that this server has seen")
        point_at(lake.store, LAYOUT.pipeline, OLDER)
        wait_for_log(server, "it has no signature of a trusted key")
        lake.build("forged", bias=2.0)
        del lake.store.objects[lake.address(name="forged")]
        put_pointer(lake, pointer(lake.key, release="forged", number=1001))
        wait_for_log(server, "The release releases/forged.json of 'signed' in space 'main': it has no signature")
        assert server.predict([RECORD]).json()["release"] == NAME

        new = keys.make("new")
        build_release(lake.store, LAYOUT.pipeline, INPUTS, name="rotated")
        lake.store.objects[lake.address(name="rotated", key=new)] = lake.signature(name="rotated", key=new)
        put_pointer(lake, pointer(new, release="rotated", number=1002))
        serves(server, "rotated")
        assert f'key="{new.id}"' in server.get("/metrics").body.decode()

        keys.distrust("good")
        wait_for_metrics(server, lambda text: f'key="{lake.key.id}"' not in text)
        keys.distrust("new")
        wait_for_metrics(server, lambda text: "perennial_trusted_key_info{" not in text)
        assert "has no file *.pem" in server.log()
        keys.trust("new")
        wait_for_metrics(server, lambda text: f'key="{new.id}"' in text)
        put_pointer(lake, pointer(lake.key, release=OLDER, number=1003))
        wait_for_log(server, f"it is signed by key '{lake.key.id}'; trusted are {new.id}")
        assert server.predict([RECORD]).json()["release"] == "rotated"


def test_a_server_without_keys_serves_unsigned_releases_and_says_so(lake: Lake):
    del lake.store.objects[lake.address()]
    point_at(lake.store, LAYOUT.pipeline, NAME)
    with ServerProcess(lake.store, LAYOUT.pipeline) as server:
        serves(server, NAME)
        assert "signatures of releases are not checked" in server.log()
        assert "perennial_trusted_key_info{" not in server.get("/metrics").body.decode()


def test_a_server_without_keys_serves_signed_releases(lake: Lake):
    put_pointer(lake, pointer(lake.key))
    with ServerProcess(lake.store, LAYOUT.pipeline) as server:
        serves(server, NAME)


@pytest.mark.parametrize("case", ["no signature", "no such key file"])
def test_a_given_release_that_is_not_verified_blames_no_version(lake: Lake, keys: KeyFolder, case: str):
    """Exit code 65 would bar the version."""
    trusted = keys.trusted if case == "no signature" else keys.folder / "missing"
    del lake.store.objects[lake.address()]
    with ServerProcess(lake.store, LAYOUT.pipeline, "--release", NAME, PERENNIAL_TRUSTED_KEYS=str(trusted)) as server:
        assert server.process.wait(timeout=30) == 1
        assert ("no signature of a trusted key" if case == "no signature" else "No such file") in server.log()

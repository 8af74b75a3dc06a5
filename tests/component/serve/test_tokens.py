"""Tokens: predictions need one where a file lists them, and our own clients send it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve_process import ServerProcess, request
from serve_release_builder import RECORD, build_release, inputs_of
from serve_small_s3 import SmallS3

from perennial.access.token_file import read_tokens, token_headers
from perennial.errors import RefusedError
from perennial.runtime import process_serving
from perennial.serve.refusal import Refusal
from perennial.serve.tokens import Tokens

NEW, OLD = "n" * 32, "o" * 32


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(f"# the newest first\n{NEW}\n{OLD}\n")
    return file


@pytest.fixture(scope="module")
def guarded(store: SmallS3, file: Path) -> Iterator[ServerProcess]:
    release = build_release(store, "small", inputs_of("small"))
    with ServerProcess(store, "small", "--release", release, PERENNIAL_SERVER_TOKENS=str(file)) as server:
        server.wait_ready()
        yield server


@pytest.mark.parametrize("path", ["/predict", "/v2/models/small/infer"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {NEW}"},
        {"authorization": f"Bearer {NEW[:-1]}"},
        {"authorization": f"Bearer {NEW}x"},
        {"authorization": f"Bearer {NEW} {OLD}"},
        {"x_perennial_token": "# the newest first"},
        {"x_perennial_token": ""},
        {"cookie": NEW},
    ],
)
def test_without_a_token_a_prediction_is_refused(guarded: ServerProcess, path: str, headers: dict[str, str]) -> None:
    answer = guarded.exchange(request("POST", path, b"[]", **headers))

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"x-perennial-token: {NEW}\r\nauthorization: Bearer of-the-gateway", 200),
        (f"authorization: Bearer of-the-gateway\r\nx-perennial-token: {NEW}", 200),
        (f"x-perennial-token: wrong\r\nauthorization: Bearer {NEW}", 401),
        (f"x-perennial-token: {NEW}\r\nx-perennial-token: wrong", 401),
        (f"x-perennial-token: wrong\r\nx-perennial-token: {NEW}", 401),
        (f"authorization: Bearer {NEW}\r\nauthorization: Bearer wrong", 401),
        (f"authorization: Bearer wrong\r\nauthorization: Bearer {NEW}", 401),
        (f"authorization: Basic of-the-gateway\r\nauthorization: Bearer {NEW}", 401),
    ],
)
def test_our_own_header_comes_first_and_no_header_counts_twice(guarded: ServerProcess, headers: str, status: int) -> None:
    body = json.dumps([RECORD]).encode()

    assert guarded.exchange(request("POST", "/predict", body, host=f"test\r\n{headers}")).status == status


def test_a_trailer_is_no_token(guarded: ServerProcess) -> None:
    body = json.dumps([RECORD]).encode()
    chunks = b"%x\r\n%b\r\n0\r\nx-perennial-token: %b\r\n\r\n" % (len(body), body, NEW.encode())

    message = request("POST", "/predict", chunks, content_length=None, transfer_encoding="chunked")
    assert guarded.exchange(message).status == 401


@pytest.mark.parametrize("token", [NEW, OLD])
def test_each_token_of_the_file_counts_in_either_header(guarded: ServerProcess, token: str) -> None:
    assert guarded.predict([RECORD], authorization=f"bearer {token}").status == 200
    assert guarded.predict([RECORD], x_perennial_token=token).status == 200


def test_a_refused_client_sends_no_body_into_the_servers_memory(guarded: ServerProcess) -> None:
    assert guarded.exchange(request("POST", "/predict", b" " * 1_000_000, content_length="8000000")).status == 401


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/small", "/metrics"])
def test_health_metadata_and_metrics_stay_open(guarded: ServerProcess, path: str) -> None:
    assert guarded.get(path).status == 200


def test_our_clients_send_the_first_token(guarded: ServerProcess, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{guarded.port}"
    assert token_headers() == {}
    assert process_serving._client(url).post("/predict", json=[RECORD]).status_code == httpx.codes.UNAUTHORIZED
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(file))
    assert token_headers() == {"x-perennial-token": NEW}
    assert process_serving._client(url).post("/predict", json=[RECORD]).status_code == httpx.codes.OK


def test_only_predictions_of_our_clients_need_the_file(
    guarded: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(tmp_path / "missing"))
    with process_serving._client(f"http://127.0.0.1:{guarded.port}") as client:
        assert client.get("/v2/models/small").status_code == httpx.codes.OK
        with pytest.raises(RefusedError, match="missing, the file of the model servers' tokens: cannot be read"):
            client.post("/predict", json=[RECORD])


@pytest.mark.parametrize(("text", "problem"), [(None, "cannot be read"), ("short", "line 1: expected 16")])
def test_a_server_without_its_tokens_does_not_start_and_blames_no_release(
    store: SmallS3, tmp_path: Path, text: str | None, problem: str
) -> None:
    release, file = build_release(store, "small", inputs_of("small")), tmp_path / "tokens"
    if text is not None:
        file.write_text(text)
    with ServerProcess(store, "small", "--release", release, PERENNIAL_SERVER_TOKENS=str(file)) as server:
        assert server.process.wait(timeout=30) == 1
        assert problem in server.log()


class Rotation:
    """The tokens of a server, whose file is read again whenever a test asks."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_text(f"{OLD}\n")
        self.now = 0.0
        self.tokens = Tokens(file, lambda: self.now)

    def answers(self) -> dict[str, int]:
        """Return the status of a request with each token: 200 if it is answered."""
        return {token: self.answer(token) for token in (NEW, OLD)}

    def answer(self, token: str) -> int:
        try:
            self.tokens.check([(b"authorization", b"Bearer " + token.encode())])
        except Refusal as refusal:
            return refusal.status
        return 200

    def wait(self) -> None:
        self.now += 6.0


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path / "tokens")


def test_tokens_rotate_without_a_restart(rotation: Rotation) -> None:
    rotation.file.write_text(f"{NEW}\n{OLD}\n")
    assert rotation.answers() == {NEW: 401, OLD: 200}
    rotation.wait()
    assert rotation.answers() == {NEW: 200, OLD: 200}
    rotation.file.write_text(f"{NEW}\n")
    rotation.wait()
    assert rotation.answers() == {NEW: 200, OLD: 401}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", ["deleted", "emptied", "commented out", "a folder", "a pipe", "a device"])
def test_a_file_without_tokens_revokes_all_of_them(rotation: Rotation, caplog: pytest.LogCaptureFixture, how: str) -> None:
    rotation.file.unlink()
    if how == "a folder":
        rotation.file.mkdir()
    elif how == "a pipe":
        os.mkfifo(rotation.file)
    elif how == "a device":
        rotation.file.symlink_to("/dev/zero")
    elif how != "deleted":
        rotation.file.write_text("" if how == "emptied" else f"# {OLD}\n")
    rotation.wait()
    assert rotation.answers() == {NEW: 503, OLD: 503}
    assert rotation.tokens.count() == 0
    assert ("found no token" if how in ("emptied", "commented out") else "cannot be read") in caplog.text
    if how == "a folder":
        rotation.file.rmdir()
    elif how in ("a pipe", "a device"):
        rotation.file.unlink()
    rotation.file.write_text(f"{NEW}\n")
    rotation.wait()
    assert rotation.answers() == {NEW: 200, OLD: 401}


def test_a_line_that_is_not_a_token_revokes_no_other(rotation: Rotation, caplog: pytest.LogCaptureFixture) -> None:
    rotation.file.write_text(f"short\n{NEW}\n")
    rotation.wait()
    assert rotation.answers() == {NEW: 200, OLD: 401}
    assert "line 1: expected 16" in caplog.text
    assert "short" not in caplog.text


def test_the_number_of_tokens_is_a_metric(guarded: ServerProcess) -> None:
    assert "perennial_tokens 2.0" in guarded.get("/metrics").body.decode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "no token"), ("# none\n\n", "no token"), (f"{NEW}\nshort\n", "line 2"), (f"{NEW} {OLD}\n", "line 1")],
)
def test_a_file_that_is_not_of_tokens_is_refused_and_not_quoted(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)

    with pytest.raises(RefusedError, match=problem) as refused:
        read_tokens(file)
    assert "short" not in str(refused.value)
    assert NEW not in str(refused.value)

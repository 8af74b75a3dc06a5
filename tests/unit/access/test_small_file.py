"""Keys and tokens are read from regular files of bounded size; nothing else makes a process wait or fills its memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perennial.access.small_file import MAX_BYTES, read_small_file
from perennial.access.token_file import find_tokens
from perennial.errors import PerennialError
from perennial.serve.newest import NewestNumber
from perennial.signing.keys import read_signing_key, read_trusted_keys


@pytest.fixture(params=["a pipe", "a device", "a link to a device", "a folder", "a huge file"])
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "a device":
        return Path("/dev/zero")
    place = tmp_path / "strange"
    if request.param == "a pipe":
        os.mkfifo(place, 0o600)
    elif request.param == "a link to a device":
        place.symlink_to("/dev/zero")
    elif request.param == "a folder":
        place.mkdir(mode=0o700)
    else:
        place.write_bytes(b"#" * (MAX_BYTES + 1))
        place.chmod(0o600)
    return place


@pytest.mark.timeout(20)
def test_a_strange_file_is_refused_at_once(strange: Path):
    with pytest.raises(OSError, match=r"not a regular file|more than 1,048,576 bytes"):
        read_small_file(strange)


@pytest.mark.timeout(20)
def test_tokens_keys_and_numbers_are_read_in_this_way(strange: Path, monkeypatch: pytest.MonkeyPatch):
    tokens, problems = find_tokens(strange)
    assert not tokens
    assert "cannot be read" in problems[0]

    assert NewestNumber(strange).value == 0

    monkeypatch.setenv("PERENNIAL_SIGNING_KEY", str(strange))
    with pytest.raises(PerennialError, match=str(strange)):
        read_signing_key()

    monkeypatch.setenv("PERENNIAL_TRUSTED_KEYS", str(strange))
    with pytest.raises(PerennialError, match=str(strange)):
        read_trusted_keys()


def test_a_link_to_a_file_and_the_largest_file_are_read(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x" * MAX_BYTES)
    (tmp_path / "link").symlink_to("file")
    assert read_small_file(tmp_path / "link") == b"x" * MAX_BYTES

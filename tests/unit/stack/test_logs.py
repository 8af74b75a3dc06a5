"""The logs of services that run for long are bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.files import open_log
from stack.logs import bound_logs

WRITE = """
import sys
for line in sys.stdin:
    print(line.strip() * 100, flush=True)
    print("written", file=sys.stderr, flush=True)
"""


def test_a_service_goes_on_in_its_emptied_log(tmp_path: Path) -> None:
    log, kept = tmp_path / "server.log", tmp_path / "server.log.1"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-c", WRITE], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE, text=True
        ) as service,
    ):
        assert service.stdin is not None
        assert service.stderr is not None

        def write(text: str) -> None:
            service.stdin.write(f"{text}\n")
            service.stdin.flush()
            assert service.stderr.readline() == "written\n"

        for text, logged, before in (("a", "", "a"), ("b", "", "b"), ("c", "", "c")):
            write(text)
            bound_logs(tmp_path, 100)
            assert (log.read_text(), kept.read_text()) == (logged, before * 99 + "\n")
        write("d")
        bound_logs(tmp_path, 101)
        assert log.read_text() == "d" * 100 + "\n"
        service.stdin.close()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.log", "server.log.1"]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 200)
    bound_logs(tmp_path, 100)
    bound_logs(tmp_path / "missing", 100)
    assert (tmp_path / "notes.txt").read_text() == "x" * 200


@pytest.mark.parametrize("is_read", [False, True])
def test_a_pipe_in_place_of_a_log_is_refused(tmp_path: Path, is_read: bool) -> None:
    log = tmp_path / "s3.log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK) if is_read else None
    with pytest.raises(StackError, match=r"s3.log is a pipe, expected a regular file. Remove it"):
        open_log(log)
    if reader is not None:
        os.close(reader)

"""The scratch disk of a training: what does not fit is refused with numbers, and no files are left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from windows import LABEL

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.train import scratch as folder_module
from perennial.train.cells import store_cells
from perennial.train.matrix_files import store_matrix
from perennial.train.preprocess import fit_preprocessing
from perennial.train.scratch import Scratch, open_scratch
from perennial.train.views import Dense, Table
from perennial.train.window import WindowWriter, record_type

MakeRows = Callable[..., pa.Table]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put temporary files into a folder of the test."""
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(tmp_path))
    return tmp_path


def test_a_window_that_cannot_fit_is_refused_before_it_is_written(inputs: Inputs, temporary: Path) -> None:
    size = record_type(inputs, LABEL).itemsize
    with open_scratch(999 * size) as scratch, pytest.raises(RefusedError) as refused:
        WindowWriter(scratch, inputs, LABEL, 1000)
    assert f"the window takes {1000 * size:,} bytes: 1,000 rows of {size} bytes" in str(refused.value)
    assert f"training.resources.scratch allows {999 * size:,} bytes, and 0 are in use" in str(refused.value)
    assert "Raise training.resources.scratch, or lower training.max_rows" in str(refused.value)
    assert list(temporary.iterdir()) == []


def test_a_window_that_the_disk_cannot_hold_is_refused_with_both_reasons(inputs: Inputs) -> None:
    with (
        open_scratch(1000) as scratch,
        pytest.raises(RefusedError, match=r"(?s)allows 1,000 bytes.*the disk of .* has [0-9,]+ by"),
    ):
        WindowWriter(scratch, inputs, LABEL, 10**15)


def test_more_rows_than_were_expected_are_refused_at_the_limit(inputs: Inputs, make_rows: MakeRows, temporary: Path) -> None:
    size = record_type(inputs, LABEL).itemsize
    with pytest.raises(RefusedError, match=f"need more than {400 * size:,} bytes"), open_scratch(400 * size) as scratch:
        WindowWriter(scratch, inputs, LABEL, 400).add(make_rows())
    assert list(temporary.iterdir()) == []


def test_a_matrix_that_no_longer_fits_is_refused(inputs: Inputs, make_rows: MakeRows) -> None:
    size = record_type(inputs, LABEL).itemsize
    with open_scratch(500 * size) as scratch:
        writer = WindowWriter(scratch, inputs, LABEL, 480)
        writer.add(make_rows())
        window = writer.finish()
        with pytest.raises(RefusedError, match=rf"(?s)its matrix takes .*480 rows.*{480 * size:,} are in use"):
            store_matrix(window, Dense(inputs, fit_preprocessing(window)))


def test_a_view_takes_the_place_of_the_one_before(inputs: Inputs, make_rows: MakeRows) -> None:
    """Each trial of a search, and the quantiles of an interval, see the window in a view of their own."""
    with open_scratch() as scratch:
        writer = WindowWriter(scratch, inputs, LABEL, 480)
        writer.add(make_rows())
        window = writer.finish()
        rows = scratch.written
        store_cells(store_matrix(window, Dense(inputs, fit_preprocessing(window, bins=8))))
        cells = scratch.written - rows
        assert 0 < cells
        store_matrix(window, Table(inputs, fit_preprocessing(window)))
        table = scratch.written - rows
        store_cells(store_matrix(window, Dense(inputs, fit_preprocessing(window, bins=8))))
        assert scratch.written == rows + cells != rows + table
        assert scratch.written == sum(path.stat().st_size for path in scratch.folder.iterdir())


def test_a_disk_that_is_full_is_a_refusal_with_numbers(temporary: Path) -> None:
    def write() -> None:
        with open_scratch() as scratch:
            path = scratch.folder / "0.rows"
            path.symlink_to("/dev/full")
            scratch.save(path, np.zeros(1000))

    with pytest.raises(RefusedError, match=r"was full after 8,000 bytes, and has [0-9,]+ bytes left") as refused:
        write()
    assert isinstance(refused.value.__cause__, OSError)
    assert list(temporary.iterdir()) == []


def test_another_error_of_the_disk_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), open_scratch() as scratch:
        scratch.delete(scratch.folder / "none")


def test_a_file_in_place_of_another_counts_once_and_a_deleted_one_not_at_all(temporary: Path) -> None:
    scratch = Scratch(temporary, 1600)
    for _ in range(3):
        scratch.save(temporary / "x", np.zeros(100))
    scratch.map("y", 100)[:] = 1
    assert scratch.written == 1600
    scratch.delete(temporary / "x")
    assert scratch.written == 800


HOLDER = """
import signal, sys, time
from perennial.train.__main__ import _exit
from perennial.train.scratch import open_scratch
signal.signal(signal.SIGTERM, lambda number, _: _exit(128 + number))
with open_scratch() as scratch:
    (scratch.folder / "0.rows").write_bytes(b"rows")
    print(scratch.folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(temporary: Path):
    """Start a process that holds a scratch; yield it and its folder."""
    environment = {"PYTHONPATH": ":".join(sys.path), "PERENNIAL_SCRATCH": str(temporary), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_training_that_is_told_to_end_deletes_its_files(holder: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = holder
    assert folder.is_dir()
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert not folder.exists()


def test_the_files_of_a_killed_training_go_with_the_next_and_those_of_a_living_one_stay(
    holder: tuple[subprocess.Popen[str], Path], temporary: Path
) -> None:
    process, folder = holder
    with open_scratch():
        assert folder.is_dir()
    process.kill()
    process.wait(10)
    assert folder.is_dir()
    with open_scratch():
        assert not folder.exists()
    assert list(temporary.iterdir()) == []


def test_a_folder_that_was_not_locked_before_its_training_was_killed_goes_once_it_is_old(temporary: Path) -> None:
    old, young = temporary / ".perennial-training-a", temporary / ".perennial-training-b"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (time.time() - 3700,) * 2)
    with open_scratch():
        assert not old.exists()
    assert list(temporary.iterdir()) == [young]


def test_on_a_disk_without_locks_no_training_deletes_the_folder_of_another(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with open_scratch() as first:
        os.utime(first.folder, (time.time() - 3700,) * 2)
        with open_scratch() as second:
            assert first.folder.is_dir()
            assert second.folder != first.folder
    assert list(temporary.iterdir()) == []


def test_an_error_before_the_first_file_leaves_no_folder_and_no_descriptor(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(folder_module, "_show", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), open_scratch():
        pass
    assert list(temporary.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_of_the_name_of_a_folder_is_left_alone(temporary: Path) -> None:
    other = temporary / "other"
    other.mkdir()
    (temporary / "perennial-training-link").symlink_to(other)
    with open_scratch():
        assert list(other.iterdir()) == []

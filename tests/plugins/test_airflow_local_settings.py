"""What the scheduler imports for its tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import airflow_local_settings

FILE = Path(airflow_local_settings.__file__)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["airflow", "scheduler", "--skip-serve-logs"], True),
        (["airflow", "api-server"], False),
        (["airflow"], False),
        ([], False),
    ],
)
def test_the_scheduler_is_known_by_its_command(arguments: list[str], expected: bool) -> None:
    assert airflow_local_settings.is_scheduler(arguments) == expected


def test_the_scheduler_has_it_all_and_none_of_our_own_code() -> None:
    script = f"import sys; sys.argv = ['airflow', 'scheduler']; import runpy; runpy.run_path({str(FILE)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert loaded.issuperset(airflow_local_settings.USED_BY_TASKS)
    assert not [name for name in loaded if name.partition(".")[0] in ("perennial", "perennial_airflow")]

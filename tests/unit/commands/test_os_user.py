"""The person at the command line is the user of the operating system."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from perennial.commands.os_user import get_os_user


def test_the_user_is_the_systems_and_not_that_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "deploy")
    assert get_os_user() == expected


@pytest.mark.skipif(os.getuid() != 0, reason="only root may take another number")
def test_a_number_without_a_name_is_told() -> None:
    script = "import os; from perennial.commands.os_user import get_os_user; os.setuid(54321); print(get_os_user())"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": path}, check=False)
    assert done.stdout == "uid 54321\n"

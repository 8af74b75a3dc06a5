"""The people behind decisions: the user of the operating system, and the words for a forced decision."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from perennial.evaluate.who import describe_force, get_os_user


def test_the_user_is_the_systems_and_not_that_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "deploy")
    assert get_os_user() == expected


@pytest.mark.skipif(os.getuid() != 0, reason="only root may take another number")
def test_a_number_without_a_name_is_told() -> None:
    script = "import os; from perennial.evaluate.who import get_os_user; os.setuid(54321); print(get_os_user())"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": path}, check=False)
    assert done.stdout == "uid 54321\n"


def test_a_forced_decision_is_told_with_its_person() -> None:
    assert describe_force(None) == ""
    assert describe_force({"decision": "HOLD", "reason": "x", "by": "ann"}) == "forced by ann"
    for old in ({"decision": "HOLD", "reason": "x"}, {"decision": "HOLD", "reason": "x", "by": None}):
        assert describe_force(old) == "forced; the decision does not say by whom"

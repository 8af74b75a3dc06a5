"""`perennial doctor`: what would keep the embedded stack from working."""

from __future__ import annotations

import subprocess
import sys

import typer

from perennial.commands.arguments import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Name every problem of the machine and the stack, with the fix."""
    # The stack starts processes and knows this package; this package knows nothing of it, hence the process of its own.
    command = [sys.executable, "-m", "stack", "doctor", *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)

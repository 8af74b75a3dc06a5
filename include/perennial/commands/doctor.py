"""`perennial doctor`: find what keeps the embedded stack from working."""

from __future__ import annotations

import subprocess
import sys

import typer

from perennial.commands.arguments import AsJson


def doctor(as_json: AsJson = False) -> None:
    """List every problem of the machine and the stack, with its fix."""
    # The stack imports this package. This package must not import the stack, so doctor runs in a separate process.
    command = [sys.executable, "-m", "stack", "doctor", *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)

"""Somebody who starts a clone: their user, umask, network and environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

WITHOUT_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up || ifconfig lo up; exec "$@"', "sh")
"""Comes before a command: no network but 127.0.0.1."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody at a shell, with PATH and HOME in its environment and little else."""

    name: str | None = None
    umask: int = 0o022
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, clone: Path, *command: str, around: Sequence[str] = ()) -> tuple[int, str]:
        """Run a command in a clone; return its exit code and what it printed."""
        path = os.environ["PATH"] if self.name is None else "/usr/local/bin:/usr/bin:/bin"
        done = subprocess.run(
            [*around, *command],
            cwd=clone,
            env={"PATH": path, "HOME": "/nonexistent", **self.environment},
            user=self.name,
            group="nogroup" if self.name else None,
            extra_groups=[] if self.name else None,
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout

    def stack(self, clone: Path, *arguments: str, around: Sequence[str] = ()) -> tuple[int, str]:
        """Run a command of the stack."""
        return self.run(clone, ".venv/bin/python", "-m", "stack", *arguments, around=around)

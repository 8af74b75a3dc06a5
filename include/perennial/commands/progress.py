"""What a command says while it works: on standard error, beside the spinner that names the stage."""

from __future__ import annotations

import logging

from rich.status import Status

from perennial.commands.output import problems

CHILDREN = ("perennial.spark", "perennial.runtime")
"""Their loggers pass on what Spark and the training processes print, line by line. An error quotes their last lines."""


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, above the spinner if there is one."""
        problems.print(f"  {self.format(record)}", markup=False)


def show_progress() -> None:
    """Send what Perennial logs to standard error; of what others log, the warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Handler()])
    logging.getLogger("perennial").setLevel(logging.INFO)
    show_children(False)


def show_children(every_line: bool) -> None:
    """Show what child processes print as they print it, or not."""
    for name in CHILDREN:
        logging.getLogger(name).setLevel(logging.INFO if every_line else logging.WARNING)


def at_work(stage: str) -> Status:
    """Name the stage that is under way, while it is; only a terminal shows it."""
    return problems.status(stage)

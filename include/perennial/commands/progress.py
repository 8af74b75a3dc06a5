"""Progress of a command on standard error: log lines, and a spinner that names the stage."""

from __future__ import annotations

import logging

from rich.status import Status

from perennial.commands.output import print_problem, problems
from perennial.display.showable import make_logs_showable

CHILDREN = ("perennial.spark", "perennial.runtime")
"""Loggers that pass on the output of Spark and of training processes line by line. Errors quote the last lines."""


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, above the spinner if there is one."""
        print_problem(f"  {self.format(record)}")


def show_progress() -> None:
    """Send the logs of Perennial to standard error, and the warnings of other libraries."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Handler()])
    make_logs_showable()
    logging.getLogger("perennial").setLevel(logging.INFO)
    show_children(False)


def show_children(every_line: bool) -> None:
    """Turn the output of child processes on or off."""
    for name in CHILDREN:
        logging.getLogger(name).setLevel(logging.INFO if every_line else logging.WARNING)


def leave_out_results() -> None:
    """Leave the warnings of results out, for a command that prints each result with its warnings."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.addFilter(lambda record: not hasattr(record, "of_result"))


def at_work(stage: str) -> Status:
    """Show a spinner with the name of the running stage; only a terminal shows it."""
    return problems.status(stage)

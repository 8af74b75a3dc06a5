"""Training in child processes on this machine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from perennial.config.pipeline import Training
from perennial.config.values import bytes_of
from perennial.display.printed_error import MAX_LINES
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.runtime.child_process import LAST_LINES, child, describe_end
from perennial.runtime.environment import python_of
from perennial.runtime.trainer import TrainerLimits, TrainingWork, trainer_arguments, trainer_error, trainer_variables
from perennial.settings import ROOT, training_environment

log = logging.getLogger(__name__)

_LAST_OUTPUT_SECONDS = 10
"""A process that an author's file has left may hold the output of a trainer that has ended."""

MIN_JOBS = 10
"""Minimum of trainings for each process: loading the libraries costs as much time as one or two trainings."""


class ProcessTrainer:
    """
    Trains in one process, or in several for many dates.

    :param candidates_at_once: number of candidates that are trained in parallel; default: all of the pipeline's
    """

    def __init__(self, lake: Lake, *, candidates_at_once: int | None = None) -> None:
        self._objects = lake.objects
        self._settings = lake.pipeline.training
        self._row_ms = lake.pipeline.deployment.p99_ms
        self._candidates_at_once = candidates_at_once

    def train(self, work: TrainingWork) -> None:
        """Train the jobs. The processes and all that they start end with this process, however it ends."""
        processes = trainers_at_once(self._settings, len(work.jobs), candidates=self._candidates_at_once)
        scratch = self._settings.resources.scratch
        family = self._settings.candidates[work.candidate].family
        limits = TrainerLimits(None if scratch is None else bytes_of(scratch), self._row_ms)
        try:
            train(work.jobs, processes=processes, limits=limits, python=python_of(family), name=work.name)
            if not work.is_done(self._objects):
                raise PerennialError(
                    f"The {work.name} ended without a result",
                    remedy="If it has a file of its own, look for a call that ends the process, such as os._exit.",
                )
        except PerennialError as error:
            work.raise_unless_ahead(error, self._objects)


def train(
    job_uris: Sequence[str],
    on_line: Callable[[str], None] | None = None,
    *,
    processes: int = 1,
    limits: TrainerLimits = TrainerLimits(),  # noqa: B008 (frozen)
    python: str = sys.executable,
    name: str = "",
) -> None:
    """
    Train jobs in one process, or in several in parallel, and pass on their output line by line (default: to the log).

    The processes and all that they start end with this process, however it ends. If one fails, the others still finish. The
    error is that of the failed process with the earliest job.

    :param limits: those of each training
    :param python: the interpreter of the processes, whose environment may be another than this one's
    :param name: the name of the work in errors; the addresses of the jobs if it is empty
    """
    say = on_line or (lambda line: log.info("%s", line))
    shares = [job_uris[start::processes] for start in range(min(processes, len(job_uris)))]
    # Another environment does not have Perennial itself.
    path = {} if python == sys.executable else {"PYTHONPATH": str(ROOT / "include")}
    environment = {**training_environment(), **trainer_variables(limits), **path}
    with ExitStack() as stack:
        start = partial(child, "perennial.train", environment=environment, python=python)
        trainers = [stack.enter_context(start(trainer_arguments(share))) for share in shares]
        ends = [deque[str](maxlen=MAX_LINES) for _ in shares]
        names = [f"[{number}] " if len(shares) > 1 else "" for number in range(1, len(shares) + 1)]
        listeners = [
            threading.Thread(target=_pass_on, args=(trainer, name, say, last), daemon=True)
            for trainer, name, last in zip(trainers, names, ends, strict=True)
        ]
        for listener in listeners:
            listener.start()
        codes = [trainer.wait() for trainer in trainers]
        for listener in listeners:
            listener.join(_LAST_OUTPUT_SECONDS)
    for share, code, lines in zip(shares, codes, ends, strict=True):
        if code != 0:
            raise _failure(name, share, code, list(lines))


def _failure(name: str, jobs: Sequence[str], code: int, lines: Sequence[str]) -> PerennialError:
    """Return the error of a trainer. It begins with the error that the trainer printed, if it ended itself."""
    kind = RefusedError if code == REFUSED_EXIT_CODE else PerennialError
    name = name or f"training of {', '.join(jobs[:3])}{' …' if len(jobs) > 3 else ''}"
    end = f"The {name} {describe_end(code)}"
    if error := trainer_error(code, lines):
        return kind(error, details=f"{end}.")
    return kind(f"{end}. Its last lines:\n" + "\n".join(lines[-LAST_LINES:]))


def trainers_at_once(training: Training, jobs: int, *, candidates: int | None = None) -> int:
    """
    Return the number of processes that should train `jobs` dates of one candidate.

    :param candidates: number of candidates that are trained in parallel; default: all of the pipeline's
    """
    if training.warm_start:
        return 1  # each training begins with the weights of the one before it
    candidates = candidates or len(training.candidates)
    return max(1, min(len(os.sched_getaffinity(0)) // candidates, jobs // MIN_JOBS))


def _pass_on(process: subprocess.Popen[str], name: str, say: Callable[[str], None], last: deque[str]) -> None:
    for line in process.stdout or ():
        last.append(line.rstrip())
        say(name + line.rstrip())

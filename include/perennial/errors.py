"""What Perennial refuses, and how it says so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MAX_PROBLEMS_SHOWN = 10
REFUSED_EXIT_CODE = 65
"""How a process of ours says that it ended with a RefusedError: the caller need not try again. (EX_DATAERR of sysexits.h)"""


class PerennialError(Exception):
    """Something failed that we can name; a retry may mend it unless the class says otherwise."""

    retryable = True

    def __init__(self, what: str, problems: Sequence[str] = (), remedy: str = "") -> None:
        """Join what failed, every problem (at most ten are shown) and what to do into one text."""
        self.what = what
        self.problems = list(problems)
        self.remedy = remedy
        super().__init__(render(what, problems, remedy))


class RefusedError(PerennialError):
    """The input, the configuration or the request is wrong: a retry cannot mend it."""

    retryable = False


class PipelineRefusedError(RefusedError):
    """A pipeline.yaml or its SQL breaks the contract of a pipeline."""


class DropRefusedError(RefusedError):
    """A landed drop breaks its manifest or its contract; nothing of it reaches a table."""


class DateRefusedError(RefusedError):
    """A date outside the pipeline's start and end, or not a date."""


class DropMissingError(PerennialError):
    """A drop has not landed (yet)."""


class DropChangedError(PerennialError):
    """A drop was replaced or removed while it was read: another look will find it whole, or gone."""


class UnreachableError(PerennialError):
    """A service does not answer; it may soon."""


class LostRaceError(PerennialError):
    """Another run won a conditional write; the message says who."""


class OutcomeUnknownError(PerennialError):
    """A commit timed out and its result could not be read back."""


class ReleaseFailedError(RefusedError):
    """A release was refused or answered wrongly or too slowly: its version is to blame. The previous one serves."""


class ReleaseUnprovenError(PerennialError):
    """A release could not be judged: its server was killed, nothing answered, the machine was slow. No version is to blame."""


class ReleaseWithdrawnError(ReleaseUnprovenError, RefusedError):
    """A release could not be judged while it was live, and was withdrawn: trying again at once would be at the users' expense."""


def render(what: str, problems: Sequence[str] = (), remedy: str = "") -> str:
    """Render an error: one line when there is one problem, a list when there are several."""
    shown = list(problems[:MAX_PROBLEMS_SHOWN])
    if len(problems) > MAX_PROBLEMS_SHOWN:
        shown.append(f"and {len(problems) - MAX_PROBLEMS_SHOWN} more")
    if not shown:
        text = what
    elif len(shown) == 1:
        text = f"{what}: {shown[0]}"
    else:
        text = f"{what}: {len(problems)} problems\n" + "\n".join(f"  - {problem}" for problem in shown)
    if not remedy:
        return text
    if len(shown) > 1:
        return f"{text}\n{remedy}"
    return f"{text} {remedy}" if text.endswith(("?", "!")) else f"{text.rstrip('.')}. {remedy}"


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ' Did you mean x?' for the allowed word nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""

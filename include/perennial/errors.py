"""Errors of Perennial, and the form of their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from perennial.display.showable import make_showable

MAX_PROBLEMS_SHOWN = 10
REFUSED_EXIT_CODE = 65
"""Exit code of our processes after a RefusedError: the caller must not retry. (EX_DATAERR of sysexits.h)"""


class PerennialError(Exception):
    """A known failure. A retry may fix it, unless the class is not `retryable`."""

    retryable = True

    def __init__(self, what: str, problems: Sequence[str] = (), remedy: str = "", *, details: str = "") -> None:
        """
        Join what failed, the problems (the first ten), the remedy and, on lines of their own, the details into one message.

        Texts may quote cells and names, and reach logs and pages from here, so all of them are made showable.
        """
        self.what = make_showable(what)
        self.problems = list(map(make_showable, problems))
        self.remedy = make_showable(remedy)
        text = render(self.what, self.problems, self.remedy)
        super().__init__(f"{text}\n{make_showable(details)}" if details else text)


class RefusedError(PerennialError):
    """The input, the configuration or the request is wrong: a retry cannot fix it."""

    retryable = False


class SignatureRefusedError(RefusedError):
    """A signature is missing, does not match or cannot be checked. No model version is to blame."""


class PipelineRefusedError(RefusedError):
    """A pipeline.yaml or its SQL breaks the contract of a pipeline."""


class DropRefusedError(RefusedError):
    """A landed drop does not match its manifest or its contract. None of its rows reach a table."""


class DropUnreadableError(DropRefusedError):
    """The object store lists a landed object, but does not hand it out: it is encrypted, archived, or closed by an ACL."""


class DateRefusedError(RefusedError):
    """A date is outside the pipeline's start and end, in the future, a rest date, or not a date at all."""


class DropMissingError(PerennialError):
    """A drop has not landed (yet)."""


class DropChangedError(PerennialError):
    """A drop was replaced or removed while it was read. A retry finds it complete, or missing."""


class UnreachableError(PerennialError):
    """A service does not answer. It may be back soon."""


class LostRaceError(PerennialError):
    """Another run won a conditional write. The message names that run."""


class OutcomeUnknownError(PerennialError):
    """A commit timed out and its result could not be read back."""


class ReleaseFailedError(RefusedError):
    """A release was refused, or its answers were wrong or too slow. Its version is to blame; the previous release serves."""


class ReleaseUnprovenError(PerennialError):
    """The check of a release was inconclusive (server killed, no answer, slow machine). No version is to blame."""


class ReleaseWithdrawnError(ReleaseUnprovenError, RefusedError):
    """The check of a live release was inconclusive, so it was rolled back. Not retried: users would be exposed to it again."""


def render(what: str, problems: Sequence[str] = (), remedy: str = "") -> str:
    """Render an error message: one line for one problem, a list for several."""
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
    words = {each.lower(): each for each in allowed}
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return f" Did you mean {words[near[0]]!r}?" if near else ""

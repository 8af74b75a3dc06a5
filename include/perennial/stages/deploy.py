"""The deploy stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Result
from perennial.stages.stage import Run, Stage

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.runtime.base import Runtime


class Deploy(Stage):
    """Release the champion with the newest lookups, if the date is the newest."""

    name = "deploy"
    follows = ("evaluate",)
    summary = "stages, checks, switches to and watches the release; switches back if it fails"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the serving release if a deploy would change nothing, else None."""
        from perennial.deploy.deploy import deploy, is_current

        runtime = _runtime(run)
        return deploy(run.lake, run.day, runtime) if is_current(run.lake, run.day, runtime) else None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Deploy the release."""
        from perennial.deploy.deploy import deploy

        return deploy(run.lake, run.day, _runtime(run))


def _runtime(run: Run) -> Runtime:
    from perennial.runtime.choice import open_runtime

    return run.runtime or open_runtime(run.lake.pipeline)

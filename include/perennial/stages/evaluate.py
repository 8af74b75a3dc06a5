"""The evaluate stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Result
from perennial.stages.stage import Run, Stage

if TYPE_CHECKING:
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.lake.lake import Lake


class Evaluate(Stage):
    """Judge the candidates against the incumbent and record the decision."""

    name = "evaluate"
    follows = ("train", "blend")
    summary = "decides PROMOTE, HOLD or REJECT, with reasons"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the decision of the date if it was made with the present models, else None."""
        from perennial.evaluate.recorded import find_decision

        return find_decision(run.lake, run.day)

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Decide for the date, then for the other dates of its batch."""
        from perennial.evaluate.evaluate import evaluate, evaluate_ahead

        decision = evaluate(
            run.lake,
            run.day,
            run_id=run.run_id,
            force_decision=run.force_decision,
            force_reason=run.force_reason,
            by=run.by,
        )
        evaluate_ahead(run.lake, run.day, run.last, run_id=run.run_id)
        return decision

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the decisions that runs would make."""
        from perennial.evaluate.effects import evaluate_effects

        return evaluate_effects(scope)

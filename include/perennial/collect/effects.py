"""The drops that runs would check, for `perennial impact`."""

from __future__ import annotations

from perennial.collect.drops import landed_reference, unfit_drops
from perennial.collect.uncollected import uncollected_dates
from perennial.fingerprints.effects import Effect, Scope


def collect_effects(scope: Scope) -> list[Effect]:
    """
    Return the landed drops that no run has checked yet, by source and reference.

    Drops that were accepted and no longer fit the contract are not among them: a run only refuses them.
    """
    lake, effects = scope.lake, []
    for source in lake.pipeline.sources:
        unfit = unfit_drops(lake, source, scope.needed)
        new = uncollected_dates(lake, source, [day for day in scope.needed if day not in unfit])
        effects.append(Effect("collect", source, missing=frozenset(new)))
    for name in lake.pipeline.references:
        landed = landed_reference(lake, name)
        is_new = landed is not None and landed.drop is None
        effects.append(Effect("collect", name, missing=frozenset({None} if is_new else ())))
    return effects

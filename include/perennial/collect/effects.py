"""The drops that runs would check, for `perennial impact`."""

from __future__ import annotations

from perennial.calendar import DAY
from perennial.collect.drops import landed_reference, unfit_drops
from perennial.collect.uncollected import uncollected_dates
from perennial.fingerprints.effects import Effect, Scope


def collect_effects(scope: Scope) -> list[Effect]:
    """
    Return the landed drops that no run has checked yet, by source and reference.

    The drops that were accepted and no longer fit the contract are withdrawn.
    """
    lake, effects = scope.lake, []
    calendar = lake.pipeline.calendar
    needed = [*calendar.needed_dates(scope.first), *calendar.dates(scope.first + DAY, scope.last)]
    for source in lake.pipeline.sources:
        unfit = unfit_drops(lake, source, needed).keys()
        new = frozenset(uncollected_dates(lake, source, needed))
        effects.append(Effect("collect", source, missing=new - unfit, withdrawn=frozenset(unfit)))
    for name in lake.pipeline.references:
        landed = landed_reference(lake, name)
        is_new = landed is not None and landed.drop is None
        effects.append(Effect("collect", name, missing=frozenset({None} if is_new else ())))
    return effects

"""What an edit of a pipeline that has run makes stale, on a real object store; tables hold the keys that a run would write."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import returned_orders
from clean_keys import clean_keys
from lab import FixedTables

from perennial.analyse.plan import analyse_fingerprints, plan_analyse, unanalysed_days
from perennial.backfill.batch import MAX_DATES
from perennial.calendar import days
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.collect.drops import unfit_drops
from perennial.commands.impact import impact
from perennial.config.pipeline import Pipeline
from perennial.evaluate.chain import Entry, enter
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.decision import decision_fingerprint
from perennial.fingerprints.effects import Effect, Scope
from perennial.fingerprints.fingerprint import Category, Fingerprint, StaleCause
from perennial.fingerprints.recipes import keep_recipes
from perennial.freshness.stale import Status, stale_dates
from perennial.impact.cost import START_SECONDS, estimate
from perennial.impact.effects import find_effects
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.lake.tables import Partition, TableState
from perennial.stages import STAGES, Run, Stage
from perennial.store.content_name import canonical_json
from perennial.train.plan import plan_training, training_fingerprints

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 8)
FEATURES = date(2026, 3, 2)
"""The first date of the training window of the first decided date."""

DECIDED = [date(2026, 3, 7), date(2026, 3, 8)]
CANDIDATES = ("mlp", "logistic")
REPLACED = date(2026, 3, 7)


@pytest.fixture
def ran(s3: Any, pipeline_factory: Callable[..., Pipeline], land_drops: Callable[..., None]) -> Lake:
    """Return a lake as runs of DECIDED leave it: every result has the key that it would get."""
    pipeline = pipeline_factory()
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    land_drops(s3.put, pipeline, FIRST, LAST)
    collect(lake, LAST)
    collect(lake, DECIDED[0])
    plan_clean(lake, DECIDED[0], until=LAST)
    keys = {str(day): key for day, key in clean_keys(lake, "readings", DECIDED[0], LAST).items()}
    set_state(lake, "clean_readings", keys)
    plan_analyse(lake, DECIDED[0], until=LAST)
    for table, by_day in analyse_fingerprints(lake, DECIDED[0], LAST).items():
        set_state(lake, table, by_day)
    for day in DECIDED:
        addresses = {}
        for candidate in CANDIDATES:
            plan = plan_training(lake, day, candidate)
            assert plan.manifest_uri is not None
            addresses[candidate] = plan.manifest_uri
            lake.objects.create(plan.manifest_uri, canonical_json({"measured": {"seconds": 2.0, "cpu_seconds": 3.0}}))
        decide(lake, day, addresses)
    return lake


def set_state(lake: Lake, table: str, keys: dict[str, Fingerprint]) -> None:
    partitions = {day: Partition(str(key), f"digest-{day}", 10) for day, key in keys.items()}
    lake.tables.states[table] = TableState(table, "s3://none/metadata.json", 1, partitions)  # type: ignore[attr-defined]


def decide(lake: Lake, day: date, addresses: dict[str, str]) -> None:
    key = decision_fingerprint(lake, day, read_chain(lake), addresses)
    keep_recipes(lake, "evaluate", {"decision": key})
    entry = Entry("HOLD", "s3://none", key, None, None, None, sets_anchor=False, run_id="r", at="2026-03-09")
    update_chain(lake, lambda chain: enter(chain, day, entry))


def edited(lake: Lake, pipeline_factory: Callable[..., Pipeline], edit: Callable[[dict[str, Any]], None] | None = None) -> Lake:
    """Return the lake with an edited pipeline."""
    return replace(lake, pipeline=pipeline_factory(edit))


def effects_of(lake: Lake) -> dict[str, Effect]:
    return {effect.name: effect for effect in find_effects(lake, DECIDED[0], LAST, DECIDED)}


def reasons_of(effect: Effect) -> set[StaleCause]:
    return {reason for reasons in effect.stale.values() for reason in reasons}


def test_nothing_is_stale_without_an_edit(ran: Lake) -> None:
    effects = effects_of(ran)
    assert set(effects) == {
        "readings", "clean_readings", "features", "analysis_faults_by_mode", "profile", *CANDIDATES, "decision",
    }  # fmt: skip
    assert not any(effect.changed for effect in effects.values())


def test_a_comment_in_the_sql_makes_nothing_stale(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    lake = edited(ran, pipeline_factory)
    file = lake.pipeline.folder / "features.sql"
    file.write_text("-- the same\n" + file.read_text())
    assert not any(effect.days for effect in effects_of(lake).values())


def test_a_request_field_taken_out_leaves_clean_rows_as_they_are(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        del document["inputs"]["request"]["pressure"]
        del document["inputs"]["derived"]

    effects = effects_of(edited(ran, pipeline_factory, edit))
    assert not effects["clean_readings"].days
    assert not effects["profile"].days
    assert set(effects["features"].stale) == set(days(FEATURES, LAST))
    assert reasons_of(effects["features"]) == {StaleCause(Category.CONFIGURATION, "request.pressure removed")}
    assert StaleCause(Category.DEPENDENCIES, "features") in reasons_of(effects["mlp"])
    assert StaleCause(Category.CONFIGURATION, "inputs.request.pressure removed") in reasons_of(effects["mlp"])
    assert set(effects["decision"].stale) == set(DECIDED)


def test_a_changed_contract_reaches_all_that_follows(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["pressure"]["range"] = [0, 40]

    effects = effects_of(edited(ran, pipeline_factory, edit))
    assert reasons_of(effects["clean_readings"]) == {StaleCause(Category.CONFIGURATION, "columns.pressure.range changed")}
    assert reasons_of(effects["features"]) == {StaleCause(Category.DEPENDENCIES, "clean_readings")}
    assert reasons_of(effects["logistic"]) == {StaleCause(Category.DEPENDENCIES, "features")}
    assert reasons_of(effects["decision"]) == {StaleCause(Category.DEPENDENCIES, name) for name in CANDIDATES}


def test_a_changed_gate_judges_again_and_trains_nothing(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["gate"]["max_age_days"] = 14

    effects = effects_of(edited(ran, pipeline_factory, edit))
    assert reasons_of(effects["decision"]) == {StaleCause(Category.CONFIGURATION, "gate.max_age_days changed")}
    assert [name for name, effect in effects.items() if effect.days] == ["decision"]


def test_a_drop_that_no_longer_fits_the_contract_is_named(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["channel"] = {"type": "string"}

    lake = edited(ran, pipeline_factory, edit)
    unfit = unfit_drops(lake, "readings", list(days(FIRST, LAST)))
    assert set(unfit) == set(days(FEATURES, LAST))
    assert all("channel" in problems[0] for problems in unfit.values())


def with_a_reference(document: dict[str, Any]) -> None:
    uri = document["sources"]["readings"]["uri"].partition("/machine_faults/")[0]
    columns = {"code": {"type": "string", "required": True}}
    document["references"] = {"regions": {"uri": f"{uri}/regions.csv", "key": ["code"], "columns": columns}}


def test_a_source_that_was_a_reference_is_like_any_other(ran: Lake) -> None:
    state = ran.tables.state("clean_readings")
    was_reference = {**state.partitions, "reference": Partition("key", "digest", 10)}
    ran.tables.states["clean_readings"] = replace(state, partitions=was_reference)  # type: ignore[attr-defined]
    assert not any(effect.days for effect in effects_of(ran).values())


def test_a_reference_that_is_not_clean_yet_has_changed_for_every_date(
    ran: Lake, pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.evaluate.recorded.is_current", lambda lake, day: True)
    assert stale_dates(ran) == {}
    lake = edited(ran, pipeline_factory, with_a_reference)
    assert set(unanalysed_days(lake, DECIDED[0], LAST)["features"]) == set(days(FEATURES, LAST))
    assert {day: one.reason for day, one in stale_dates(lake).items()} == dict.fromkeys(DECIDED, "regions has changed")

    # Its table may hold the dates of the source that it was.
    set_state(lake, "clean_regions", {str(LAST): clean_keys(lake, "readings", LAST, LAST)[LAST]})
    assert {day: one.reason for day, one in stale_dates(lake).items()} == dict.fromkeys(DECIDED, "regions has changed")


def test_trainings_follow_from_rows_with_earlier_columns(ran: Lake) -> None:
    """A run of LAST has changed the columns: the rows of all dates before it are kept without what is new."""
    state = ran.tables.state("features")
    kept = {day: one if day == str(LAST) else replace(one, key="", digest="rest") for day, one in state.partitions.items()}
    reshaped = replace(state, partitions=kept, reshaped=frozenset(kept) - {str(LAST)})
    ran.tables.states["features"] = reshaped  # type: ignore[attr-defined]
    effects = effects_of(ran)
    assert set(effects["features"].stale) == set(days(FEATURES, DECIDED[0]))
    for name in CANDIDATES:
        assert set(effects[name].stale) == set(DECIDED)
        assert StaleCause(Category.DEPENDENCIES, "features") in reasons_of(effects[name])
    assert set(effects["decision"].stale) == set(DECIDED)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Lake], tuple[str, Any]]:
    """Return a function that gives what `perennial impact` says of a lake, and its JSON."""

    def tell(lake: Lake) -> tuple[str, Any]:
        monkeypatch.setattr("perennial.commands.impact.checked_lake", lambda name: lake)
        capsys.readouterr()
        impact()
        text = " ".join(capsys.readouterr().out.split())
        impact(as_json=True)
        return text, json.loads(capsys.readouterr().out)

    return tell


def test_a_table_without_a_partition_is_named(
    ran: Lake, pipeline_factory: Callable[..., Pipeline], told: Callable[[Lake], tuple[str, Any]]
) -> None:
    text, found = told(ran)
    assert ("Everything is current" in text, "No partition yet" in text, found["unmade"]) == (True, False, [])
    assert [item["candidate"] for item in found["needs"]] == list(CANDIDATES)
    assert all(f"{item['candidate']}: {item['rows']:,} rows of the window in one bucket" in text for item in found["needs"])
    assert found["cannot_fit"] == []

    text, found = told(edited(ran, pipeline_factory, with_a_reference))
    assert "No partition yet: clean_regions. The effects on later stages are unknown until the first run." in text
    assert "Everything is current" not in text
    assert found["unmade"] == ["clean_regions"]

    def edit(document: dict[str, Any]) -> None:
        more = deepcopy(document["sources"]["readings"])
        document["sources"]["more"] = {**more, "uri": more["uri"].replace("readings", "more")}

    lake = edited(ran, pipeline_factory, edit)
    set_state(lake, "clean_more", {"reference": clean_keys(ran, "readings", LAST, LAST)[LAST]})  # what it was before
    text, found = told(lake)
    assert "No partition yet: clean_more." in text
    assert "Everything is current" not in text
    assert found["unmade"] == ["clean_more"]


def test_everything_of_a_date_that_has_never_run_is_counted(
    ran: Lake, land_drops: Callable[..., None], s3: Any, told: Callable[[Lake], tuple[str, Any]]
) -> None:
    """No run has collected the date, so its rows are not known, but each of its results is new, the decision as well."""
    new = LAST + timedelta(days=1)
    land_drops(s3.put, ran.pipeline, new, new)
    effects = {effect.name: effect for effect in find_effects(ran, new, new, [new])}
    assert set(effects) == {
        "readings", "clean_readings", "features", "analysis_faults_by_mode", "profile", *CANDIDATES, "decision",
    }  # fmt: skip
    assert {name: (effect.missing, effect.changed) for name, effect in effects.items()} == dict.fromkeys(effects, ({new}, {new}))

    text, found = told(ran)
    of_new, of_decided = text.split("All 2 decided dates")
    assert f"The run of {new}" in of_new
    assert f"evaluate decision 1 {new} new" in of_new
    assert "Everything is current" not in of_new
    assert "Everything is current" in of_decided
    missing = [{effect["name"]: effect["missing"] for effect in scope["effects"]} for scope in found["scopes"]]
    assert missing == [{name: days for name in effects} for days in ([str(new)], [])]


def test_a_date_without_enough_history_is_neither_trained_nor_judged(
    ran: Lake, land_drops: Callable[..., None], pipeline_factory: Callable[..., Pipeline], s3: Any
) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["training"]["min_days"] = 6

    new = LAST + timedelta(days=1)
    land_drops(s3.put, ran.pipeline, new, new)
    lake = edited(ran, pipeline_factory, edit)
    enough = {effect.name: effect.days for effect in find_effects(lake, new, new, [new])}
    assert (enough["mlp"], enough["decision"]) == ({new}, {new})

    for table in ("clean_readings", "features"):
        state = lake.tables.state(table)
        kept = {day: partition for day, partition in state.partitions.items() if day != str(LAST)}
        lake.tables.states[table] = replace(state, partitions=kept)  # type: ignore[attr-defined]
    s3.delete(lake.pipeline.sources["readings"].drop_uri(LAST) + "_MANIFEST.json")
    gap = {effect.name: effect.days for effect in find_effects(lake, new, new, [new])}
    assert gap["features"] >= {new}
    assert (gap["mlp"], gap["decision"]) == (frozenset(), frozenset())


def test_a_replaced_drop_reaches_the_results_of_its_date(ran: Lake, land_drops: Callable[..., None], s3: Any) -> None:
    def put(uri: str, body: bytes) -> None:
        s3.put(uri, body.replace(b"{", b"{ ", 1) if uri.endswith(".json") else body)  # another manifest of the same files

    land_drops(put, ran.pipeline, REPLACED, REPLACED)
    effects = effects_of(ran)
    assert effects["readings"].missing == {REPLACED}
    assert effects["clean_readings"].stale == {REPLACED: (StaleCause(Category.DEPENDENCIES, "readings"),)}
    assert set(effects["features"].stale) == {REPLACED}
    for name in (*CANDIDATES, "decision"):
        assert {cause.category for cause in reasons_of(effects[name])} == {Category.DEPENDENCIES}


def test_a_drop_whose_rows_were_refused_is_not_cleaned_again(ran: Lake) -> None:
    key = clean_keys(ran, "readings", LAST, LAST)[REPLACED]
    state = ran.tables.state("clean_readings")
    kept = {day: partition for day, partition in state.partitions.items() if day != str(REPLACED)}
    ran.tables.states["clean_readings"] = replace(state, partitions=kept)  # type: ignore[attr-defined]
    assert effects_of(ran)["clean_readings"].missing == {REPLACED}
    ran.objects.create(ran.layout.refusal("readings", REPLACED, key), b"{}")
    assert not effects_of(ran)["clean_readings"].changed


def test_rows_that_the_next_run_withdraws_are_named(
    ran: Lake, pipeline_factory: Callable[..., Pipeline], told: Callable[[Lake], tuple[str, Any]]
) -> None:
    def rest(document: dict[str, Any]) -> None:
        document["calendar"] = {"holidays": [FEATURES.isoformat()]}

    lake = edited(ran, pipeline_factory, rest)
    text, found = told(lake)
    assert f"clean clean_readings 1 {FEATURES} withdrawn" in text.partition("All 2 decided dates")[2]
    withdrawn = [
        {effect["name"] for effect in scope["effects"] if effect["withdrawn"] == [str(FEATURES)]} for scope in found["scopes"]
    ]
    assert withdrawn == [set(), {"clean_readings", "features", "analysis_faults_by_mode", "profile"}]
    # A training that has lost a date of its window comes out otherwise.
    assert StaleCause(Category.DATA) in effects_of(lake)["mlp"].stale[DECIDED[0]]


def test_drops_that_no_longer_fit_are_told_with_the_remedy_of_their_cause(
    ran: Lake, pipeline_factory: Callable[..., Pipeline], told: Callable[[Lake], tuple[str, Any]]
) -> None:
    def take_out(document: dict[str, Any]) -> None:
        del document["sources"]["readings"]["columns"]["has_fault"]

    lake = edited(ran, pipeline_factory, take_out)
    text, _ = told(lake)
    effects = effects_of(lake)
    gaps = set(days(FEATURES, LAST))
    assert not effects["readings"].changed, "a run only refuses them"
    assert (effects["clean_readings"].days, effects["clean_readings"].withdrawn) == (frozenset(), gaps)
    assert (
        "readings: 6 of 6 dates break the present contract: column 'has_fault' is not in the contract. "
        "List has_fault under columns with `until: 2026-03-08`: the files of these dates have it." in text
    )
    assert "since:" not in text


def test_a_decided_date_whose_drop_no_longer_fits_is_blocked(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    """No run can judge it again: collect would refuse its drop."""

    def take_out(document: dict[str, Any]) -> None:
        del document["sources"]["readings"]["columns"]["has_fault"]

    found = stale_dates(edited(ran, pipeline_factory, take_out))
    reason = "its drop of readings breaks the present contract: column 'has_fault' is not in the contract"
    assert {day: (one.status, one.reason) for day, one in found.items()} == dict.fromkeys(DECIDED, (Status.BLOCKED, reason))


def test_a_decided_date_whose_history_no_longer_fits_is_blocked(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    """The dates up to 5 March lack a column: they would be gaps, and the three after them are not enough."""

    def begin(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["channel"] = {"type": "string", "since": "2026-01-01", "until": "2026-03-05"}

    (first, last) = stale_dates(edited(ran, pipeline_factory, begin)).values()
    assert (first.status, last.status) == (Status.BLOCKED, Status.BLOCKED)
    assert last.reason.startswith(
        "its history is no longer sufficient: 3 of 5 days; "
        "readings: 3 of 6 dates break the present contract: column 'channel' is missing."
    )


def test_trainings_cost_what_the_last_ones_took(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["label"]["positive"] = False

    lake = edited(ran, pipeline_factory, edit)
    cost = estimate(lake, find_effects(lake, DECIDED[0], LAST, DECIDED))
    assert (cost.seconds, cost.cpu_seconds) == (len(DECIDED) * 2 * 2.0, len(DECIDED) * 2 * 3.0)


def test_each_spark_job_costs_its_start(ran: Lake) -> None:
    """A job holds at most the dates of a batch."""
    for size, seconds in ((1, 10.0), (MAX_DATES, 40.0)):
        uri = ran.layout.cost("clean", str(FIRST), str(LAST), f"{size}")
        cost = {"dates": [str(FIRST)] * size, "seconds": seconds, "cpu_seconds": 2 * seconds}
        ran.objects.create(uri, canonical_json(cost))
    found = [
        estimate(ran, [Effect("clean", "clean_readings", missing=frozenset(days(FIRST, FIRST + timedelta(days=count - 1))))])
        for count in (1, MAX_DATES + 1)
    ]
    assert [cost.seconds for cost in found] == [10 + START_SECONDS, 50 + 2 * START_SECONDS]
    assert [cost.cpu_seconds for cost in found] == [20, 100]


class Watch(Stage):
    """A stage that someone adds: it looks at each date that is judged."""

    name, follows, summary = "watch", ("evaluate",), "looks at what was decided"

    def find(self, run: Run, moment: Lake) -> Result | None:
        return None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        return Result(Outcome.DONE)

    def find_effects(self, scope: Scope) -> list[Effect]:
        return [Effect("watch", "page", missing=scope.found["evaluate"][0].days)]


def test_a_stage_that_is_added_is_counted_without_another_line(
    ran: Lake,
    land_drops: Callable[..., None],
    s3: Any,
    told: Callable[[Lake], tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perennial.stages.STAGES", (*STAGES, Watch()))
    new = LAST + timedelta(days=1)
    land_drops(s3.put, ran.pipeline, new, new)
    assert f"watch page 1 {new} new" in told(ran)[0]


def test_planned_dates_are_those_that_can_be_trained(ran: Lake) -> None:
    assert list(training_fingerprints(ran, "mlp", [FIRST, *DECIDED])) == DECIDED


@pytest.fixture
def late(s3: Any, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    """Return a lake as the run of LAST leaves it, of a pipeline whose labels are known two days later."""
    pipeline = pipeline_factory(name="returned_orders")
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    for day in days(FIRST, LAST):
        returned_orders.land(s3.put, pipeline, day)
    collect(lake, LAST)
    plan_clean(lake, LAST)
    for source in pipeline.sources:
        set_state(lake, f"clean_{source}", {str(day): key for day, key in clean_keys(lake, source, LAST, LAST).items()})
    plan_analyse(lake, LAST)
    for table, by_day in analyse_fingerprints(lake, LAST, LAST).items():
        set_state(lake, table, by_day)
    plan = plan_training(lake, LAST, "logistic")
    lake.objects.create(str(plan.manifest_uri), canonical_json({}))
    decide(lake, LAST, {"logistic": str(plan.manifest_uri)})
    return lake


def known_after(lake: Lake, pipeline_factory: Callable[..., Pipeline], later_days: int) -> Lake:
    """Edit when the labels are known."""

    def edit(document: dict[str, Any]) -> None:
        document["label"]["known_after_days"] = later_days

    return replace(lake, pipeline=pipeline_factory(edit, "returned_orders"))


def test_a_date_whose_labels_come_too_late_by_now_is_blocked(late: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    """Its labels would all come out otherwise, but no run can train on them: no backfill tries it."""
    assert stale_dates(late) == {}
    reason = "its history is no longer sufficient: 3 of 4 days whose labels are known (up to 2026-03-03)"
    blocked = stale_dates(known_after(late, pipeline_factory, 5))
    assert {day: (one.status, one.reason) for day, one in blocked.items()} == {LAST: (Status.BLOCKED, reason)}
    assert not stale_dates(known_after(late, pipeline_factory, 4))[LAST].is_blocked


def test_a_label_that_is_known_earlier_changes_the_dates_that_know_it(
    late: Lake, pipeline_factory: Callable[..., Pipeline]
) -> None:
    lake = late
    assert not any(effect.days for effect in find_effects(lake, LAST, LAST, [LAST]))

    effects = {effect.name: effect for effect in find_effects(known_after(lake, pipeline_factory, 1), LAST, LAST, [LAST])}
    known = list(days(LAST - timedelta(days=5), LAST - timedelta(days=2)))
    assert set(effects["labels"].stale) == set(known)
    assert effects["labels"].missing == {LAST - timedelta(days=1)}
    assert StaleCause(Category.CONFIGURATION, "known_after_days changed") in reasons_of(effects["labels"])
    assert not effects["features"].days
    assert StaleCause(Category.DEPENDENCIES, "labels") in reasons_of(effects["logistic"])

    # A drop that lands again reaches the labels of the days before it, too.
    keys = {str(day): key for day, key in clean_keys(lake, "returns", LAST, LAST).items()}
    set_state(lake, "clean_returns", {day: key for day, key in keys.items() if day != str(REPLACED)})
    effects = {effect.name: effect for effect in find_effects(lake, LAST, LAST, [LAST])}
    assert effects["clean_returns"].missing == {REPLACED}
    assert set(effects["labels"].stale) == set(days(REPLACED - timedelta(days=2), LAST - timedelta(days=2)))
    assert StaleCause(Category.DEPENDENCIES, "labels") in reasons_of(effects["logistic"])


def test_a_decided_date_whose_window_now_has_one_class_is_blocked(ran: Lake, pipeline_factory: Callable[..., Pipeline]) -> None:
    """A run would skip it again, so no backfill tries it, whether its incumbent has changed or not."""

    def edit(document: dict[str, Any]) -> None:
        document["label"]["positive"] = False

    lake, other = edited(ran, pipeline_factory, edit), str(DECIDED[0])
    reason = "the training window has 40 rows, all of them negative"
    plan = plan_training(lake, DECIDED[1], "mlp")
    lake.objects.create(str(plan.manifest_uri), canonical_json({"skipped": reason, "measured": {"cpu_seconds": 0.1}}))
    assert plan_training(lake, DECIDED[1], "mlp").skipped == reason
    for overtaken in (False, True):
        set_stale(lake, {other: True, str(DECIDED[1]): overtaken})
        found = stale_dates(lake)
        told = f"its history is no longer sufficient: {reason}"
        assert (found[DECIDED[1]].status, found[DECIDED[1]].reason) == (Status.BLOCKED, told)
        assert found[DECIDED[0]].status is Status.STALE


def set_stale(lake: Lake, stale: dict[str, bool]) -> None:
    """Record of decisions whether their incumbent has changed."""
    update_chain(
        lake, lambda chain: replace(chain, entries={day: replace(chain.entries[day], stale=stale[day]) for day in stale})
    )

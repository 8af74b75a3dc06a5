"""Releases: a champion's graph, the lookups of as_of(D), and golden requests with answers. Immutable, named by its inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.deploy.golden import Row, golden_records, model_table, spread
from perennial.deploy.lookups import freeze, lookup_states, store_lookup
from perennial.errors import OutcomeUnknownError, PerennialError, SignatureRefusedError
from perennial.evaluate.chain import Chain, Model
from perennial.evaluate.holdout import order_rows, read_file
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import library_versions, make_fingerprint
from perennial.lake.golden import GoldenAnswers
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest, ReleaseManifest
from perennial.lake.parts import is_read_at_once
from perennial.lake.sample import limit_for
from perennial.lake.tables import TableState, read_rows
from perennial.models.scoring import Graph, to_arrays
from perennial.signing.keys import read_keys
from perennial.signing.objects import REMEDY, is_signed, key_to_sign, read_verified, sign_object
from perennial.signing.subject import Kind
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json
from perennial.train.trainings import read_model

_READ_ROWS = 1_000
"""Rows of big dates, about, among which golden requests are chosen."""

_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The inputs of a release of D. Two plans with one id build the same release."""

    id: str
    day: date
    as_of: date
    model: Model
    manifest: ModelManifest
    inputs: Inputs
    lookups: Mapping[str, TableState]
    features: TableState
    asked: tuple[date, ...]
    """The dates from whose features the golden requests are taken."""
    decision: str
    named: str | None
    """The champion that the decision named, by the decision log. A bar may have made another one the champion since."""


def plan_release(lake: Lake, chain: Chain, day: date, model: Model, *, as_of: date | None = None) -> ReleasePlan:
    """
    Plan the release of a model with the lookups of as_of(D). Cheap: it reads table states, but no rows.

    :param as_of: overrides as_of(D): the midnight of a release of D that was built before an edit of the calendar
    """
    manifest = read_model(lake, model.manifest)
    inputs = Inputs.model_validate(manifest["inputs"])
    as_of = as_of or lake.pipeline.calendar.as_of(day)
    states = lookup_states(lake, day, as_of, inputs)
    entry = chain.get(day)
    if entry is None:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}: {day} has no decision, so it cannot be released. Run evaluate of {day} first."
        )
    digests = {name: partition.digest for name, state in states.items() if (partition := state.get(as_of))}
    features = lake.tables.state("features")
    dates = lake.pipeline.calendar.feature_dates(day)
    rows = {d: partition.digest for d in dates if (partition := features.get_complete(d))}
    asked = tuple(rows)[-lake.pipeline.training.holdout_days :]
    files: Json = {name: {"sha256": file["sha256"], "size": file["size"]} for name, file in manifest["files"].items()}
    key = make_fingerprint(
        "release",
        of={"pipeline": lake.pipeline.name, "space": lake.layout.space, "date": day.isoformat(), "as_of": as_of.isoformat()},
        code=code_digest("release"),
        data={"lookups": digests, "files": files, "golden": {d.isoformat(): rows[d] for d in asked}},
        configuration={"p99_ms": lake.pipeline.deployment.p99_ms},
        libraries=library_versions("onnxruntime"),
        dependencies={"version": model.version, "decision": entry.uri.removeprefix(lake.layout.root)},
    )
    named = entry.champion.version if entry.champion else None
    return ReleasePlan(f"{day}-{key[:12]}", day, as_of, model, manifest, inputs, states, features, asked, entry.uri, named)


def build_release(lake: Lake, plan: ReleasePlan) -> str:
    """
    Write the files of the release, then its manifest, each once, then its signature, and return its id.

    Existing files are kept; lost files are written again. Only a manifest that this process computed is signed: a stored one
    without a signature is computed again and compared.
    """
    uri = lake.layout.release(plan.id)
    stored = lake.objects.read(uri)
    if stored is not None and is_signed(lake.objects, lake.layout, Kind.RELEASE, uri, stored.body):
        files = stored.json()["files"].values()
        if all(lake.objects.exists(lake.layout.blob(file["sha256"])) for file in files):
            return plan.id
    _check_origin(lake, plan)
    lookups = {name: freeze(state, plan.as_of, plan.inputs.lookups[name]) for name, state in plan.lookups.items()}
    records = golden_records(_holdout_rows(lake, plan), plan.inputs, plan.day)
    graph = read_file(lake, plan.manifest, "model.onnx")
    scored = Graph(graph)
    answers = scored.answer(*to_arrays(model_table(records, plan.inputs, lookups), plan.inputs)).astype(np.float64).tolist()
    golden = GoldenAnswers(records, answers, scored.output, plan.manifest.get("spread", 1.0)).to_json()
    files = dict(store_lookup(lake, name, lookup) for name, lookup in lookups.items())
    for name, body in {"model.onnx": graph, "golden.json": canonical_json(golden)}.items():
        lake.objects.create(lake.layout.blob(sha256(body)), body)
        files[name] = {"sha256": sha256(body), "size": len(body)}
    manifest: Json = {
        "format": 2 if any(name.endswith(".table") for name in files) else 1,
        "release": plan.id,
        "pipeline": lake.pipeline.name,
        "space": lake.layout.space,
        "date": plan.day.isoformat(),
        "as_of": plan.as_of.isoformat(),
        "version": plan.model.version,
        "model": plan.model.manifest,
        "files": {**files},
        "inputs": plan.inputs.model_dump(mode="json"),
        "row_key": lake.pipeline.row_key,
        "p99_ms": lake.pipeline.deployment.p99_ms,
        "decision": plan.decision,
    }
    body = canonical_json(manifest)
    if not lake.objects.create(uri, body) and lake.objects.read_existing(uri).body != body:
        raise OutcomeUnknownError(
            f"Release {plan.id}: another run wrote different bytes under the same fingerprint. Check {uri} and report it."
        )
    sign_object(lake.objects, lake.layout, Kind.RELEASE, uri, body, key_to_sign(read_keys()))
    return plan.id


def read_release(lake: Lake, release: str) -> ReleaseManifest:
    """Return the manifest of a release, once its signature is verified."""
    body: ReleaseManifest = read_verified(lake.objects, lake.layout, Kind.RELEASE, _address(lake, release)).json()
    return body


def describe_release(lake: Lake, release: str) -> ReleaseManifest:
    """Return the manifest of a release to show it: its signature is not verified."""
    body: ReleaseManifest = lake.objects.read_existing(_address(lake, release)).json()
    return body


def release_date(release: str) -> date:
    """Return the date of a release."""
    try:
        return date.fromisoformat(release[:10])
    except ValueError:
        raise PerennialError(f"{release!r} is not a valid release id: expected a date, a dash and 12 hex digits") from None


def _address(lake: Lake, release: str) -> str:
    if not _ID.fullmatch(release):
        raise PerennialError(f"{release!r} is not a valid release id: expected a date, a dash and 12 hex digits")
    return lake.layout.release(release)


def _check_origin(lake: Lake, plan: ReleasePlan) -> None:
    """
    Refuse a plan whose model or decision `evaluate` did not sign: the lake was changed after the decision.

    The decision log is not signed. So what it says must be what the signed objects say: that this is the decision of this date,
    which champion it named, and which version the model has. Bars hold for versions, so another name would be a way past them.
    """
    decision = read_verified(lake.objects, lake.layout, Kind.DECISION, plan.decision).json()
    found = {
        "the date of the decision": (decision["date"], plan.day.isoformat()),
        "the champion of the decision": (decision["champion"], plan.named),
        "the version of the model": (plan.manifest["version"], plan.model.version),
    }
    problems = [
        f"{what} is {signed!r}, and the decision log says {logged!r}"
        for what, (signed, logged) in found.items()
        if signed != logged
    ]
    if problems:
        raise SignatureRefusedError(f"Release {plan.id}", problems, REMEDY)
    judged = read_verified(lake.objects, lake.layout, Kind.MODEL, plan.model.manifest).json()
    if judged != plan.manifest:
        raise PerennialError(f"Release {plan.id}: {plan.model.manifest} was replaced during the deploy. Deploy {plan.day} again.")


def _holdout_rows(lake: Lake, plan: ReleasePlan) -> list[Row]:
    """
    Return some of the newest features for golden requests, from dates on or after the champion's holdout.

    Of big dates only the rows with the lowest hashes are read.
    """
    state = plan.features
    if state.metadata_location is None or state.snapshot_id is None:
        return []
    todays, row_key = lake.pipeline.inputs, lake.pipeline.row_key
    shared = [
        name for name, field in plan.inputs.request.items() if name in todays.request and todays.request[name].type == field.type
    ]
    columns = sorted({"date", *row_key, *shared})
    count = sum(partition.rows for day in plan.asked if (partition := state.get(day)) is not None)
    among = None if is_read_at_once(count) else (0, limit_for(_READ_ROWS, count))
    table = read_rows(state.metadata_location, state.snapshot_id, plan.asked, columns, among=among)
    ordered = order_rows(table, row_key)
    rows: list[Row] = ordered.take(list(spread(ordered.num_rows))).to_pylist()
    return rows

"""pipeline.yaml: what it may say, and that everything else is refused with its line and the nearest right word."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.config.load import load_pipeline, pipeline_names, read_pipeline
from perennial.errors import PipelineRefusedError
from stack.config import REPO

TEXT = (REPO / "tests/pipelines/machine_faults/pipeline.yaml").read_text()


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that reads a YAML text as machine_faults and returns why it is refused."""
    folder = tmp_path / "machine_faults"
    shutil.copytree(REPO / "tests/pipelines/machine_faults", folder)

    def read(text: str) -> str:
        (folder / "pipeline.yaml").write_text(text)
        with pytest.raises(PipelineRefusedError) as refused:
            read_pipeline(folder / "pipeline.yaml")
        return str(refused.value)

    return read


@pytest.mark.parametrize("name", pipeline_names(REPO / "include/pipelines"))
def test_every_pipeline_of_the_repository_is_valid(name: str) -> None:
    assert load_pipeline(name, REPO / "include/pipelines").name == name


def test_reads_values(pipeline_factory) -> None:
    pipeline = pipeline_factory()
    assert sorted(pipeline.inputs.numbers) == ["pressure", "temperature"]
    assert sorted(pipeline.inputs.texts) == ["machine", "mode"]
    assert pipeline.inputs.request["pressure"].nullable
    assert pipeline.sources["readings"].drop_uri(date(2026, 3, 1)).endswith("date=2026-03-01/")
    assert pipeline.calendar.min_days == 5
    assert list(pipeline.sql_files("analysis")) == ["faults_by_mode"]


def test_calendar_says_which_dates_have_data(pipeline_factory) -> None:
    """Holidays on a day that rests anyway, or outside start and end, are harmless."""

    def edit(document: dict[str, Any]) -> None:
        holidays = ["2026-03-10", "2026-03-08", "1999-01-01"]
        document["calendar"] = {"weekdays": ["mon", "tue", "wed", "thu", "fri"], "holidays": holidays}

    calendar = pipeline_factory(edit).calendar
    assert calendar.dates(date(2026, 3, 5), date(2026, 3, 11)) == [date(2026, 3, day) for day in (5, 6, 9, 11)]


def test_cluster_values_are_taken_as_kubernetes_takes_them(pipeline_factory) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["deployment"] = {"cpu": 0.5, "memory": "2G", "replicas": 2, "autoscaling": {"max_replicas": 2}}
        tolerations = [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}, {"key": "spot"}]
        document["training"]["resources"] = {
            "cpu": 2,
            "tolerations": tolerations,
            "node_selector": {"cloud.google.com/pool": "a"},
        }

    pipeline = pipeline_factory(edit)
    assert (pipeline.deployment.cpu, pipeline.deployment.memory, pipeline.training.resources.cpu) == ("0.5", "2G", "2")
    assert [one.operator for one in pipeline.training.resources.tolerations] == ["Equal", "Exists"]


@pytest.mark.parametrize("name", ["default", "orders_"])
def test_name_that_kubernetes_cannot_bear_is_refused(refusal: Callable[[str], str], name: str) -> None:
    assert f"{name!r} is not a valid Kubernetes name" in refusal(TEXT.replace("name: machine_faults", f"name: {name}"))


CASES: dict[str, tuple[str, str, list[str]]] = {
    "unknown key": (
        "title: Machines",
        "titel: Machines",
        ["line 2: titel: unknown key. Did you mean 'title'?", "title: missing"],
    ),
    "unknown key below": ("min_rows: 50", "min_row: 50", ["sources.readings.min_row: unknown key. Did you mean 'min_rows'?"]),
    "wrong type": ("window_days: 4", 'window_days: "4"', ["training.window_days: expected", "found '4'"]),
    "wrong word": ("type: timestamp", "type: timestmp", ["Did you mean 'timestamp'?"]),
    "task": ("task: binary", "task: ranking", ["task: expected 'binary', 'multiclass' or 'regression', found 'ranking'"]),
    "candidate": ("[mlp, logistic]", "[mlp, logistics]", ["Did you mean 'logistic'?"]),
    "searched parameter": (
        "[mlp, logistic]",
        "{boosted: {search: {ranges: {max_dept: [3, 5]}}}}",
        ["training.candidates.boosted.search.ranges.max_dept: 'max_dept' is no number", "Did you mean 'max_depth'?"],
    ),
    "searched value": (
        "[mlp, logistic]",
        "{boosted: {search: {ranges: {max_depth: [3, 50]}}}}",
        ["line 40: training.candidates.boosted.search.ranges.max_depth: expected at most 16, found 50"],
    ),
    "search of a blend": (
        "[mlp, logistic]",
        "{mlp: {}, boosted: {}, blend: {search: {}}}",
        ["training.candidates.blend.search: blend has no parameters that can be searched. Families that have: logistic"],
    ),
    "candidate twice": ("[mlp, logistic]", "[mlp, mlp]", ["training.candidates: 'mlp' is listed twice"]),
    "candidates without end": (
        "[mlp, logistic]",
        f"{{{', '.join(f'net_{index}x: {{family: mlp}}' for index in range(21))}}}",
        ["training.candidates: expected at most 20 of them, found 21", "See docs/reference/candidates.md."],
    ),
    "time zone": ("time_zone: UTC", "time_zone: Mars/Olympus", ["no such time zone"]),
    "zone that counts leap seconds": ("time_zone: UTC", "time_zone: right/UTC", ["no such time zone"]),
    "part of a time zone": ("time_zone: UTC", "time_zone: America", ["no such time zone"]),
    "file for a time zone": ("time_zone: UTC", "time_zone: ../../etc/passwd", ["no such time zone"]),
    "name": ("name: machine_faults", "name: other", ["line 1: name 'other', but the folder is 'machine_faults'"]),
    "name letters": ("name: machine_faults", "name: ../x", ["a name must be 1 to 40 characters"]),
    "date": (
        "start: 2026-03-01",
        "start: 2026-02-31",
        ["line 5: start: expected a calendar date, YYYY-MM-DD, found '2026-02-31'"],
    ),
    "end before start": ("start: 2026-03-01", "start: 2026-03-01\nend: 2026-02-01", ["end 2026-02-01 is before start"]),
    "uri without date": ("date={date}/", "today/", ["{date} exactly once"]),
    "uri elsewhere": ("s3://landing/machine", "file:///etc/machine", ["expected an S3 address"]),
    "uri upwards": ("s3://landing/machine_faults", "s3://landing/../x", ["expected an S3 address"]),
    "range": ("range: [-50, 200]", "range: [200, -50]", ["the first number is greater"]),
    "range of text": (
        "max_length: 8",
        "range: [1, 2]",
        ["range is for columns of type integer or double, this column has type string"],
    ),
    "key": ("key: [reading_id]", "key: [reading]", ["key column 'reading' is not among columns"]),
    "column name": (
        "measured_at:",
        "Measured At:",
        ["sources.readings.columns.Measured At: a column name must be 1 to 63 lower-case letters"],
    ),
    "label in request": ("label: {column: fault", "label: {column: mode", ["the model would see the answer"]),
    "derived": ("ratio(temperature, pressure)", "ratoi(temperature, pressure)", ["Did you mean 'ratio'?"]),
    "derived type": (
        "ratio(temperature, pressure)",
        "weekday(temperature)",
        ["weekday takes a field of type date, and 'temperature' is of type number"],
    ),
    "derived column": ("ratio(temperature, pressure)", "ratio(temperature, mode)", ["'mode' is neither a numeric"]),
    "slices": ("slices: [mode]", "slices: [temperature]", ["gate.slices: 'temperature' is not a request field of type category"]),
    "too few rows to judge": ("slice_min_rows: 50", "max_rows: 40_000", ["gate.max_rows: ", "50000"]),
    "fewer rows to judge than the floor": (
        "floors: {roc_auc: 0.60, rows: 100, positives: 20}",
        "floors: {roc_auc: 0.60, rows: 70000, positives: 20}\n  max_rows: 60000",
        ["gate.max_rows: max_rows 60000 is less than 71320: the number of rows varies, and some holdouts would have fewer than"],
    ),
    "as many rows to judge as the floor": (
        "floors: {roc_auc: 0.60, rows: 100, positives: 20}",
        "floors: {roc_auc: 0.60, rows: 70000, positives: 20}\n  max_rows: 70000",
        ["gate.max_rows: max_rows 70000 is less than 71320: the number of rows varies, and some holdouts would have fewer than"],
    ),
    "min_days beyond what the calendar holds": (
        "time_zone: UTC",
        "time_zone: UTC\ncalendar: {weekdays: [mon, wed]}",
        ["training.min_days: min_days 5 is more than the 4 dates with data", "Lower min_days, or raise window_days"],
    ),
    "no weekday": ("time_zone: UTC", "time_zone: UTC\ncalendar: {weekdays: []}", ["calendar.weekdays: expected at least 1"]),
    "several problems of the calendar": (
        "time_zone: UTC",
        "time_zone: UTC\ncalendar: {weekdays: [mon, Tue, mon], holidays: [2026-02-30, 25.12.2026], hollidays: []}",
        [
            "calendar.weekdays: expected 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun', found 'Tue'",
            "found '2026-02-30'",
            "found '25.12.2026'",
            "calendar.hollidays: unknown key. Did you mean 'holidays'? Allowed: weekdays, holidays",
        ],
    ),
    "doubled holiday": (
        "time_zone: UTC",
        "time_zone: UTC\ncalendar: {holidays: [2026-12-25, 2026-12-25]}",
        ["calendar.holidays: 2026-12-25 is listed twice"],
    ),
    "calendar is called so in what is allowed": ("time_zone: UTC", "time_zone: UTC\ncalender: {}", ["Did you mean 'calendar'?"]),
    "no date with data": (
        "time_zone: UTC",
        "time_zone: UTC\nend: 2026-03-01\ncalendar: {weekdays: [mon]}",
        ["no date from start 2026-03-01 to end 2026-03-01 has data"],
    ),
    "min_days": ("min_days: 5", "min_days: 50", ["no date could ever train"]),
    "a holdout shorter than the gate needs": (
        "  min_days: 2",
        "  min_days: 3",
        ["gate.min_days: min_days 3 is more than training.holdout_days 2", "no date could ever be promoted"],
    ),
    "dates too few to train": (
        "time_zone: UTC",
        "time_zone: UTC\nend: 2026-03-04",
        ["training.min_days: start and end leave 4 dates with data", "min_days 5 with holdout_days 2 needs 5"],
    ),
    "share": ("max_quarantine_share: 0.05", "max_quarantine_share: 5", ["max_quarantine_share"]),
    "duplicate key": ("owner: tests", "owner: tests\nowner: me", ["line 4: owner is set twice"]),
    "alias": ("owner: tests", "owner: &a tests\ntags: [*a]", ["aliases (*name) are not allowed"]),
    "not YAML": ("owner: tests", "owner: [tests", ["not valid YAML: line 3: a [ is not closed"]),
    "python tag": (
        "owner: tests",
        "owner: !!python/object/apply:os.system [id]",
        ["line 3: owner: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed"],
    ),
    "number of nothing": ("owner: tests", "owner: !!int ''", ["line 3: owner: expected a value that can be read, found ''"]),
    "two documents": (
        "owner: tests",
        "owner: tests\n---\nowner: me",
        ["not valid YAML: line 4, column 1: a second document begins"],
    ),
    "list as key": ("owner: tests", "? [a, {b: c}]\n: x\nowner: tests", ["line 3: the file: a key must be plain text"]),
    "lookup without file": (
        "  derived:",
        "  lookups: {rates: {key: [mode], values: [rate]}}\n  derived:",
        ["no file lookups/rates.sql"],
    ),
    "start before all time": ("start: 2026-03-01", "start: 0001-01-01", ["start: expected a date from 1970-01-01 to 2200-12-31"]),
    "start in no year of ours": ("start: 2026-03-01", "start: 9999-12-31", ["start: expected a date from 1970-01-01"]),
    "date of a derived input": (
        "ratio(temperature, pressure)",
        "days_to_nearest(temperature, 2026-2-1)",
        ["line 37: inputs.derived.temperature_per_pressure: expected a calendar date, YYYY-MM-DD, found '2026-2-1'"],
    ),
    "infinite deadline": (
        "deadline_hours: 6",
        "deadline_hours: .inf",
        ["deadline_hours: expected a finite number"],
    ),
    "deadline after all time": (
        "deadline_hours: 6",
        "deadline_hours: 1e300",
        ["deadline_hours: expected at most 168, found 1e+300"],
    ),
    "number too long": ("deadline_hours: 6", f"deadline_hours: {'9' * 5000}", ["expected a value that can be read, found '9999"]),
    "number too large": (
        "max_quarantine_share: 0.05",
        f"max_quarantine_share: {'9' * 400}",
        ["line 16: ", "max_quarantine_share"],
    ),
    "rows beyond 64 bits": ("min_rows: 50", f"min_rows: {2**70}", ["min_rows: expected at most 1000000000000"]),
    "range of nothing": (
        "range: [-50, 200]",
        "range: [.nan, .nan]",
        ["range: expected a finite number, found nan"],
    ),
    "range of text values": ("range: [-50, 200]", "range: [cold, 200]", ["range: expected a number, found 'cold'"]),
    "range of three": ("range: [-50, 200]", "range: [1, 2, 3]", ["range: expected at most 2 of them, found 3"]),
    "range beyond 64 bits": ("range: [1, 1000000000]", f"range: [1, {2**64}]", ["range: expected a number of at most 64 bits"]),
    "enum of numbers": (
        "enum: [idle, normal, boost]",
        "enum: [1]",
        ["enum: expected text, because the type is string, found 1"],
    ),
    "enum doubled": ("enum: [idle, normal, boost]", "enum: [idle, idle]", ["enum: 'idle' is listed twice"]),
    "enum of truth": ("enum: [idle, normal, boost]", "enum: [true]", ["enum: expected text or a whole number", "found true"]),
    "source named as a view": (
        "  readings:",
        "  dates:",
        ["line 10: sources.dates: 'dates' is reserved by Perennial: the view of the"],
    ),
    "source named as the drop": ("  readings:", "  drop:", ["sources.drop: 'drop' is reserved by Perennial"]),
    "column of Iceberg": (
        "      pressure:",
        "      _deleted:",
        ["'_deleted' is reserved by Iceberg: Spark could not read the table", "with `from: _deleted`"],
    ),
    "row key of Iceberg": ("row_key: [reading_id]", "row_key: [_pos]", ["row_key", "'_pos' is reserved by Iceberg"]),
    "column of our own": ("      pressure:", "      __corrupt:", ["'__corrupt' is reserved by Perennial"]),
    "source key doubled": (
        "key: [reading_id]",
        "key: [reading_id, reading_id]",
        ["line 14: sources.readings.key: 'reading_id' is listed twice"],
    ),
    "row key doubled": (
        "row_key: [reading_id]",
        "row_key: [reading_id, reading_id]",
        ["row_key: 'reading_id' is listed twice"],
    ),
    "label in row key": (
        "row_key: [reading_id]",
        "row_key: [reading_id, fault]",
        ["row_key: the label 'fault' cannot be part of the row key"],
    ),
    "slices doubled": ("slices: [mode]", "slices: [mode, mode]", ["gate.slices: 'mode' is listed twice"]),
    "sexagesimal": ("soak_seconds: 1", "soak_seconds: 1:30", ["deployment.soak_seconds: expected a number, found '1:30'"]),
    "yes": ("{type: boolean}", "{type: boolean, required: yes}", ["required: expected true or false, found 'yes'"]),
    "octal": ("window_days: 4", "window_days: 010", ["training.window_days: expected a whole number, found '010'"]),
    "truth as a number": ("window_days: 4", "window_days: true", ["training.window_days: expected a whole number, found true"]),
    "number as text": (
        "null_text: unknown",
        "null_text: -999",
        ["expected text (in quotes, if it looks like a number), found -999"],
    ),
    "nothing as text": ("owner: tests", "owner:", ["line 3: owner: expected text", "found nothing"]),
    "list for a mapping": (
        "deployment: {replicas: 1, p99_ms: 200, soak_seconds: 1}",
        "deployment: [1]",
        ["deployment: expected a mapping of keys, found a list"],
    ),
    "unknown key of what may be missing": (
        "deployment: {replicas: 1",
        "deployment: {autoscaling: {max_replicas: 2, min_replicas: 1}, replicas: 1",
        ["deployment.autoscaling.min_replicas: unknown key. Did you mean 'max_replicas'? Allowed: max_replicas, cpu_percent"],
    ),
    "fewer at most than at least": (
        "deployment: {replicas: 1",
        "deployment: {autoscaling: {max_replicas: 2}, replicas: 5",
        ["deployment.autoscaling: max_replicas 2 is less than replicas 5"],
    ),
    "memory without a unit": (
        "deployment: {",
        "deployment: {memory: '512', ",
        ["deployment.memory: expected a size with a unit", "'512'"],
    ),
    "memory in thousandths": ("deployment: {", "deployment: {memory: 250m, ", ["expected a size with a unit, such as 512Mi"]),
    "memory beyond reason": ("deployment: {", "deployment: {memory: 9999999Ti, ", ["16Mi to 16Ti"]),
    "processors in bytes": (
        "deployment: {",
        "deployment: {cpu: 512Mi, ",
        ["deployment.cpu: expected a number of CPUs, such as 2, 0.5 or 250m"],
    ),
    "column that ends before it begins": (
        "mode: {type: string,",
        "mode: {since: 2026-03-05, until: 2026-03-01, type: string,",
        ["sources.readings.columns.mode", "until 2026-03-01 is before since 2026-03-05: no drop would need the column"],
    ),
    "optional column that begins": (
        "mode: {type: string,",
        "mode: {since: 2026-03-05, optional: true, type: string,",
        ["an optional column may be missing on any date; remove since and until, or optional"],
    ),
    "key that may be missing": (
        "reading_id: {type: integer,",
        "reading_id: {since: 2026-03-05, type: integer,",
        [
            "line 14: sources.readings.key",
            "key column 'reading_id' may be missing (since, until, optional): every row needs its key",
        ],
    ),
    "reference with dates": (
        "label: {",
        "references:\n  planes: {uri: 's3://landing/planes.csv', key: [a], "
        "columns: {a: {type: string}, b: {type: string, until: 2026-03-05}}}\n\nlabel: {",
        [
            "references.planes.columns.b.until: a reference has no dates: "
            "use optional for a column that may be missing, found until"
        ],
    ),
    "label of nodes": (
        "window_days: 4",
        "window_days: 4, resources: {node_selector: {'Not A Key!': x}, gpu_name: ../gpu}",
        ["'Not A Key!'", "training.resources.gpu_name: expected a Kubernetes label name"],
    ),
    "tolerated value": (
        "window_days: 4",
        "window_days: 4, resources: {tolerations: [{key: pool, operator: Exists, value: gpu}]}",
        ["training.resources.tolerations.0.value: operator Exists takes no value"],
    ),
    "text for a list": ("slices: [mode]", "slices: mode", ["gate.slices: expected a list, found 'mode'"]),
    "merge key": ("deployment: {", "deployment: {<<: {p99_ms: 1}, ", ["deployment.<<: merge keys (<<) are not allowed"]),
    "key that is a list": ("owner: tests", "? [owner]\n: tests", ["line 3: the file: a key must be plain text"]),
    "key that cannot be shown": ("owner: tests", '"ow\\u0007ner": tests', ["line 3: the file: a key must be plain text"]),
    "key of the loader": ("owner: tests", "folder: /etc", ["line 3: folder: unknown key"]),
    "empty title": ("title: Machines about to fail", "title: ''", ["line 2: title: expected text that is not empty"]),
    "long title": ("title: Machines about to fail", f"title: {'x' * 201}", ["title: expected at most 200 characters"]),
    "title with a bell": (
        "title: Machines about to fail",
        'title: "Machines\\aabout"',
        ["title: the character '\\x07' cannot be shown"],
    ),
    "title of two lines": ("title: Machines about to fail", 'title: "a\\nb"', ["title: the character '\\n' cannot be shown"]),
    "title that reorders": (
        "title: Machines about to fail",
        'title: "a\\u202eb"',
        ["title: the character '\\u202e' cannot be shown"],
    ),
    "half a character": (
        "title: Machines about to fail",
        'title: "a\\ud800b"',
        ["not valid YAML: line 2, column 12", "invalid Unicode character"],
    ),
    "tag too long": ("tags: [test]", f"tags: [test, {'x' * 101}]", ["line 7: tags: expected at most 100 characters"]),
    "tag empty": ("tags: [test]", "tags: ['']", ["line 7: tags: expected text that is not empty"]),
    "tag doubled": ("tags: [test]", "tags: [test, test]", ["line 7: tags: 'test' is listed twice"]),
    "tags without end": ("tags: [test]", f"tags: {list(map(str, range(30)))}", ["tags: expected at most 20 of them, found 30"]),
}


@pytest.mark.parametrize("case", CASES)
def test_refuses(refusal: Callable[[str], str], case: str) -> None:
    old, new, expected = CASES[case]
    assert TEXT.count(old) >= 1
    found = refusal(TEXT.replace(old, new, 1))
    for text in expected:
        assert text in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "expected a mapping"), ("- a", "expected a mapping"), ("a: 1\n" * 300_000, "more than 200,000 bytes")],
)
def test_refuses_what_is_no_pipeline(refusal: Callable[[str], str], text: str, expected: str) -> None:
    assert expected in refusal(text)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/date={date}/",
        "/etc/date={date}/",
        "http://127.0.0.1/date={date}/",
        "s3a://landing/date={date}/",
        "S3://landing/date={date}/",
        "s3://user@landing/date={date}/",
        "s3://landing/../perennial/date={date}/",
        "s3://landing/%2e%2e/perennial/date={date}/",
        "s3://landing/date={date}/?versionId=1/",
        "s3://landing/date={date}/#/",
        "s3://LANDING/date={date}/",
        "s3://landing/{other}/date={date}/",
        "s3://landing/a b/date={date}/",
        "s3://landing/a\\b/date={date}/",
        "s3://landing/\u202e/date={date}/",
        "s3://landing/\x1b[2J/date={date}/",
    ],
    ids=ascii,
)
def test_address_of_another_form_is_refused(refusal: Callable[[str], str], uri: str) -> None:
    address = next(line for line in TEXT.splitlines() if line.strip().startswith("uri:"))
    found = refusal(TEXT.replace(address, f"    uri: {json.dumps(uri)}", 1))
    assert "sources.readings.uri: expected an S3 address such as s3://bucket/folder/date={date}/" in found
    assert found.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["../x", "a\nb", "a'b", 'a"b', "a\x1b[2J", "flight_delays", "a" * 41, "A", "", "é"], ids=ascii)
def test_name_of_another_form_or_folder_is_refused(refusal: Callable[[str], str], name: str) -> None:
    found = refusal(TEXT.replace("name: machine_faults", f"name: {json.dumps(name)}", 1))
    assert "a name must be 1 to 40 characters" in found or f"name {name!r}, but the folder is 'machine_faults'" in found
    assert found.replace("\n", "").isprintable()


def test_all_problems_at_once(refusal: Callable[[str], str]) -> None:
    found = refusal(TEXT.replace("title:", "titel:").replace("min_rows: 50", "min_rows: many").replace("task: binary", "task: x"))
    assert " problems\n" in found
    for text in ("titel: unknown key", "title: missing", "min_rows", "task: expected 'binary', 'multiclass' or 'regression'"):
        assert text in found


def test_sql_that_belongs_to_nothing_is_refused(pipeline_factory, tmp_path: Path) -> None:
    folder = pipeline_factory().folder
    (folder / "sources").mkdir()
    (folder / "sources" / "reading.sql").write_text("SELECT 1")
    with pytest.raises(
        PipelineRefusedError,
        match=r"sources/reading\.sql: the YAML has no source or reference 'reading'.*Did you mean 'readings'",
    ):
        read_pipeline(folder / "pipeline.yaml")


def test_missing_features_sql_is_refused(pipeline_factory) -> None:
    folder = pipeline_factory().folder
    (folder / "features.sql").unlink()
    with pytest.raises(PipelineRefusedError, match=r"features\.sql is missing"):
        read_pipeline(folder / "pipeline.yaml")


def test_a_label_that_is_known_later_has_a_file_of_its_own(pipeline_factory) -> None:
    folder = pipeline_factory(name="returned_orders").folder
    (folder / "labels.sql").unlink()
    with pytest.raises(PipelineRefusedError, match=r"labels\.sql is missing: .* known 2 days after its date"):
        read_pipeline(folder / "pipeline.yaml")


@pytest.mark.parametrize("later", ["", ", known_after_days: 0"], ids=["default", "zero"])
def test_labels_sql_of_a_label_that_is_not_known_later_is_refused(pipeline_factory, later: str) -> None:
    folder = pipeline_factory().folder
    yaml = folder / "pipeline.yaml"
    yaml.write_text(TEXT.replace("positive: true}", f"positive: true{later}}}"))
    assert read_pipeline(yaml).label.known_after_days == 0
    (folder / "labels.sql").write_text("SELECT 1")
    with pytest.raises(PipelineRefusedError, match=r"line \d+: labels\.sql is for a label that is known later"):
        read_pipeline(yaml)


@pytest.mark.parametrize("days", [-1, 61, 1.5, True, "'2'"])
def test_days_until_a_label_is_known_have_bounds(pipeline_factory, days: object) -> None:
    yaml = pipeline_factory().folder / "pipeline.yaml"
    yaml.write_text(TEXT.replace("positive: true}", f"positive: true, known_after_days: {str(days).lower()}}}"))
    with pytest.raises(PipelineRefusedError, match=r"label\.known_after_days: expected"):
        read_pipeline(yaml)


def test_unknown_pipeline_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PipelineRefusedError, match="Did you mean 'machine_faults'"):
        load_pipeline("machine_fault", REPO / "tests/pipelines")


def test_edit_changes_the_document(pipeline_factory) -> None:
    def shorter(document: dict[str, Any]) -> None:
        document["training"]["window_days"] = 3

    assert pipeline_factory(shorter).training.window_days == 3


SECOND = """  shifts:
    uri: "{uri}"
    key: [id]
    columns: {{id: {{type: integer}}}}
"""


@pytest.mark.parametrize(
    "uri",
    [
        "s3://landing/machine_faults/readings/date={date}/",
        "s3://landing/machine_faults/readings/date={date}/shifts/",
        "s3://landing/machine_faults/readings/date=2026-03-01/{date}/",
        "s3://landing/machine_faults/readings/{date}/",
    ],
    ids=["same", "inside", "inside one date", "apart"],
)
def test_sources_that_overlap(refusal: Callable[[str], str], uri: str) -> None:
    found = refusal(TEXT.replace("label:", SECOND.format(uri=uri) + "label:", 1).replace("task: binary", "task: x"))

    assert ("sources.shifts.uri: it is inside a folder of source 'readings'" in found) == ("/date=" in uri)


def test_source_around_another_is_told_once_where_it_is_inside(refusal: Callable[[str], str]) -> None:
    found = refusal(
        TEXT.replace("label:", SECOND.format(uri="s3://landing/machine_faults/readings/date={date}/a/") + "label:", 1)
    )

    assert "1 problem" not in found
    assert "sources.readings.uri" not in found


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://landing/planes.txt", "expected the address of one .csv or .csv.gz object, without {date}"),
        ("s3://landing/planes/", "expected the address of one .csv or .csv.gz object, without {date}"),
        ("s3://landing/{date}/planes.csv", "expected the address of one .csv or .csv.gz object, without {date}"),
        ("s3://landing/{dat}/planes.csv", "expected an S3 address"),
        ("s3://landing/machine_faults/readings/date=2026-03-01/planes.csv", "it is inside a folder of source 'readings'"),
    ],
)
def test_reference_elsewhere(refusal: Callable[[str], str], uri: str, expected: str) -> None:
    reference = SECOND.replace("shifts", "planes").format(uri=uri)
    found = refusal(TEXT.replace("label:", "references:\n" + reference + "label:", 1))

    assert f"references.planes.uri: {expected}" in found


LOOKUPS = {
    "key doubled": ("{key: [mode, mode], values: [rate]}", ["lookups.rates.key: 'mode' is listed twice"]),
    "value doubled": ("{key: [mode], values: [rate, rate]}", ["lookups.rates.values: 'rate' is listed twice"]),
    "value named as a key": (
        "{key: [mode], values: [mode]}",
        ["lookups.rates.values: value 'mode' is also a key of the lookup"],
    ),
    "value named as a request field": ("{key: [mode], values: [a]}", ["its name 'rates__a' is also a request field"]),
    "value named as a derived input": (
        "{key: [mode], values: [b]}",
        ["inputs.derived.rates__b: 'rates__b' is also the name of a lookup value"],
    ),
    "key that is no category": (
        "{key: [temperature], values: [c]}",
        ["key 'temperature' is not a request field of type category"],
    ),
}


@pytest.mark.parametrize("case", LOOKUPS)
def test_lookup_that_collides(refusal: Callable[[str], str], case: str) -> None:
    lookup, expected = LOOKUPS[case]
    text = TEXT.replace("  derived:", f"  lookups:\n    rates: {lookup}\n  derived:\n    rates__b: is_missing(pressure)", 1)
    found = refusal(text.replace("    mode: category\n", "    mode: category\n    rates__a: number\n", 1))

    for part in expected:
        assert part in found


def test_two_lookups_whose_values_share_a_name(refusal: Callable[[str], str]) -> None:
    lookups = "  lookups:\n    a: {key: [mode], values: [b__c]}\n    a__b: {key: [mode], values: [c]}\n"
    assert "its name 'a__b__c' is also the name of a value of 'a'" in refusal(
        TEXT.replace("  derived:", lookups + "  derived:", 1)
    )


def test_a_wrong_value_hides_no_other_and_lines_are_in_order(refusal: Callable[[str], str]) -> None:
    wrong = {
        "start: 2026-03-01": "start: 2026-02-31",
        "owner: tests": "owner: *someone",
        "tags: [test]": "tags: [test, test]",
        "    key: [reading_id]": "    key: [reading]",
        "row_key: [reading_id]": "row_key: [fault]",
        "slices: [mode]": "slices: [mood]",
        "task: binary": "task: x\ntask: y",
    }
    text = TEXT
    for old, new in wrong.items():
        text = text.replace(old, new, 1)

    found = refusal(text)

    lines = [int(line.removeprefix("  - line ").partition(":")[0]) for line in found.splitlines() if line.startswith("  - line")]
    assert lines == [3, 5, 7, 14, 28, 39, 40, 46]


def test_words_of_yaml_1_1_are_plain_text(pipeline_factory) -> None:
    folder = pipeline_factory().folder
    text = (folder / "pipeline.yaml").read_text().replace("owner: tests", "owner: no").replace("- idle", "- off")
    (folder / "pipeline.yaml").write_text(text)

    pipeline = read_pipeline(folder / "pipeline.yaml")

    assert pipeline.owner == "no"
    assert pipeline.sources["readings"].columns["mode"].enum == ["off", "normal", "boost"]


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 100_000, "a: " + "{a: " * 40_000, "".join(" " * depth + "a:\n" for depth in range(500)), "- " * 50_000],
    ids=["lists", "mappings", "indented", "dashes"],
)
def test_deep_nesting_is_refused_soon(refusal: Callable[[str], str], text: str) -> None:
    began = time.monotonic()

    assert "nested more than 20 levels deep" in refusal(text)
    assert time.monotonic() - began < 5


@pytest.mark.exhaustive
def test_no_text_of_the_validator_shows_through(tmp_path: Path) -> None:
    """Give every key a value of a wrong kind: what is said is ours."""
    shutil.copytree(REPO / "tests/pipelines/machine_faults", tmp_path / "machine_faults")
    file = tmp_path / "machine_faults" / "pipeline.yaml"
    said = []
    valid = yaml.safe_load(TEXT)
    for wrong in ("[1]", "{a: 1}", "x", "9" * 400):
        for key, _ in _places(valid):
            document = deepcopy(valid)
            _put(document, key, yaml.safe_load(wrong))
            file.write_text(yaml.safe_dump(document, sort_keys=False))
            try:
                read_pipeline(file)
            except PipelineRefusedError as refused:
                said.append(str(refused))

    assert len(said) > 250
    foreign = ("Input should", "Value error", "validation", "pydantic", "Field required", "a valid")
    assert [text for text in said for words in foreign if words in text] == []


def _places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*at, key), value
        if isinstance(value, dict | list):
            yield from _places(value, (*at, key))


def _put(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for part in place[:-1]:
        document = document[part]
    document[place[-1]] = value

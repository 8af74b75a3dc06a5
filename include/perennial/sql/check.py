"""Check a pipeline's SQL without Spark, and report errors that Spark would certainly raise before a job starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlglot import exp

from perennial.config.pipeline import Pipeline
from perennial.config.problems import see_pages
from perennial.config.values import ICEBERG_COLUMNS, RESERVED_BY_ICEBERG
from perennial.errors import PipelineRefusedError, did_you_mean
from perennial.sql.bounded import MAX_SECONDS, within_limit
from perennial.sql.columns import look_at_columns, untyped_nulls
from perennial.sql.date_conditions import find_conditions
from perennial.sql.earlier_days import earlier_day_problems, unbounded_problems
from perennial.sql.finding import Doubt, Problem
from perennial.sql.functions import function_problems
from perennial.sql.later_days import later_day_problems
from perennial.sql.nulls import null_warnings
from perennial.sql.origins import Origin, find_origins
from perennial.sql.own_day import own_day_problems
from perennial.sql.parse import parse_query
from perennial.sql.refused_functions import refused_texts
from perennial.sql.sees import Sees, analyses_see, features_see, labels_see, lookups_see
from perennial.sql.tables import doubled_names, table_problems
from perennial.sql.types import CONTRACT_TYPES, Types, Wanted, family_of, infer_types, type_problems
from perennial.sql.unparsed import problems_of_tokens
from perennial.sql.wanted import DATE, label_type, lookup_types, request_types


@dataclass(slots=True)
class Findings:
    """
    The findings of a check.

    :param problems: certain problems
    :param doubts: warnings: SQL that could not be checked, and fields that are null on some dates
    :param unchecked: the files that could not be checked
    """

    problems: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Table:
    """The columns that a query yields (None: not certain), and those of their types and origins that are certain."""

    columns: list[str] | None
    types: Types
    origins: Mapping[str, Origin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """
    The columns that a file must yield; with `only`, no others.

    :param types: the types that these columns must have, where they are fixed
    :param later_label: the label that labels.sql yields
    """

    columns: tuple[str, ...]
    only: bool
    types: Mapping[str, Wanted] = field(default_factory=dict)
    later_label: str | None = None


def check_sql(pipeline: Pipeline) -> Findings:
    """Check all SQL files of a pipeline. Uncertain findings are not problems: Spark decides."""
    findings = Findings()
    views: dict[str, Table] = {"dates": Table(["date", "as_of"], {"date": "date", "as_of": "date"})}
    shaped, steps = pipeline.sql_files("sources"), pipeline.clean_steps()
    for name, spec in pipeline.tables.items():
        dated = {"date": "date"} if name in pipeline.sources else {}
        types = {**dated, **{column: CONTRACT_TYPES[contract.type] for column, contract in spec.columns.items()}}
        views[name] = Table(list(types), types)
        if name in shaped:
            expected = Expected(tuple(dated), only=False, types=dict.fromkeys(dated, DATE))
            views[name] = _check(findings, f"sources/{name}.sql", shaped[name], {"drop": views[name]}, expected)
        elif name in steps:
            views[name] = Table(None, {})  # only the step itself can tell its columns
    inputs, label = pipeline.inputs, pipeline.label
    row = dict.fromkeys(("date", *pipeline.row_key))
    own_label = {} if label.known_after_days else label_type(label)
    sources, lookback = tuple(pipeline.sources), pipeline.training.lookback_days
    features = Expected(
        tuple(dict.fromkeys((*row, *inputs.request, *own_label))),
        only=True,
        types={**request_types(inputs.request, inputs.request), **own_label},
        later_label=label.column if label.known_after_days else None,
    )
    sees = features_see(sources, lookback, label.known_after_days)
    made = _check(findings, "features.sql", pipeline.sql("features.sql"), views, features, sees=sees)
    steps_sql = {name: views[name].origins for name in (*shaped, *steps)}
    findings.doubts.extend(null_warnings(pipeline, made.origins, steps_sql))
    if label.known_after_days:
        key_types = _key_types([name for name in row if name not in inputs.request], made.types)
        types_wanted = {**key_types, **request_types(inputs.request, row), **label_type(label)}
        labels = Expected((*row, label.column), only=True, types=types_wanted)
        sees = labels_see(sources, lookback, label.known_after_days)
        _check(findings, "labels.sql", pipeline.sql("labels.sql"), views, labels, sees=sees, before_midnight=True)
    for name, text in pipeline.sql_files("lookups").items():
        lookup = inputs.lookups[name]
        lookup_columns = Expected(("as_of", *lookup.key, *lookup.values), only=True, types=lookup_types(name, lookup))
        sees = lookups_see(sources, lookback)
        _check(findings, f"lookups/{name}.sql", text, views, lookup_columns, sees=sees, before_midnight=True, must_bound=True)
    for name, text in pipeline.sql_files("analysis").items():
        dated_only = Expected(("date",), only=False, types={"date": DATE})
        _check(findings, f"analysis/{name}.sql", text, views, dated_only, sees=analyses_see(sources, lookback))
    return findings


def require_valid(pipeline: Pipeline, findings: Findings) -> None:
    """Raise PipelineRefusedError with all certain problems of a pipeline's SQL, if it has any."""
    if findings.problems:
        pages = see_pages("docs/reference/pipeline.md, SQL files", findings.problems)
        raise PipelineRefusedError(f"{pipeline.folder}", findings.problems, pages)


def _key_types(names: list[str], features: Types) -> dict[str, Wanted]:
    """Return the types of row key columns that are no request fields: labels.sql must repeat those of features.sql."""
    families = {name: family for name in names if (family := family_of(features.get(name)))}
    return {
        name: Wanted(frozenset((family,)), f"it is of type {features[name]} in features.sql", {})
        for name, family in families.items()
    }


def _check(
    findings: Findings,
    file: str,
    text: str,
    views: Mapping[str, Table],
    expected: Expected,
    *,
    sees: Sees | None = None,
    before_midnight: bool = False,
    must_bound: bool = False,
) -> Table:
    """
    Add the findings of one file; return what it yields.

    :param before_midnight: the file may see days before `as_of`, but not the day that begins then
    :param must_bound: the file sums up earlier days, so it must name the first one
    """

    def look() -> dict[str, Any]:
        found = Findings()
        table = _look(found, file, text, views, expected, sees=sees, before_midnight=before_midnight, must_bound=must_bound)
        return {"findings": asdict(found), "table": asdict(table)}

    findings.problems.extend(f"{file}: {problem}" for problem in refused_texts(text))
    try:
        said: Any = within_limit(look)
    except TimeoutError:
        findings.unchecked.append(file)
        findings.doubts.append(f"{file}: too large to be checked: its names and types take more than {MAX_SECONDS} s to find")
        return Table(None, {})
    for kind, texts in said["findings"].items():
        getattr(findings, kind).extend(texts)
    table = said["table"]
    return Table(table["columns"], table["types"], {name: (view, column) for name, (view, column) in table["origins"].items()})


def _look(
    findings: Findings,
    file: str,
    text: str,
    views: Mapping[str, Table],
    expected: Expected,
    *,
    sees: Sees | None,
    before_midnight: bool,
    must_bound: bool,
) -> Table:
    """Do the work of `_check` whose time does not follow from the length of the text."""
    try:
        tree = parse_query(file, text)
    except Problem as problem:
        findings.problems.append(str(problem))
        return Table(None, {})
    except Doubt as doubt:
        if refused := sorted(set(problems_of_tokens(text))):
            findings.problems.extend(f"{file}, line {line}: {problem}" for line, problem in refused)
            return Table(None, {})
        findings.unchecked.append(file)
        findings.doubts.append(str(doubt))
        return Table(None, {})
    if doubled := doubled_names(tree):
        findings.unchecked.append(file)
        findings.doubts.append(
            f"{file}: one FROM reads two tables named {' and two named '.join(map(repr, doubled))}, so their columns are not "
            "checked. Spark refuses a column that both have. Give each table an alias of its own"
        )
    columns = {name: table.columns for name, table in views.items()}
    unknown, yielded = look_at_columns(tree, columns)
    types = infer_types(tree, {name: table.types for name, table in views.items()})
    own_day = list(own_day_problems(tree)) if before_midnight else []
    reported = {line for line, _ in own_day}
    days = [problem for problem in _day_problems(tree, sees, must_bound) if problem[0] not in reported] if sees else []
    of_names = (*table_problems(tree, views), *function_problems(tree, columns), *untyped_nulls(tree), *unknown)
    problems = sorted({*of_names, *type_problems(tree, types, expected.types), *own_day, *days})
    findings.problems.extend(f"{file}, line {line}: {problem}" if line else f"{file}: {problem}" for line, problem in problems)
    if yielded is not None:
        findings.problems.extend(f"{file}: {problem}" for problem in _output_problems(yielded, expected))
    return Table(yielded, types, find_origins(tree, columns))


def _day_problems(tree: exp.Expr, sees: Sees, must_bound: bool) -> Iterator[tuple[int, str]]:
    conditions = find_conditions(tree, sees.sources, sees.midnight)
    yield from later_day_problems(conditions, sees)
    yield from earlier_day_problems(conditions, sees)
    if must_bound:
        yield from unbounded_problems(tree, conditions, sees)


def _output_problems(yielded: list[str], expected: Expected) -> Iterator[str]:
    extra = [name for name in dict.fromkeys(yielded) if name not in expected.columns]
    for name in expected.columns:
        if name not in yielded:
            yield f"column {name!r} is missing in the SELECT list.{did_you_mean(name, extra)}"
    for name in dict.fromkeys(yielded):
        if yielded.count(name) > 1:
            yield f"column {name!r} is selected twice"
        if name in ICEBERG_COLUMNS and not expected.only:
            yield f"column {name!r} {RESERVED_BY_ICEBERG}"
    for name in extra if expected.only else ():
        if name == expected.later_label:
            yield f"column {name!r} is the label, which is known only after its date: select it only in labels.sql"
        else:
            yield f"column {name!r} is not one that pipeline.yaml declares for this file"

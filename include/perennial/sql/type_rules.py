"""
The rules that give an expression its type: those of sqlglot that agree with Spark, and stricter ones where they do not.

An expression of any other class has no type that is certain, and neither has an expression that is built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.optimizer.annotate_types import TypeAnnotator

_TYPE = exp.DType

FAMILIES = {
    **dict.fromkeys((_TYPE.VARCHAR, _TYPE.TEXT, _TYPE.CHAR), "text"),
    **dict.fromkeys((_TYPE.TINYINT, _TYPE.SMALLINT, _TYPE.INT, _TYPE.BIGINT), "whole number"),
    **dict.fromkeys((_TYPE.FLOAT, _TYPE.DOUBLE, _TYPE.DECIMAL), "fraction"),
    _TYPE.BOOLEAN: "boolean",
    _TYPE.DATE: "date",
    **dict.fromkeys((_TYPE.TIMESTAMP, _TYPE.TIMESTAMPLTZ, _TYPE.TIMESTAMPTZ), "timestamp"),
}
"""Types by what a column of pipeline.yaml may hold; within a family the job casts without loss, or accepts any type."""

NUMBERS = frozenset(("whole number", "fraction"))
_DAYS = frozenset(("DAY", "DAYS", "WEEK", "WEEKS", "MONTH", "MONTHS", "YEAR", "YEARS"))
_WHOLE_PARTS = frozenset(("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAYOFWEEK", "DOW", "DOY", "HOUR", "MINUTE"))

Type: TypeAlias = exp.DataType | exp.DType
OwnRule = Callable[[exp.Expr], Type | None]

_AS_SQLGLOT = (
    *(exp.Alias, exp.Paren, exp.Subquery, exp.Literal, exp.Boolean, exp.Null, exp.Cast, exp.TryCast, exp.Interval),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between),
    *(exp.Like, exp.ILike, exp.RegexpLike, exp.Exists, exp.LogicalAnd, exp.LogicalOr, exp.Contains, exp.StartsWith, exp.EndsWith),
    *(exp.Window, exp.Filter, exp.Distinct, exp.IgnoreNulls, exp.RespectNulls, exp.Max, exp.Min, exp.First, exp.Last),
    *(exp.FirstValue, exp.LastValue, exp.AnyValue, exp.Avg, exp.Count, exp.CountIf, exp.ApproxDistinct),
    *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.PercentRank, exp.CumeDist),
    *(exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr),
    *(exp.Sqrt, exp.Cbrt, exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.Sin, exp.Cos, exp.Tan, exp.Atan, exp.Atan2, exp.Radians),
    *(exp.Year, exp.Month, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfYear, exp.WeekOfYear, exp.Quarter),
    *(exp.Hour, exp.Minute, exp.Second, exp.Length, exp.StrPosition, exp.Levenshtein, exp.Ascii, exp.UnixDate),
    *(exp.Upper, exp.Lower, exp.Trim, exp.Initcap, exp.Replace, exp.RegexpReplace, exp.RegexpExtract, exp.ConcatWs, exp.DPipe),
    *(exp.Repeat, exp.TimeToStr, exp.Hex, exp.MD5, exp.SHA2),
    *(exp.LastDay, exp.NextDay, exp.AddMonths, exp.MonthsBetween, exp.TsOrDsToDate, exp.Date, exp.DateFromParts),
)


def family(node: exp.Expr | None) -> str | None:
    """Return the family of an annotated expression, or None if it is not certain."""
    kind = getattr(node, "type", None)
    return None if kind is None else FAMILIES.get(kind.this)


def _set(rule: OwnRule) -> dict[str, Any]:
    """Return a rule as sqlglot has them; `rule` returns the type of an expression, or None if it is not certain."""

    def annotate(annotator: TypeAnnotator, node: exp.Expr) -> exp.Expr:
        annotator._set_type(node, rule(node) or _TYPE.UNKNOWN)
        return node

    return {"annotator": annotate}


def _common(nodes: Iterable[exp.Expr | None]) -> Type | None:
    """Return the type of results that meet in one column: they are of one family, or all are numbers; NULL fits any."""
    typed = [node for node in nodes if node is not None and not (node.type and node.type.this == _TYPE.NULL)]
    families = {family(node) for node in typed}
    if families == {"whole number", "fraction"}:
        return next(node.type for node in typed if family(node) == "fraction")
    return typed[0].type if len(families) == 1 and None not in families else None


def _calculated(node: exp.Expr) -> Type | None:
    """Return the type of an arithmetic expression: of numbers, of a date and days, or of a timestamp and an interval."""
    left, right = node.this, node.expression
    families = {family(left), family(right)}
    if families <= NUMBERS:
        return _TYPE.DOUBLE if "fraction" in families or isinstance(node, exp.Div) else _TYPE.BIGINT
    if not isinstance(node, exp.Add | exp.Sub):
        return None
    if family(left) == "date" and (family(right) == "whole number" or _has_unit(right, _DAYS)):
        return _TYPE.DATE
    return _TYPE.TIMESTAMP if family(left) == "timestamp" and isinstance(right, exp.Interval) else None


def _has_unit(node: exp.Expr, units: frozenset[str]) -> bool:
    unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
    return unit is not None and unit.name.upper() in units


def _number(node: exp.Expr) -> Type | None:
    return node.this.type if family(node.this) in NUMBERS else None


def _sum(node: exp.Expr) -> Type | None:
    return {"whole number": _TYPE.BIGINT, "fraction": _TYPE.DOUBLE}.get(family(node.this) or "")


def _whole(node: exp.Expr) -> Type | None:
    """Return the type of FLOOR and CEIL: that of a decimal is a decimal."""
    is_plain = not node.args.get("decimals") and node.this.type is not None and node.this.type.this != _TYPE.DECIMAL
    return _TYPE.BIGINT if is_plain and family(node.this) in NUMBERS else None


def _text(node: exp.Expr) -> Type | None:
    return _TYPE.TEXT if family(node.this) == "text" else None


def _added(node: exp.Expr) -> Type | None:
    unit = node.args.get("unit")
    return _TYPE.DATE if unit is None or unit.name.upper() in ("DAY", "DAYS") else None


_OWN: dict[type[exp.Expr], OwnRule] = {
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod), _calculated),
    exp.IntDiv: lambda node: _TYPE.BIGINT if {family(node.this), family(node.expression)} <= NUMBERS else None,
    exp.SafeDivide: lambda node: _TYPE.DOUBLE if {family(node.this), family(node.expression)} <= NUMBERS else None,
    **dict.fromkeys((exp.Neg, exp.Abs, exp.Round), _number),
    exp.Sum: _sum,
    **dict.fromkeys((exp.Floor, exp.Ceil), _whole),
    exp.Case: lambda node: _common([*(branch.args.get("true") for branch in node.args["ifs"]), node.args.get("default")]),
    exp.If: lambda node: _common((node.args.get("true"), node.args.get("false"))),
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), lambda node: _common((node.this, *node.expressions))),
    **dict.fromkeys((exp.Nullif, exp.Lag, exp.Lead), lambda node: node.this.type),
    **dict.fromkeys((exp.Substring, exp.Left, exp.Right, exp.Pad), _text),
    exp.Concat: lambda node: _TYPE.TEXT if {family(item) for item in node.expressions} == {"text"} else None,
    exp.Extract: lambda node: _TYPE.INT if node.name.upper() in _WHOLE_PARTS else None,
    **dict.fromkeys((exp.TsOrDsAdd, exp.DateAdd, exp.DateSub), _added),
    exp.DateDiff: lambda node: _TYPE.BIGINT,
}

RULES: dict[type[exp.Expr], dict[str, Any]] = {
    **{kind: Spark.EXPRESSION_METADATA[kind] for kind in _AS_SQLGLOT},
    **{kind: _set(rule) for kind, rule in _OWN.items()},
}

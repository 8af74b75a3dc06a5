"""The contract of the inputs of a model: request fields, lookups, derived inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from perennial.config.contract import Contract
from perennial.config.derived import FUNCTIONS, parse_derived
from perennial.config.limits import MAX_FIELDS
from perennial.config.values import Column, Distinct, Expression, FieldName, Problem, Some, TableName, refuse


def _short_field(value: Any) -> Any:
    """Read `number?` as {type: number, nullable: true}."""
    if isinstance(value, str):
        return {"type": value.removesuffix("?"), "nullable": value.endswith("?")}
    return value


class RequestField(Contract):
    """One field of a request: `number`, `category`, `time` (HH:MM), `date` or `boolean`; a `?` after the type allows null."""

    type: Literal["number", "category", "time", "date", "boolean"]
    nullable: bool = False


class Lookup(Contract):
    """A table frozen into a release: values by key. lookups/<name>.sql yields as_of, the key and the values."""

    key: Annotated[Some[Column], Field(max_length=4)]
    values: Some[Column]

    @field_validator("values")
    @classmethod
    def _is_no_key(cls, values: list[str], info: ValidationInfo) -> list[str]:
        key = info.data.get("key", [])
        refuse(((index,), f"value {name!r} is also a key of the lookup") for index, name in enumerate(values) if name in key)
        return values


Request = Annotated[RequestField, BeforeValidator(_short_field)]


class Inputs(Contract):
    """The inputs of the model: request fields, inputs derived from them, and values looked up by them."""

    request: Annotated[dict[FieldName, Request], Field(min_length=1, max_length=MAX_FIELDS)]
    lookups: dict[TableName, Lookup] = {}
    derived: dict[Column, Expression] = {}
    categories: Distinct[Column] = []
    """Derived inputs that are categories rather than quantities (weekday, hour); they are one-hot encoded."""

    identifiers: Distinct[Column] = []
    """Request fields of type category that are only lookup keys (a tail number); the model does not see them."""

    max_classes: Annotated[int, Field(ge=2, le=100_000)] = 1000
    """Maximum number of classes of a category. If it has more, the most frequent keep a class each, and the rare share one."""

    @field_validator("lookups")
    @classmethod
    def _keys_are_categories(cls, lookups: dict[str, Lookup], info: ValidationInfo) -> dict[str, Lookup]:
        request = info.data.get("request")
        if request is None:
            return lookups
        keys = [(name, index, key) for name, lookup in lookups.items() for index, key in enumerate(lookup.key)]
        problems: list[Problem] = [
            ((name, "key", index), f"key {key!r} is not a request field of type category")
            for name, index, key in keys
            if key not in _texts(request)
        ]
        names: dict[str, str] = {}
        for name, lookup in lookups.items():
            for index, value in enumerate(lookup.values):
                full = f"{name}__{value}"
                if full in request:
                    problems.append(((name, "values", index), f"its name {full!r} is also a request field. Rename one of them"))
                if full in names:
                    problems.append(
                        ((name, "values", index), f"its name {full!r} is also the name of a value of {names[full]!r}")
                    )
                names[full] = name
        refuse(problems)
        return lookups

    @field_validator("derived")
    @classmethod
    def _can_be_computed(cls, derived: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        request, lookups = info.data.get("request"), info.data.get("lookups")
        if request is None or lookups is None:
            return derived
        refuse(_derived_problems(derived, request, set(_values(lookups))))
        return derived

    @field_validator("categories")
    @classmethod
    def _are_derived(cls, categories: list[str], info: ValidationInfo) -> list[str]:
        known = info.data.get("derived", categories)
        refuse(((index,), f"{name!r} is not a derived input") for index, name in enumerate(categories) if name not in known)
        return categories

    @field_validator("identifiers")
    @classmethod
    def _are_text(cls, identifiers: list[str], info: ValidationInfo) -> list[str]:
        if "request" in info.data:
            refuse(not_categories(identifiers, info.data["request"]))
        return identifiers

    @property
    def numbers(self) -> list[str]:
        """
        Return the columns of the graph's float input: non-category request fields, then lookup values.

        Both are in order of name: the canonical JSON of manifests sorts keys, so the order in the YAML would be lost there.
        """
        request = sorted(name for name, field in self.request.items() if field.type != "category")
        return request + _values(dict(sorted(self.lookups.items())))

    @property
    def texts(self) -> list[str]:
        """Return the columns of the graph's string input: the request fields of type category, in order of name."""
        return sorted(_texts(self.request))

    @property
    def one_hot(self) -> list[str]:
        """Return the text columns that the model itself sees: all except identifiers, which are only lookup keys."""
        return [name for name in self.texts if name not in self.identifiers]


def _texts(request: dict[str, RequestField]) -> list[str]:
    return [name for name, field in request.items() if field.type == "category"]


def _values(lookups: dict[str, Lookup]) -> list[str]:
    return [f"{name}__{value}" for name, lookup in lookups.items() for value in lookup.values]


def not_categories(names: list[str], request: dict[str, RequestField]) -> Iterator[Problem]:
    """Yield a problem for each name that is not a request field of type category."""
    for index, name in enumerate(names):
        if name not in _texts(request):
            yield (index,), f"{name!r} is not a request field of type category"


def _derived_problems(derived: dict[str, str], request: Mapping[str, RequestField], looked_up: set[str]) -> Iterator[Problem]:
    for name, text in derived.items():
        if name in request:
            yield (name,), f"{name!r} is also a request field"
        if name in looked_up:
            yield (name,), f"{name!r} is also the name of a lookup value"
        try:
            parsed = parse_derived(text)
        except ValueError as error:
            yield (name,), str(error)
            continue
        wanted = FUNCTIONS[parsed.function].of
        for column in parsed.columns:
            if column in looked_up:
                continue
            found = request[column].type if column in request else None
            if found in (None, "category"):
                yield (name,), f"{column!r} is neither a numeric, time or date field nor a lookup value (lookup__value)"
            elif wanted is not None and found != wanted:
                yield (name,), f"{parsed.function} takes a field of type {wanted}, and {column!r} is of type {found}"

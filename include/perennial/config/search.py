"""The search for parameters of a candidate: its settings, and the check of its ranges against the family's own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from perennial.config.contract import Contract
from perennial.config.values import Number, Positive, Problem, doubled, refuse
from perennial.errors import did_you_mean

S = TypeVar("S", bound=Contract)
Value = int | float
"""The value of a parameter that can be searched."""


class Search(Contract):
    """The search for parameters on the last dates of the window. The dates of one period have the parameters of its search."""

    trials: Annotated[int, Field(ge=2, le=1000)] = 20
    """Number of trials. The first one has the parameters of the YAML."""

    every_days: Positive = 7
    """Days from one search to the next, counted from the pipeline's start."""

    cpu_seconds: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    """CPU seconds after which a search ends without a result, at the end of a trial."""

    ranges: Annotated[dict[str, Annotated[list[Number], Field(min_length=2, max_length=50)]], Field(min_length=1, max_length=20)]
    """By parameter: two numbers are the ends of an interval, three or more are choices."""


class Searchable(Contract):
    """Base of the families whose parameters can be searched."""

    LOG_SCALE: ClassVar[frozenset[str]] = frozenset()
    """The parameters of which a factor counts, not a difference."""

    search: Search | None = Field(default=None, exclude_if=lambda search: search is None)
    """None: the candidate has the parameters of the YAML."""

    @field_validator("search")
    @classmethod
    def _check_ranges(cls, search: Search | None, info: ValidationInfo) -> Search | None:
        if search is not None:
            refuse((("ranges", *at), text) for at, text in cls._range_problems(search))
            cls._check_values(search)
        return search

    @classmethod
    def _range_problems(cls, search: Search) -> Iterator[Problem]:
        numbers = [name for name, field in cls.model_fields.items() if _is_number(field)]
        for name, values in search.ranges.items():
            if name not in numbers:
                yield (
                    (name,),
                    f"{name!r} is no number that can be searched.{did_you_mean(name, numbers)} Parameters: {', '.join(numbers)}",
                )
            elif len(values) == 2 and not values[0] < values[1]:
                yield (name,), f"range {values}: the first number must be less than the second"
            elif len(values) == 2 and name in cls.LOG_SCALE and values[0] <= 0:
                yield (name,), f"range {values}: it is searched on a logarithmic scale, so it must begin above 0"
            else:
                yield from (((name, index), f"{value} is listed twice") for index, value in doubled(values))

    @classmethod
    def _check_values(cls, search: Search) -> None:
        """Raise the errors that the values would have as parameters."""
        problems: list[InitErrorDetails] = []
        for name, values in search.ranges.items():
            for index, value in enumerate(values):
                try:
                    cls.model_validate({name: value})
                except ValidationError as error:
                    problems += [
                        InitErrorDetails(
                            type=item["type"], loc=("ranges", name, index), input=item["input"], ctx=item.get("ctx", {})
                        )
                        for item in error.errors()
                    ]
        if problems:
            raise ValidationError.from_exception_data("pipeline", problems)


def without_search(settings: S) -> S:
    """Return settings without their search, if they have one: the parameters of the YAML."""
    return settings.model_copy(update={"search": None}) if isinstance(settings, Searchable) else settings


def with_parameters(settings: S, parameters: Mapping[str, Value]) -> S:
    """Return settings with other values of some parameters, and without a search."""
    return type(settings).model_validate({**without_search(settings).model_dump(), **parameters})


def is_whole(settings: type[Searchable], parameter: str) -> bool:
    """Return whether the values of a parameter are whole numbers."""
    return int in _kinds(settings.model_fields[parameter])


def _is_number(field: FieldInfo) -> bool:
    return bool(_kinds(field)) and _kinds(field) <= {int, float}


def _kinds(field: FieldInfo) -> set[Any]:
    """Return the types of a field's values, without None and without bounds."""
    members = set(get_args(field.annotation)) - {NoneType} if NoneType in get_args(field.annotation) else {field.annotation}
    return {get_args(member)[0] if hasattr(member, "__metadata__") else member for member in members}

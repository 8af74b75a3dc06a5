"""The types that pipeline.yaml wants of the columns that its SQL yields."""

from __future__ import annotations

from collections.abc import Iterable

from perennial.config.pipeline import ClassesLabel, Label, Lookup, NumberLabel, RequestField
from perennial.sql.types import Wanted

_NUMBERS = frozenset(("whole number", "fraction"))
_AS_TEXT, _AS_DOUBLE, _AS_DATE = "Write CAST(… AS STRING)", "Write CAST(… AS DOUBLE)", "Write CAST(… AS DATE)"

_REQUEST: dict[str, tuple[frozenset[str], str, dict[str, str]]] = {
    "number": (_NUMBERS, "a number", {"text": _AS_DOUBLE, "boolean": "Write CAST(… AS INT), or declare it as boolean"}),
    "category": (
        frozenset(("text", "whole number")),
        "a category, which is a text",
        {"fraction": _AS_TEXT, "date": _AS_TEXT, "timestamp": _AS_TEXT, "boolean": f"{_AS_TEXT}, or declare it as boolean"},
    ),
    "time": (
        frozenset(("whole number",)),
        "a time, which is whole minutes since midnight in SQL",
        {
            "timestamp": "Write HOUR(…) * 60 + MINUTE(…)",
            "fraction": "Write CAST(… AS INT)",
            "text": "Declare the column of the drop as time, which reads HH:MM as minutes",
        },
    ),
    "date": (frozenset(("date",)), "a date", {"text": _AS_DATE, "timestamp": _AS_DATE}),
    "boolean": (frozenset(("boolean",)), "a boolean", {"whole number": "Write … = 1", "text": "Compare it, such as … = 'yes'"}),
}

_CLASSES = {
    "boolean": "Write CASE WHEN … THEN … ELSE … END, or set task: binary",
    "whole number": "List whole numbers in label.classes, or write CAST(… AS STRING)",
    "text": "List texts in label.classes",
}

_POSITIVE = {
    "boolean": "Set label.positive to true or false",
    "whole number": "Set label.positive to a number",
    "text": "Set label.positive to a text of the column",
}

DATE = Wanted(frozenset(("date",)), "it must be a date", {"text": _AS_DATE, "timestamp": _AS_DATE})
_AS_OF = {"as_of": DATE}


def request_types(request: dict[str, RequestField], names: Iterable[str]) -> dict[str, Wanted]:
    """Return the types of `date` and of those of these columns that are request fields."""
    wanted = {}
    for name in names:
        if name in request:
            families, says, remedies = _REQUEST[request[name].type]
            wanted[name] = Wanted(families, f"request field {name!r} is {says}", remedies)
    return {**wanted, "date": DATE}


def label_type(label: Label) -> dict[str, Wanted]:
    """Return the type of the label: that of label.positive, or a number."""
    if isinstance(label, NumberLabel):
        remedies = {**_REQUEST["number"][2], "boolean": "Write CAST(… AS INT), or set task: binary"}
        return {label.column: Wanted(_NUMBERS, "task: regression predicts a number", remedies)}
    if isinstance(label, ClassesLabel):
        is_text = isinstance(label.classes[0], str)
        family, kind = ("text", "texts") if is_text else ("whole number", "whole numbers")
        return {label.column: Wanted(frozenset((family,)), f"label.classes are {kind}", _CLASSES)}
    positive = label.positive
    if isinstance(positive, bool):
        family, value, kind = "boolean", str(positive).lower(), "a boolean"
    elif isinstance(positive, int):
        family, value, kind = "whole number", str(positive), "a whole number"
    else:
        family, value, kind = "text", repr(positive), "a text"
    remedies = {**_POSITIVE, "whole number": "Compare it, such as … > 0, or set label.positive to a number"}
    says = f"label.positive is {value}, {kind}"
    return {label.column: Wanted(frozenset((family,)), says, remedies if family == "boolean" else _POSITIVE)}


def lookup_types(name: str, lookup: Lookup) -> dict[str, Wanted]:
    """Return the types of a lookup: texts as keys, numbers as values."""
    families, _, remedies = _REQUEST["category"]
    keys = {key: Wanted(families, f"the key of lookup {name!r} is a text", remedies) for key in lookup.key}
    says, remedies = f"a value of lookup {name!r} is a number", _REQUEST["number"][2]
    values = {value: Wanted(_NUMBERS, says, {**remedies, "boolean": "Write CAST(… AS INT)"}) for value in lookup.values}
    return {**_AS_OF, **keys, **values}

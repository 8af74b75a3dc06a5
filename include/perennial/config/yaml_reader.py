"""Read YAML strictly: no implicit conversions, and a line number for every key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from perennial.config.yaml_errors import explain_yaml
from perennial.errors import PipelineRefusedError

MAX_DEPTH = 20
MAX_KEY = 253
"""The limit of Kubernetes for node labels. Our own keys are shorter."""

Place = tuple[str, ...]
_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null")}
_TEXT = _TAG + "str"


@dataclass(slots=True)
class Document:
    """A mapping, the line of each value (of its key, if it has one), and the problems: line and text."""

    value: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unread: set[Place] = field(default_factory=set)
    """Places that are None in `value` because they could not be read."""

    def line(self, place: Place) -> int:
        """Return the line of a value, or of the nearest enclosing value."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


class _TooDeepError(yaml.MarkedYAMLError):
    """The document is nested deeper than any pipeline needs, and too deep to read quickly."""


class _Reader(CParser, SafeConstructor, Resolver):
    """
    A reader for a subset of YAML 1.2, with its rules for plain words.

    libyaml parses the text, and values are built directly from its events, without PyYAML's node tree. That is ten times as
    fast, and Airflow reads the folder of pipelines twice a minute.

    PyYAML follows YAML 1.1: `no` and `off` are false, 010 is 8, 1:30 is 90, and an invalid date hides all other problems.
    Here they are text, and are refused if a number is expected.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML requires it)

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.document = Document()
        self._depth = 0

    def read(self, what: str) -> Document:
        """Return the one document of the text, a mapping; `what` names it in errors."""
        self.get_event()  # start of the stream
        kind = "nothing"
        if not self.check_event(yaml.StreamEndEvent):
            self.get_event()  # start of the document
            root: Any = self.peek_event()
            kinds: dict[type, str] = {yaml.SequenceStartEvent: "a list", yaml.MappingStartEvent: "a mapping"}
            kind = kinds.get(type(root), "one value")
            self.document.value = self._value(())
            self.get_event()
            if not self.check_event(yaml.StreamEndEvent):
                second: Any = self.get_event()
                raise yaml.MarkedYAMLError(None, None, "a second document begins, expected one", second.start_mark)
        if kind != "a mapping":
            raise PipelineRefusedError(f"{what}: expected a mapping of keys, found {kind}")
        return self.document

    def _value(self, at: Place) -> Any:
        """Read the events of a value and return it. If it cannot be read, record the problem and return None."""
        event: Any = self.get_event()
        self.document.lines.setdefault(at, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            # Not followed: a few lines of aliases can expand to gigabytes.
            return self._refuse(at, event, "aliases (*name) are not allowed. Write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(at, event)
        if event.tag not in (None, "!", *_COLLECTIONS):
            self._skip(event)
            return self._refuse(at, event, _describe_tag(event.tag))
        self._enter(event)
        if isinstance(event, yaml.MappingStartEvent):
            value: Any = self._mapping(at)
        else:
            value = []
            while not self.check_event(yaml.SequenceEndEvent):
                value.append(self._value((*at, str(len(value)))))
        self.get_event()
        self._depth -= 1
        return value

    def _mapping(self, at: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        where = ".".join(at) or "the file"
        while not self.check_event(yaml.MappingEndEvent):
            key: Any = self.get_event()
            name = str(key.value) if isinstance(key, yaml.ScalarEvent) else ""
            problem = ""
            if not isinstance(key, yaml.ScalarEvent) or self._tag(key) not in _SCALARS:
                problem = f"{where}: a key must be plain text"
            elif not name.isprintable() or len(name) > MAX_KEY:
                problem = f"{where}: a key must be plain text, found {name[:40]!a}"
            elif name == "<<":
                problem = f"{'.'.join((*at, name))}: merge keys (<<) are not allowed. Write the keys out"
            elif name in mapping:
                problem = f"{'.'.join((*at, name))} is set twice. Keep one of them"
            if problem:
                self.document.problems.append((key.start_mark.line + 1, problem))
                self._skip(key)
                self._skip(self.get_event())
                continue
            below = (*at, name)
            self.document.lines[below] = key.start_mark.line + 1
            mapping[name] = self._value(below)
        return mapping

    def _scalar(self, at: Place, event: Any) -> Any:
        tag = self._tag(event)
        if tag == _TEXT:
            return event.value
        if tag not in _SCALARS:
            return self._refuse(at, event, _describe_tag(tag))
        try:
            return self.construct_object(yaml.ScalarNode(tag, event.value, event.start_mark))
        except (ValueError, LookupError):  # more digits than Python converts, or !!int before a word or an empty value
            return self._refuse(at, event, f"expected a value that can be read, found {event.value[:40]!r}")

    def _tag(self, event: Any) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        if not event.implicit[0] or event.value[:1] not in self.yaml_implicit_resolvers:
            return _TEXT
        return str(self.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]

    def _skip(self, event: Any) -> None:
        """Discard the remaining events of a value that is not used."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._enter(event)
            while not isinstance(inner := self.get_event(), yaml.CollectionEndEvent):
                self._skip(inner)
            self._depth -= 1

    def _enter(self, event: Any) -> None:
        self._depth += 1
        if self._depth >= MAX_DEPTH:
            raise _TooDeepError(None, None, f"nested more than {MAX_DEPTH} levels deep", event.start_mark)

    def _refuse(self, at: Place, event: Any, text: str) -> None:
        self.document.problems.append((event.start_mark.line + 1, f"{'.'.join(at) or 'the file'}: {text}"))
        self.document.unread.add(at)


def _describe_tag(tag: str) -> str:
    return f"the tag {tag[:60]!r} is not allowed. Write the plain value"


for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(((0|[1-9][0-9_]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Reader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), list(_first))


def parse_yaml(what: str, text: str) -> Document:
    """Read one mapping; `what` names it in the PipelineRefusedError that is raised if it cannot be read."""
    try:
        return _Reader(text).read(what)
    except yaml.YAMLError as error:
        raise PipelineRefusedError(f"{what}: not valid YAML", [explain_yaml(text, error)]) from None

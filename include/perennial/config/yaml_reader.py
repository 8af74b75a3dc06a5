"""Reading YAML strictly: what a line says is what is meant, and every key has a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from perennial.errors import PipelineRefusedError

MAX_DEPTH = 20
MAX_KEY = 253
"""As Kubernetes allows for the labels of nodes; our own keys are shorter."""

Place = tuple[str, ...]
_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null")}
_TEXT = _TAG + "str"


@dataclass(slots=True)
class Document:
    """A mapping, the line of each of its values (of a key, where there is one), and what is wrong with it: line and text."""

    value: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unread: set[Place] = field(default_factory=set)
    """Places that stand as None in `value`, because nothing could be made of them."""

    def line(self, place: Place) -> int:
        """Return the line of a value, or of the nearest one around it."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


class _TooDeepError(yaml.MarkedYAMLError):
    """More nesting than any pipeline needs, and than can be read in time."""


class _Reader(CParser, SafeConstructor, Resolver):
    """
    YAML 1.2's rules for plain words, and less. libyaml reads the text and values are made of its events, without PyYAML's tree of
    nodes between them: together ten times as fast, and a folder of pipelines is read twice a minute.

    With the rules of 1.1, PyYAML's own, `no` and `off` are false, 010 is 8, 1:30 is 90, and a date that the calendar lacks hides
    all other problems. Here they are text, and so are refused where a number is expected.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own way)

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.document = Document()
        self._depth = 0

    def read(self, what: str) -> Document:
        """Return the one document of the text, a mapping; `what` names it in errors."""
        self.get_event()  # the stream's beginning
        kind = "nothing"
        if not self.check_event(yaml.StreamEndEvent):
            self.get_event()  # the document's
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
        """Take the events of a value; return it, or None, with its problem noted, when nothing can be made of it."""
        event: Any = self.get_event()
        self.document.lines.setdefault(at, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            # Not followed: a few lines of them can unfold to gigabytes.
            return self._refuse(at, event, "aliases (*name) are not allowed. Write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(at, event)
        if event.tag not in (None, "!", *_COLLECTIONS):
            self._skip(event)
            return self._refuse(at, event, _tag_refused(event.tag))
        self._enter(event)
        if isinstance(event, yaml.MappingStartEvent):
            found: Any = self._mapping(at)
        else:
            found = []
            while not self.check_event(yaml.SequenceEndEvent):
                found.append(self._value((*at, str(len(found)))))
        self.get_event()
        self._depth -= 1
        return found

    def _mapping(self, at: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
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
            elif name in found:
                problem = f"{'.'.join((*at, name))} stands there twice. Keep one of them"
            if problem:
                self.document.problems.append((key.start_mark.line + 1, problem))
                self._skip(key)
                self._skip(self.get_event())
                continue
            below = (*at, name)
            self.document.lines[below] = key.start_mark.line + 1
            found[name] = self._value(below)
        return found

    def _scalar(self, at: Place, event: Any) -> Any:
        tag = self._tag(event)
        if tag == _TEXT:
            return event.value
        if tag not in _SCALARS:
            return self._refuse(at, event, _tag_refused(tag))
        try:
            return self.construct_object(yaml.ScalarNode(tag, event.value, event.start_mark))
        except (ValueError, LookupError):  # more digits than Python reads, or !!int before a word or nothing
            return self._refuse(at, event, f"expected a value that can be read, found {event.value[:40]!r}")

    def _tag(self, event: Any) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        if not event.implicit[0] or event.value[:1] not in self.yaml_implicit_resolvers:
            return _TEXT
        return str(self.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]

    def _skip(self, event: Any) -> None:
        """Take the events that remain of a value that nobody looks at."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._enter(event)
            while not isinstance(inner := self.get_event(), yaml.CollectionEndEvent):
                self._skip(inner)
            self._depth -= 1

    def _enter(self, event: Any) -> None:
        self._depth += 1
        if self._depth >= MAX_DEPTH:
            raise _TooDeepError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)

    def _refuse(self, at: Place, event: Any, text: str) -> None:
        self.document.problems.append((event.start_mark.line + 1, f"{'.'.join(at) or 'the file'}: {text}"))
        self.document.unread.add(at)


def _tag_refused(tag: str) -> str:
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
    """Read one mapping; `what` names it in the PipelineRefusedError that is raised when nothing can be made of it."""
    try:
        return _Reader(text).read(what)
    except yaml.YAMLError as error:
        raise PipelineRefusedError(f"{what}: not valid YAML", [_said(error)]) from None


def _said(error: yaml.YAMLError) -> str:
    """Return PyYAML's own words in one line, after the line's number."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"line {mark.line + 1}, column {mark.column + 1}: {said}"
    return " ".join(str(error).split())

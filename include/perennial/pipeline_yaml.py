"""Reading YAML strictly: what a line says is what is meant, and every key has a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from perennial.errors import PipelineRefusedError

MOST_DEPTH = 20
LONGEST_KEY = 253
"""As Kubernetes allows for the labels of nodes; our own keys are shorter."""

Place = tuple[str, ...]
_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null")}
_ALIAS = "!alias"


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


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """
    YAML 1.2's rules for plain words, and less. libyaml reads the text, since that of PyYAML takes ten times as long, and a folder of
    pipelines is read twice a minute; the nodes are composed here.

    With those of 1.1, PyYAML's own, `no` and `off` are false, 010 is 8, 1:30 is 90, and a date that the calendar lacks hides all
    other problems. Here they are text, and so are refused where a number is expected.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own way)

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Leave a mark for an alias instead of following it: a few lines of them can unfold to gigabytes."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.get_event()
            return yaml.ScalarNode(_ALIAS, "", event.start_mark, event.start_mark)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            deep: Any = self.peek_event()
            raise _TooDeepError(None, None, f"nested more than {MOST_DEPTH} deep", deep.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


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
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), list(_first))


def parse_yaml(what: str, text: str) -> Document:
    """Read one mapping; `what` names it in the PipelineRefusedError that is raised when nothing can be made of it."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise PipelineRefusedError(f"{what}: not valid YAML", [_said(error)]) from None
    if not isinstance(root, yaml.MappingNode):
        kind = {yaml.SequenceNode: "a list", yaml.ScalarNode: "one value"}.get(type(root), "nothing")
        raise PipelineRefusedError(f"{what}: expected a mapping of keys, found {kind}")
    document = Document()
    document.value = _build(loader, root, (), document)
    return document


def _build(loader: _Loader, node: yaml.Node, at: Place, document: Document) -> Any:
    document.lines.setdefault(at, node.start_mark.line + 1)
    plain = node.tag in (_COLLECTIONS if isinstance(node, yaml.CollectionNode) else _SCALARS)
    if plain and isinstance(node, yaml.MappingNode):
        return _build_mapping(loader, node, at, document)
    if plain and isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, str(index)), document) for index, item in enumerate(node.value)]
    try:
        if plain:
            return loader.construct_object(node)
        text = f"the tag {node.tag[:60]!r} is not allowed. Write the plain value"
    except (ValueError, KeyError):  # more digits than Python reads, or !!int before a word
        text = f"expected a value that can be read, found {node.value[:40]!r}"
    if node.tag == _ALIAS:
        text = "aliases (*name) are not allowed. Write the value out"
    document.problems.append((node.start_mark.line + 1, f"{'.'.join(at) or 'the file'}: {text}"))
    document.unread.add(at)
    return None


def _build_mapping(loader: _Loader, node: yaml.MappingNode, at: Place, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag not in _SCALARS:
            document.problems.append((line, f"{'.'.join(at) or 'the file'}: a key must be plain text"))
            continue
        name = str(key.value)
        if not name.isprintable() or len(name) > LONGEST_KEY:
            document.problems.append((line, f"{'.'.join(at) or 'the file'}: a key must be plain text, found {name[:40]!a}"))
            continue
        below = (*at, name)
        if name == "<<":
            document.problems.append((line, f"{'.'.join(below)}: merge keys (<<) are not allowed. Write the keys out"))
            continue
        if name in found:
            document.problems.append((line, f"{'.'.join(below)} stands there twice. Keep one of them"))
            continue
        document.lines[below] = line
        found[name] = _build(loader, value, below, document)
    return found


def _said(error: yaml.YAMLError) -> str:
    """Return PyYAML's own words in one line, after the line's number."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"line {mark.line + 1}, column {mark.column + 1}: {said}"
    return " ".join(str(error).split())

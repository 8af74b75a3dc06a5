"""docs/architecture.md shows the rooms as they are, in the order of the import contract."""

from __future__ import annotations

import re
import tomllib

from stack.config import REPO

PACKAGE = REPO / "include/perennial"


def rooms_of_the_page() -> list[str]:
    text = (REPO / "docs/architecture.md").read_text(encoding="utf-8")
    block = text.partition("include/perennial/\n")[2].partition("include/stack/")[0]
    return re.findall(r"^    ([a-z_]+(?:/|\.py)) ", block, flags=re.MULTILINE)


def test_the_page_lists_every_room() -> None:
    rooms = {f"{folder.name}/" for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}
    modules = {file.name for file in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert sorted(rooms_of_the_page()) == sorted(rooms | modules)


def test_the_page_has_the_order_of_the_layers() -> None:
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["perennial"])
    level = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    numbers = [level[re.sub(r"/|\.py$", "", room)] for room in rooms_of_the_page()]
    assert numbers == sorted(numbers)


def test_only_what_belongs_to_all_rooms_lies_beside_them() -> None:
    shared = {"__init__", "addresses", "calendar", "cli", "errors", "settings"}
    assert {file.stem for file in PACKAGE.glob("*.py")} == shared

"""The boundary of the lake: what a table's metadata may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from perennial.addresses import is_below

CLASSES = frozenset({"io-impl", "py-io-impl", "write.location-provider.impl", "write.py-location-provider.impl"})
"""Properties of a table by which readers or writers load a class that the table names."""

FOLDERS = frozenset({"write.data.path", "write.folder-storage.path", "write.metadata.path", "write.object-storage.path"})
"""Properties of a table that move its future files."""


def find_foreign(root: str, addresses: Iterable[str], properties: Mapping[str, str]) -> list[str]:
    """Return each address that is not below `root`, and each property that names a class or a folder elsewhere."""
    return [
        *(f"file {address}" for address in dict.fromkeys(addresses) if not is_below(root, address)),
        *find_classes(properties),
        *(
            f"property {name}: {properties[name]}"
            for name in sorted(FOLDERS & properties.keys())
            if not is_below(root, properties[name])
        ),
    ]


def find_classes(properties: Mapping[str, str]) -> list[str]:
    """Return each property that names a class."""
    return [f"property {name}: {properties[name]}" for name in sorted(CLASSES) if name in properties]

"""The modules that an entry point brings along: everything that it imports of this package, directly or through others."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from perennial.fingerprints.source import Source, read_source


class Modules:
    """The modules of a package as its files are now, each read once."""

    def __init__(self, package: Path, known: Mapping[str, Source]) -> None:
        self._root = package.parent
        self._known = known
        self._read: dict[str, Source | None] = {}
        self._packages: set[str] = set()

    def closure(self, entries: Iterable[str], left_out: Collection[str]) -> dict[str, str]:
        """
        Return {module: digest of its source} of the entry points and of all that they import, packages on the way included.

        A module that is left out is not followed, except for what others take from it that it has from elsewhere itself.
        """
        found: dict[str, str] = {}
        todo = list(entries)
        while todo:
            module = todo.pop()
            if module in found or module in left_out:
                continue
            source = self._source(module)
            if source is None:
                raise ValueError(f"{module}: this installation has no such module. Install Perennial again.")
            found[module] = source.digest
            todo += _packages(module)
            for name in source.imports:
                todo += self._modules_of(name, left_out)
        return dict(sorted(found.items()))

    def reached(self, entries: Iterable[str], left_out: Collection[str]) -> set[str]:
        """Return which of the modules that are left out the closure would otherwise have met."""
        inside = self.closure(entries, left_out)
        names = {name for module in inside for name in (*self._imports(module), *_packages(module))}
        return {module for name in names for module in (name, name.rpartition(".")[0]) if module in left_out}

    def _modules_of(self, name: str, left_out: Collection[str]) -> Iterator[str]:
        """Yield the module that a name in an import statement stands for."""
        module, _, member = name.rpartition(".")
        if (not module or self._is_package(module)) and self._source(name) is not None:
            yield name
        elif self._source(module) is None:
            raise ValueError(f"{name}: it is imported, and this installation has no such module. Install Perennial again.")
        elif module not in left_out:
            yield module
        else:
            for other in self._imports(module):
                if other.rpartition(".")[2] == member:
                    yield from self._modules_of(other, left_out)

    def _imports(self, module: str) -> tuple[str, ...]:
        source = self._source(module)
        return source.imports if source is not None else ()

    def _is_package(self, module: str) -> bool:
        return self._source(module) is not None and module in self._packages

    def _source(self, module: str) -> Source | None:
        """Return the source of a module or package; None when there is none of that name."""
        if module not in self._read:
            body = self._body(module)
            known = None if body is None else self._known.get(hashlib.sha256(body).hexdigest())
            self._read[module] = known if known is not None or body is None else read_source(body)
        return self._read[module]

    def _body(self, module: str) -> bytes | None:
        place = f"{self._root}/{module.replace('.', '/')}"
        with suppress(FileNotFoundError, NotADirectoryError), open(f"{place}.py", "rb") as file:
            return file.read()
        with suppress(FileNotFoundError, NotADirectoryError), open(f"{place}/__init__.py", "rb") as file:
            self._packages.add(module)
            return file.read()
        return None


def _packages(module: str) -> list[str]:
    """Return the packages around a module: to import it runs them."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]

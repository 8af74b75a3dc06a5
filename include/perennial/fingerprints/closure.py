"""The modules that an entry point needs: everything that it imports from this package, directly or indirectly."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from perennial.fingerprints.source import Source, read_source


class Modules:
    """The modules of a package in the present state of its files; each is read once."""

    def __init__(self, package: Path, known: Mapping[str, Source]) -> None:
        self._root = package.parent
        self._known = known
        self._read: dict[str, Source | None] = {}
        self._packages: set[str] = set()

    def closure(self, entries: Iterable[str], left_out: Collection[str]) -> dict[str, str]:
        """
        Return {module: digest of its source} of the entry points and all their imports, including parent packages.

        The imports of an excluded module are not followed.
        If other modules import a name from it that it imports itself, that name is followed.
        """
        digests: dict[str, str] = {}
        todo = list(entries)
        while todo:
            module = todo.pop()
            if module in digests or module in left_out:
                continue
            source = self._source(module)
            if source is None:
                raise ValueError(f"{module}: this installation has no such module. Install Perennial again.")
            digests[module] = source.digest
            todo += _packages(module)
            for name in source.imports:
                todo += self._modules_of(name, left_out)
        return dict(sorted(digests.items()))

    def reached(self, entries: Iterable[str], left_out: Collection[str]) -> set[str]:
        """Return the excluded modules that the closure would otherwise contain."""
        inside = self.closure(entries, left_out)
        names = {name for module in inside for name in (*self._imports(module), *_packages(module))}
        return {module for name in names for module in (name, name.rpartition(".")[0]) if module in left_out}

    def _modules_of(self, name: str, left_out: Collection[str]) -> Iterator[str]:
        """Yield the module that a name in an import statement refers to."""
        module, _, member = name.rpartition(".")
        if (not module or self._is_package(module)) and self._source(name) is not None:
            yield name
        elif self._source(module) is None:
            raise ValueError(f"{name}: it is imported, but this installation has no such module. Install Perennial again.")
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
        """Return the source of a module or package, or None if it does not exist."""
        if module not in self._read:
            body = self._body(module)
            known = None if body is None else self._known.get(hashlib.sha256(body).hexdigest())
            self._read[module] = known if known is not None or body is None else read_source(body)
        return self._read[module]

    def _body(self, module: str) -> bytes | None:
        place = f"{self._root}/{module.replace('.', '/')}"
        # In Python's order: a package takes the place of a module of its name.
        with suppress(FileNotFoundError, NotADirectoryError), open(f"{place}/__init__.py", "rb") as file:
            self._packages.add(module)
            return file.read()
        with suppress(FileNotFoundError, NotADirectoryError), open(f"{place}.py", "rb") as file:
            return file.read()
        return None


def _packages(module: str) -> list[str]:
    """Return the parent packages of a module: its import runs them."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]

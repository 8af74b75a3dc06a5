"""The source of one module without comments, docstrings, layout and imports for type checkers. Pure."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Source:
    """
    The digest and the imports of a module's source.

    :param digest: SHA-256 of its syntax tree
    :param imports: names that it imports from this package, at any place in the module: `a.b` for `import a.b`,
        `a.b.c` for `from a.b import c`, where `c` may be a module or a name in one
    """

    digest: str
    imports: tuple[str, ...]


def read_source(body: bytes) -> Source:
    """Return the digest and the imports of a module's source; raise SyntaxError if Python cannot parse it."""
    tree = _Strip().visit(ast.parse(body))
    imports = {name for node in ast.walk(tree) for name in _list_imports(node) if name.partition(".")[0] == _PACKAGE}
    return Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(imports)))


class _Strip(ast.NodeTransformer):
    """Removes code that decides nothing: texts that are statements (docstrings), and code that only type checkers read."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if _is_type_checking(node.test) else node


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else None
    return name == "TYPE_CHECKING"


def _list_imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level or node.module is None:
            raise SyntaxError(f"line {node.lineno}: a relative import. Import {_PACKAGE} by its full name.")
        yield from (f"{node.module}.{alias.name}" for alias in node.names)

"""The rules of a Python file of a pipeline's author. Pure: the file is parsed and never run here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules of one kind of file.

    :param function: the function that it must define
    :param takes: its arguments in words, as in "one argument, the DataFrame"
    :param count: the number of its arguments
    :param signature: its first line
    :param libraries: the libraries that the file may import besides Python's own
    """

    function: str
    takes: str
    count: int
    signature: str
    libraries: tuple[str, ...]


def file_problems(text: str, rules: Rules) -> list[str]:
    """Return each reason why a file cannot run, with its line."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    except (RecursionError, MemoryError):
        return ["its expressions are nested too deeply for Python"]
    imports = (f"line {line}: {problem}" for line, problem in _import_problems(tree, rules.libraries))
    return [*_function_problems(tree, rules), *imports]


def imported(text: str) -> set[str]:
    """Return the names of the packages that a file imports."""
    return {name.partition(".")[0] for _, name in _imports(ast.parse(text))}


def _function_problems(tree: ast.Module, rules: Rules) -> Iterator[str]:
    name = rules.function
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name]
    if not functions:
        yield f"it defines no function {name}. Write {rules.signature}"
        return
    if len(functions) > 1:
        yield f"line {functions[1].lineno}: {name} is defined again"
    function, arguments = functions[0], functions[0].args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    takes_all = positional - len(arguments.defaults) <= rules.count and (positional >= rules.count or arguments.vararg)
    has_more = any(default is None for default in arguments.kw_defaults)
    if isinstance(function, ast.AsyncFunctionDef) or not takes_all or has_more:
        yield f"line {function.lineno}: {name} must take {rules.takes}. Write {rules.signature}"


def _import_problems(tree: ast.Module, libraries: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for line, name in _imports(tree):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *libraries}:
            why = f"Only Python's own modules, {', '.join(libraries)} are possible: no other code is part of its fingerprint"
            yield line, f"it imports {name!r}. {why}. Write code of your own into this file"


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")

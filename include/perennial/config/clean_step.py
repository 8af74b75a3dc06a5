"""The rules of a cleaning step in Python, `sources/<name>.py`. Pure: the file is parsed and never run here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

LIBRARIES = ("numpy", "pandas", "pyarrow")
"""The libraries that a step may import besides Python's own; their versions are a part of its fingerprint."""

SIGNATURE = "def clean(df: pd.DataFrame) -> pd.DataFrame"


def step_problems(text: str) -> list[str]:
    """Return each reason why the file of a step cannot run, with its line."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    except (RecursionError, MemoryError):
        return ["its expressions are nested too deeply for Python"]
    return [*_function_problems(tree), *(f"line {line}: {problem}" for line, problem in _import_problems(tree))]


def _function_problems(tree: ast.Module) -> Iterator[str]:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "clean"]
    if not functions:
        yield f"it defines no function clean. Write {SIGNATURE}"
        return
    if len(functions) > 1:
        yield f"line {functions[1].lineno}: clean is defined again"
    function, arguments = functions[0], functions[0].args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    takes_one = required == 1 or (required == 0 and (arguments.posonlyargs or arguments.args or arguments.vararg))
    has_more = any(default is None for default in arguments.kw_defaults)
    if isinstance(function, ast.AsyncFunctionDef) or not takes_one or has_more:
        yield f"line {function.lineno}: clean must take one argument, the DataFrame. Write {SIGNATURE}"


def _import_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in {*sys.stdlib_module_names, *LIBRARIES}:
                why = f"Only Python's own modules, {', '.join(LIBRARIES)} are possible: no other code is part of its fingerprint"
                yield node.lineno, f"it imports {name!r}. {why}. Put the code into this file"

"""
Private names of libraries that we use: each is there, and no other is used.

A library may rename them in any release. This file then fails, names the attribute, and says which of our modules uses it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import SimpleQueue
from pathlib import Path

import boto3
import pytest
from airflow.executors.local_executor import LocalExecutor
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from sklearn.linear_model import LogisticRegression
from sqlglot.optimizer.annotate_types import TypeAnnotator
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stack.config import REPO

SPARK_STAGE = "plugins/perennial_airflow/operators/spark_stage.py"
EXECUTOR = "include/stack/executor.py"


def sets(made: type, name: str) -> bool:
    """Tell whether the class's constructor sets an attribute of its instances."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(made.__init__)))
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store) for node in ast.walk(tree)
    )


def calls(made: type, name: str) -> bool:
    """Tell whether a class calls a method of its own, so that an override takes part."""
    return f"self.{name}(" in "".join(inspect.getsource(base) for base in made.__mro__[:-1])


def in_keras(file: str, text: str) -> bool:
    """Tell whether a source file of Keras holds a text. Importing it would take seconds."""
    spec = find_spec("keras")
    return spec is not None and spec.origin is not None and text in (Path(spec.origin).parent / "src" / file).read_text()


GUARDED: dict[tuple[str, str], Callable[[], bool]] = {
    (SPARK_STAGE, "_hook"): lambda: sets(SparkSubmitOperator, "_hook"),
    (SPARK_STAGE, "_spark_binary"): lambda: sets(SparkSubmitOperator, "_spark_binary"),
    (SPARK_STAGE, "_get_hook"): lambda: calls(SparkSubmitOperator, "_get_hook"),
    (SPARK_STAGE, "_last_submit_log_lines"): lambda: sets(SparkSubmitHook, "_last_submit_log_lines"),
    (SPARK_STAGE, "_process_spark_submit_log"): lambda: calls(SparkSubmitHook, "_process_spark_submit_log"),
    (SPARK_STAGE, "_submit_sp"): lambda: sets(SparkSubmitHook, "_submit_sp"),
    (EXECUTOR, "_process_workloads"): lambda: calls(LocalExecutor, "_process_workloads"),
    (EXECUTOR, "_reader"): lambda: hasattr(SimpleQueue(), "_reader"),
    ("include/perennial/serve/plain_http.py", "_start_asgi_task"): lambda: calls(HttpToolsProtocol, "_start_asgi_task"),
    ("include/perennial/sql/type_rules.py", "_set_type"): lambda: callable(TypeAnnotator._set_type),
    ("include/perennial/train/estimators.py", "_validate_params"): lambda: callable(LogisticRegression._validate_params),
    ("include/perennial/train/keras_model.py", "_flatten_layers"): lambda: in_keras("layers/layer.py", "def _flatten_layers"),
    ("include/perennial/train/keras_model.py", "_inbound_nodes"): lambda: in_keras("ops/operation.py", "self._inbound_nodes = "),
    ("include/perennial/train/keras_model.py", "_keras_history"): lambda: in_keras("ops/node.py", "._keras_history = "),
    ("include/perennial/store/objects.py", "_session"): lambda: hasattr(boto3.Session()._session, "get_component"),
}
BRIDGES = {"_gateway", "_jvm", "_jdf", "_jsc", "_jsparkSession"}
"""PySpark's bridge to the JVM. The Spark tests run each use of it, in Spark's own environment."""

DOCUMENTED = {"_exit", "_asdict", "_1", "_2", "_put_if"}
"""Names of Python and Scala that are no secret in spite of their underscore, and of a class of ours in another module."""


def private_names(file: Path) -> Iterator[str]:
    """Yield the private attributes that a module takes from objects of other modules' classes, and from its base classes."""
    where, nodes = str(file.relative_to(REPO)), list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    defined |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    defined |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            is_own = isinstance(node.value, ast.Name) and (node.value.id in ("self", "cls") or node.attr in defined)
            if not is_own or (where, node.attr) in GUARDED:
                yield node.attr


@pytest.mark.parametrize(("where", "name"), GUARDED, ids=lambda value: Path(value).name)
def test_the_name_is_there(where: str, name: str) -> None:
    assert GUARDED[where, name](), f"The library has no {name} any more; {where} uses it"


def test_no_other_private_name_of_a_library_is_used() -> None:
    used = set()
    for file in [*REPO.glob("plugins/**/*.py"), *REPO.glob("include/**/*.py"), *REPO.glob("dags/*.py")]:
        used |= {(str(file.relative_to(REPO)), name) for name in {*private_names(file)} - BRIDGES - DOCUMENTED}
    assert used == set(GUARDED)

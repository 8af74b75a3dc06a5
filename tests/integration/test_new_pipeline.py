"""A pipeline made by `perennial new --land` from a German CSV file: run, released and asked by the commands that it prints."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import in_a_shell
from scaffold_orders import DAYS, ROWS, as_german, csv_text, orders

NAME = "returns_of_new"
PROGRAM = ".venv/bin/perennial"
TORN = "1000;2026\n"


@pytest.fixture(scope="module")
def made(stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Make the pipeline in the running stack, and start its model server."""
    exports = tmp_path_factory.mktemp("exports")
    (exports / "orders.csv").write_text(csv_text(as_german(orders()), delimiter=";") + TORN, encoding="windows-1252")
    yield in_a_shell("new", NAME, "--from", f"{exports}/*.csv", "--label", "returned", "--land")
    shutil.rmtree(stack.config.pipelines / NAME)
    up()  # it stops the server of the pipeline that no longer exists


def up() -> None:
    """Start the parts that do not run, and stop the servers of deleted pipelines, as `make up` does."""
    argv = [sys.executable, "-m", "stack", "up"]
    done = subprocess.run(argv, env=os.environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def command(text: str) -> list[str]:
    """Return the words of a printed command, without the program."""
    program, *words = shlex.split(text, comments=True)
    assert program == PROGRAM
    return words


def test_a_csv_file_becomes_an_answer_by_the_printed_commands(stack, made: dict[str, Any]) -> None:
    assert (made["landing"]["refused"], made["landing"]["rows"]) == ({}, DAYS * ROWS + 1)
    assert made["csv"] == {"delimiter": ";", "encoding": "windows-1252", "decimal": ","}
    assert made["formats"] == {"ordered_at": "dd.MM.yyyy HH:mm", "returned_on": "dd.MM.yyyy"}
    run, predict = made["next"]  # the stack runs, so its model server was started

    stages = in_a_shell(*command(run))["stages"]

    assert stages["clean"]["outcome"] == "done"
    assert stages["evaluate"]["decision"] == "PROMOTE", stages["evaluate"]
    assert stages["deploy"]["released"]
    answer = in_a_shell(*command(predict))
    assert 0 < answer["predictions"][0]["probability"] < 1

    record = json.loads(command(predict)[-1])
    low, high = (record | {"country": country, "amount": amount} for country, amount in (("DE", 20.0), ("AT", 190.0)))
    chances = [one["probability"] for one in in_a_shell("predict", NAME, "--record", json.dumps([low, high]))["predictions"]]
    assert chances[0] < chances[1]


def test_its_quarantine_has_only_the_torn_row(stack, made: dict[str, Any]) -> None:
    """The contract was written from the other rows."""
    rows = in_a_shell("quarantine", NAME, "--date", made["last"])["rows"]
    assert [row["rule"] for row in rows] == ["cells"]


def test_its_own_test_passes(stack, made: dict[str, Any]) -> None:
    folder = Path(made["folder"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout

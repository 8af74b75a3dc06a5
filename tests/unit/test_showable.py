"""No text that is shown steers a terminal, turns its line round or hides a character; JSON stays the same value."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator

import pytest
from rich.table import Table

from perennial.display.console import ShowableConsole
from perennial.display.forced import describe_force
from perennial.display.showable import dump_json, make_html, make_line, make_logs_showable, make_showable
from perennial.errors import PerennialError
from stack.config import REPO

STEERS = [*map(chr, [*range(0x20), *range(0x7F, 0xA0)]), "\u2028", "\u2029", "\u202e", "\u2066", "\ud83d", "\udc80"]
HIDES = ["\xad", "\u034f", "\u061c", "\u200b", "\u200d", "\u200e", "\u200f", "\u2060", "\u3164", "\ufeff", "\ufff9", "\U000e0041"]
HARMLESS = "é ß 日本語 العربية עברית ❤️ 😀 \xa0 ½ ‰ “ ” [red] \\ e\u0301"
ATTACKS = "\x1b[2J\x1b]52;c;ZXZpbA==\x1b\\ \x9b31m \x07 \u202egnp.exe \r\x08"
MARKUP = ":smile: [link=http://evil]x[/link] \\[red]x[/red] \\\\[b]"


@pytest.mark.parametrize("character", [*STEERS, *HIDES], ids=ascii)
def test_what_steers_or_hides_is_escaped(character: str) -> None:
    expected = character if character in "\n\t" else ascii(character)[1:-1]
    assert make_showable(f"a{character}b") == f"a{expected}b"


@pytest.mark.exhaustive
def test_everything_of_unicode_that_controls_or_separates_lines_is_escaped() -> None:
    wrong = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")
        and chr(code) not in "\n\t"
        and make_showable(chr(code)) == chr(code)
    ]
    turned = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.bidirectional(chr(code)) in ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        and make_showable(chr(code)) == chr(code)
    ]
    assert (wrong, turned) == ([], [])


def test_other_text_stays_as_it_is() -> None:
    assert make_showable(HARMLESS) == HARMLESS
    assert make_showable("two\n\tlines") == "two\n\tlines"


def is_safe(text: str) -> bool:
    return make_showable(text) == text and text.isprintable()


@pytest.mark.parametrize("value", [*STEERS, *HIDES, ATTACKS, HARMLESS], ids=ascii)
def test_json_is_showable_valid_and_lossless(value: str) -> None:
    text = dump_json({value: [value, {"a": value}], "n": 1.5, "none": None})
    assert json.loads(text) == {value: [value, {"a": value}], "n": 1.5, "none": None}
    assert make_showable(text) == text
    assert "\n" not in text
    text.encode("utf-8")


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def console(request: pytest.FixtureRequest) -> ShowableConsole:
    return ShowableConsole(file=io.StringIO(), force_terminal=request.param, width=200)


def printed(console: ShowableConsole) -> str:
    """Return what the console wrote, without Rich's own codes for colours and the cursor."""
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[mhlKAG]|\r", "", console.file.getvalue())


def test_a_console_prints_no_control_character(console: ShowableConsole) -> None:
    console.print(ATTACKS + MARKUP, markup=False)
    console.print(f"before {ATTACKS} :smile:")
    table = Table(ATTACKS)
    table.add_row(ATTACKS)
    console.print(table)
    with console.status(ATTACKS) as status:
        status.update(ATTACKS)
    assert make_showable(printed(console).replace("\n", "")) == printed(console).replace("\n", "")
    assert "\\x1b]52;c;ZXZpbA==\\x1b\\ \\x9b31m \\x07 \\u202egnp.exe" in printed(console)
    assert "😄" not in printed(console)


def test_columns_are_as_wide_as_the_texts_that_are_shown() -> None:
    console = ShowableConsole(file=io.StringIO(), width=100)
    table = Table("cell", box=None)
    table.add_row("\x1b\x1b\x1b\x1b end")
    console.print(table)
    assert "\\x1b\\x1b\\x1b\\x1b end" in printed(console)


def test_an_error_can_be_shown_wherever_it_goes() -> None:
    error = PerennialError(ATTACKS, [ATTACKS, "b"], ATTACKS, details=f"line\n{ATTACKS}")
    for text in (str(error), error.what, *error.problems, error.remedy):
        assert make_showable(text) == text
    assert "line\n\\x1b" in str(error)


def test_html_is_escaped_and_showable() -> None:
    assert make_html("<b>\u202e&") == "&lt;b&gt;\\u202e&amp;"


@pytest.fixture
def _logs() -> Iterator[None]:
    before = logging.getLogRecordFactory(), sys.excepthook, threading.excepthook
    make_logs_showable()
    yield
    logging.setLogRecordFactory(before[0])
    sys.excepthook, threading.excepthook = before[1:]


@pytest.mark.usefixtures("_logs")
def test_whatever_handler_writes_a_log_it_can_be_shown(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("anything").warning("read %s", ATTACKS)
    assert is_safe(caplog.messages[0])


@pytest.mark.usefixtures("_logs")
@pytest.mark.parametrize("formatter", [None, logging.Formatter("%(message)s")], ids=["default", "own"])
def test_the_traceback_of_a_log_can_be_shown(formatter: logging.Formatter | None) -> None:
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter)
    log = logging.getLogger("tracebacks")
    log.addHandler(handler)
    try:
        raise ValueError(ATTACKS) from KeyError(ATTACKS)
    except ValueError:
        log.exception("failed")
    finally:
        log.removeHandler(handler)
    text = handler.stream.getvalue()
    assert make_showable(text) == text
    assert all(part in text for part in ("ValueError: \\x1b[2J", "KeyError", "test_showable.py"))


TRAINER = """
import perennial.train.__main__ as trainer
trainer.run_job = fail
trainer.main(["--job", "s3://lake/x"])
"""
SPARK_JOB = """
from perennial.errors import PerennialError
from perennial.spark.job import open_job
try:
    open_job("clean", [], dict)
except PerennialError:
    fail()
"""
COMMAND = """
from perennial.commands.progress import show_progress
show_progress()
fail()
"""
THREAD = """
import threading
from perennial.display.showable import make_logs_showable
make_logs_showable()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("python", "program"),
    [(".venv", TRAINER), (".spark", SPARK_JOB), (".venv", COMMAND), (".venv", THREAD)],
    ids=["trainer", "Spark job", "command", "thread"],
)
def test_a_process_that_ends_with_an_error_prints_nothing_else(python: str, program: str) -> None:
    begin = f"def fail(*_, **__):\n    raise ValueError({ATTACKS!r})\n"
    done = subprocess.run(
        [REPO / python / "bin" / "python", "-c", begin + program],
        env={"PYTHONPATH": str(REPO / "include"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert make_showable(done.stdout + done.stderr) == done.stdout + done.stderr
    assert "Traceback" in done.stderr
    assert "ValueError: \\x1b[2J" in done.stderr


def test_a_line_has_no_second_line() -> None:
    assert make_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"


def test_a_forced_decision_is_told_with_its_person() -> None:
    assert describe_force(None) == ""
    assert describe_force({"decision": "HOLD", "reason": "x", "by": "ann"}) == "forced by ann"
    for old in ({"decision": "HOLD", "reason": "x"}, {"decision": "HOLD", "reason": "x", "by": None}):
        assert describe_force(old) == "forced; the decision does not say by whom"

"""The way in: CONTRIBUTING.md, pre-commit and the workflow say what make, .ci/run and pyproject.toml hold."""

from __future__ import annotations

import re

import pytest
import yaml
from needs import NEEDS

from stack.config import REPO

CONTRIBUTING = (REPO / "CONTRIBUTING.md").read_text()
MAKEFILE = (REPO / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+)(?= .*:|:)", MAKEFILE, re.MULTILINE))


def rows(header: str) -> list[list[str]]:
    """Return the cells of a table of CONTRIBUTING.md, without its head."""
    (table,) = re.findall(rf"^\| {header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", CONTRIBUTING, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_every_path_is_there() -> None:
    paths = set(re.findall(r"(?<![\w/.])(?:tests|docs|include|plugins|dags|\.ci)/[\w./-]*\w", CONTRIBUTING))
    assert len(paths) > 25
    assert sorted(path for path in paths if not (REPO / path).exists()) == []


def test_every_link_and_image_of_the_readme_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", (REPO / "README.md").read_text())
    assert links
    assert [link for link in links if not (REPO / link).exists()] == []


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", ".github/workflows/ci.yml"])
def test_every_target_of_make_is_there(document: str) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", (REPO / document).read_text()))
    assert len(named) > 5
    assert named - TARGETS == set()


def test_the_budgets_are_those_of_ci() -> None:
    script = (REPO / ".ci/run").read_text()
    budgets = {name: int(seconds) for name, seconds in re.findall(r"\bsuite ([\w-]+) (\d+) ", script)}
    (whole,) = set(re.findall(r"print_results (\d+)", script))
    assert len(budgets) == 9
    assert {suite: int(budget) for suite, _, budget in rows("Suite")} == {**budgets, "all of them": int(whole)}


def test_the_marks_are_those_of_the_tests() -> None:
    assert {mark.strip("`") for mark, _ in rows("Mark")} == NEEDS | {"pure"}


def test_pre_commit_runs_what_lint_runs() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    variables = dict(re.findall(r"^([A-Z_]+) := (.*)$", MAKEFILE, re.MULTILINE))
    checks = dict(re.findall(r"\$\(call timed,([^,]+),(.*)\)$", recipe, re.MULTILINE))
    assert len(checks) == len(recipe.splitlines())
    commands = {name: re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], command) for name, command in checks.items()}
    (local,) = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["name"]: hook["entry"] for hook in local["hooks"]} == commands
    assert local["repo"] == "local"  # nothing is downloaded


def test_the_workflow_runs_the_suites_of_ci_with_pinned_actions() -> None:
    text = (REPO / ".github/workflows/ci.yml").read_text()
    suites = set(re.findall(r"\bsuite [\w-]+ \d+ make ([\w-]+)", (REPO / ".ci/run").read_text()))
    assert {"lint", "test", "test-kubernetes"} <= suites
    assert suites - {"images"} <= set(re.findall(r"\bmake ([\w-]+)", text))  # two of them build their images
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", use)] == []

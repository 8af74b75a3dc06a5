"""`perennial validate`: read pipelines and list all their problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson
from perennial.commands.output import counted, print_json, print_line
from perennial.config.load import load_pipeline, pipeline_names, pipelines_folder
from perennial.errors import PipelineRefusedError, RefusedError

if TYPE_CHECKING:
    from perennial.sql.check import Findings


def validate(
    pipelines: Annotated[list[str] | None, typer.Argument(metavar="[PIPELINE]...", help="Names; all when none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check pipeline.yaml and its SQL files; list every problem."""
    names = pipelines or pipeline_names()
    if not names:
        raise RefusedError(
            f"No pipeline in {pipelines_folder()}", remedy="Create one: a pipeline is a folder with a pipeline.yaml."
        )
    results = {name: _check(name) for name in names}
    if as_json:
        print_json(
            {
                "pipelines": [
                    {"name": name, "valid": problem is None, "problem": problem, "doubts": findings.doubts}
                    for name, (problem, findings) in results.items()
                ]
            }
        )
    else:
        for name, (problem, findings) in results.items():
            if problem is not None:
                print_line(f"✗ {problem}", style="red")
            elif findings.doubts:
                print_line(f"? {name}: {_count_doubts(findings)}", style="yellow")
            else:
                print_line(f"✓ {name}", style="green")
            for doubt in findings.doubts:
                print_line(f"? {name}: {doubt}", style="yellow")
    if any(problem for problem, _ in results.values()):
        raise typer.Exit(1)


def _count_doubts(findings: Findings) -> str:
    unchecked, warnings = len(findings.unchecked), len(findings.doubts) - len(findings.unchecked)
    counts = [f"{counted(unchecked, 'file')} not checked"] * bool(unchecked) + [counted(warnings, "warning")] * bool(warnings)
    return ", ".join(counts)


def _check(name: str) -> tuple[str | None, Findings]:
    """Return the refusal of a pipeline, if any, and the findings in its SQL."""
    from perennial.sql.check import Findings, check_sql, require_valid
    from perennial.train.check import candidate_problems

    findings = Findings()
    try:
        pipeline = load_pipeline(name)
        findings = check_sql(pipeline)
        findings.problems.extend(candidate_problems(pipeline))
        require_valid(pipeline, findings)
    except PipelineRefusedError as error:
        return str(error), findings
    return None, findings

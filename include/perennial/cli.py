"""The command line: all stages and all queries from a shell."""

from __future__ import annotations

import sys
import tomllib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer._click.exceptions import (
    ClickException,
    NoSuchOption,
)  # Typer bundles its own click. Its version is pinned, and tests cover this import.
from typer.main import get_command

from perennial.commands import (
    backfill,
    candidates,
    cluster,
    compare,
    doctor,
    feed,
    history,
    impact,
    land,
    new,
    predict,
    quarantine,
    report,
    run,
    score,
    sign,
    status,
    try_,
    validate,
)
from perennial.commands.arguments import AsJson
from perennial.commands.output import print_json, print_problem
from perennial.commands.progress import show_progress
from perennial.errors import PerennialError
from perennial.lake.layout import lake_root
from perennial.lake.reach import STACK_IS_DOWN
from perennial.settings import load_environment

app = typer.Typer(
    name="perennial",
    help="Continuous training: from the daily drop to a served model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def read_version() -> str:
    """Return the version in pyproject.toml. The package is not installed: it runs from a checkout, in the images too."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    return str(tomllib.loads(text)["project"]["version"])


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read the options before the command. `--json` there is the default of the command's own `--json`."""
    if version:
        if as_json:
            print_json({"version": read_version()})
        else:
            typer.echo(f"perennial {read_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("Missing command.")
    if as_json:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


app.command()(validate.validate)
app.command("try")(try_.try_)
app.command()(feed.feed)
app.command()(land.land)
app.command()(new.new)
app.command()(run.run)
app.command()(backfill.backfill)
app.command()(score.score)
app.command()(report.report)
app.command()(compare.compare)
app.command()(quarantine.quarantine)
app.command()(status.status)
app.command()(candidates.candidates)
app.command()(history.decisions)
app.command()(history.stale)
app.command()(impact.impact)
app.command()(history.releases)
app.command()(history.rollback)
app.command()(cluster.plan)
app.command()(sign.sign)
app.command()(predict.predict)
app.command()(cluster.janitor)
app.command()(doctor.doctor)
command = get_command(app)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """
    Run one command and return its exit code: 0 done, 1 refused or failed, 2 wrong usage.

    With --json, standard output is exactly one JSON value: {"error": …} if the command did not succeed.
    """
    show_progress()
    try:
        load_environment()
        return int(command(list(arguments), standalone_mode=False) or 0)
    except typer.Exit as stop:
        return _fail(arguments, "Stopped.", 130) if stop.exit_code == 130 else stop.exit_code  # typer exits with 130 on Ctrl-C
    except (typer.Abort, KeyboardInterrupt):
        return _fail(arguments, "Stopped.", 130)
    except ClickException as error:
        return _fail(arguments, _usage(error), error.exit_code)
    except PerennialError as error:
        return _fail(arguments, "\n".join([str(error), *getattr(error, "__notes__", [])]), 1)
    except Exception as error:
        if text := _unreachable(error):
            return _fail(arguments, text, 1)
        print_problem(traceback.format_exc())
        return _fail(arguments, f"{type(error).__name__}: {error}", 1)


def _unreachable(error: Exception) -> str | None:
    """Name the part of the stack that did not answer, or return None if the error has another cause."""
    library, name = type(error).__module__.partition(".")[0], type(error).__name__
    if name == "NoCredentialsError":
        return STACK_IS_DOWN  # the stack writes the credentials when it starts
    if library == "botocore":
        from perennial.store.objects import explain_failure

        bucket = getattr(error, "response", {}).get("Error", {}).get("BucketName")
        where = f" (bucket {bucket})" if bucket else ""
        see = explain_failure(error) or f"PERENNIAL_LAKE is {lake_root()}; see `make status`."
        return f"The object store failed: {error}{where}. {see}"
    if library == "thrift":
        return f"The metastore does not answer ({error}). See `make status`."
    return None


def _usage(error: ClickException) -> str:
    if isinstance(error, NoSuchOption):
        if places := _find_places(error):
            return f"{error.message}. Its place is `{'` or `'.join(places)}`."
        if error.possibilities:
            return f"{error.message}. Did you mean {' or '.join(map(repr, sorted(error.possibilities)))}?"
    return error.format_message()


def _find_places(error: NoSuchOption) -> list[str]:
    """Return the commands that have the option, as one types them: a user may have written it before or after its command."""
    group, name = typer.main.get_command(app), error.option_name
    commands = {"": group, **getattr(group, "commands", {})}
    taken = {
        command: {option for parameter in parsed.params for option in parameter.opts} for command, parsed in commands.items()
    }
    return [" ".join(filter(None, ("perennial", command, name))) for command, options in taken.items() if name in options]


def _fail(arguments: Sequence[str], text: str, code: int) -> int:
    if "--json" in arguments:
        print_json({"error": text})
    else:
        print_problem(f"✗ {text}", style="red")
    return code

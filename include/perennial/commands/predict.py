"""`perennial predict`: send requests to the live model."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, lake_of, served
from perennial.commands.endpoint import look
from perennial.commands.output import print_json, print_line
from perennial.config.load import pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.errors import MAX_PROBLEMS_SHOWN, PerennialError, RefusedError

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.store.json_value import JsonValue

FORWARDED_PORT = 8090
"""Local port in the `kubectl port-forward` command that is printed."""


def predict(
    pipeline: PipelineName = None,
    record: Annotated[str | None, typer.Option(help="One record as JSON.")] = None,
    file: Annotated[
        str | None, typer.Option(help="File with a record or a list of records as JSON; - is standard input.")
    ] = None,
    example: Annotated[
        bool,
        typer.Option(
            "--example", help="Send a record that the active release knows, and print the same request as a curl command."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send records to the endpoint and show the predictions."""
    if sum((record is not None, file is not None, example)) != 1:
        names = pipeline_names() if pipeline is None else [pipeline]
        which = f"the name of a pipeline ({', '.join(names)}) and " if len(names) > 1 else ""
        raise RefusedError(f"A prediction needs {which}records", remedy="Give one of --record, --file and --example.")
    target = served(pipeline)
    records = _example(lake_of(target)) if example else _records(record if record is not None else _read(str(file)))
    answer = _ask(target, records)
    if as_json:
        print_json(answer)
        return
    if example:
        for line in _shell_commands(target, records):
            print_line(line)
    outcome = _describe_outcome(lake_of(target), answer["release"])
    for prediction in answer["predictions"]:
        unseen = f"  unseen: {', '.join(prediction['unseen'])}" if prediction["unseen"] else ""
        if "class" in prediction:
            shares = ", ".join(f"{name} {share:.4f}" for name, share in prediction["probabilities"].items())
            print_line(f"{outcome} = {prediction['class']} ({shares}){unseen}")
        elif "value" in prediction:
            bounds = f" ({prediction['low']:.8g} to {prediction['high']:.8g})" if "low" in prediction else ""
            print_line(f"{outcome} = {prediction['value']:.8g}{bounds}{unseen}")
        else:
            print_line(f"P({outcome}) = {prediction['probability']:.4f}{unseen}")
    print_line(f"{answer['model_version']}, release {answer['release']}, data before {answer['as_of']}", style="dim")


def _describe_outcome(lake: Lake, release: str) -> str:
    """Return the predicted outcome of the model of a release in words: the pipeline's own may have changed since."""
    from perennial.config.label import read_label
    from perennial.deploy.release import read_release
    from perennial.train.trainings import read_model

    return read_label(read_model(lake, read_release(lake, release)["model"])["label"]).outcome


def _shell_commands(pipeline: Pipeline, records: list[JsonValue]) -> list[str]:
    """Return the shell commands that send the same request."""
    from perennial.runtime.kind import runtime_of

    if runtime_of(pipeline) == "process":
        return [_curl(look(pipeline).url, records)]
    from perennial.runtime.kubernetes import SERVING, KubernetesSettings
    from perennial.runtime.serving_objects import service_name

    namespace, service = KubernetesSettings.read(SERVING).namespace, f"service/{service_name(pipeline.name)}"
    forward = shlex.join(["kubectl", "-n", namespace, "port-forward", service, f"{FORWARDED_PORT}:80"])
    return [f"{forward} &", _curl(f"http://127.0.0.1:{FORWARDED_PORT}", records)]


def _curl(url: str, records: list[JsonValue]) -> str:
    from perennial.settings import get_settings

    command = shlex.join(["curl", f"{url}/predict", "-H", "content-type: application/json", "-d", json.dumps(records)])
    file = get_settings().server_tokens
    if file is None:
        return command
    # The shell reads the token, so that it is neither printed nor kept in the history. Empty lines and comments come before it.
    token = f"$(awk '$1 ~ /^[^#]/ {{print $1; exit}}' {shlex.quote(str(file))})"
    return f'{command} -H "authorization: Bearer {token}"'


def _ask(pipeline: Pipeline, records: list[JsonValue]) -> dict[str, Any]:
    import httpx

    from perennial.runtime.choice import open_runtime

    with open_runtime(pipeline).endpoint() as client:
        url = str(client.base_url).rstrip("/")
        try:
            metadata = client.get(f"/v2/models/{pipeline.name}")
            if metadata.status_code == httpx.codes.NOT_FOUND:
                raise RefusedError(
                    f"{url} is not the model server of {pipeline.name!r}", [metadata.text], "Start that server: `make up`."
                )
            answer = client.post("/predict", json=records)
        except httpx.TransportError as error:
            raise PerennialError(f"No model server answers at {url}. Start it: `make up`.") from error
    if answer.status_code != 200:
        raise _read_refusal(f"{url}/predict answered {answer.status_code}", answer.text)
    body: dict[str, Any] = answer.json()
    return body


def _read_refusal(what: str, body: str) -> RefusedError:
    """Turn the answer of the server into an error with one line for each problem."""
    try:
        refusal = json.loads(body)
        problems = refusal.get("problems") or [refusal["error"]]
        more = " (the server lists at most ten problems)" if len(problems) >= MAX_PROBLEMS_SHOWN else ""
        return RefusedError(f"{what}{more}", problems)
    except (ValueError, KeyError, AttributeError):
        return RefusedError(what, [body[:500]])


def _example(lake: Lake) -> list[JsonValue]:
    from perennial.deploy.active import read_active
    from perennial.deploy.protocol import read_golden

    active = read_active(lake)
    if active.release is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r} has no active release yet",
            remedy=f"Run a date first: `perennial run {lake.pipeline.name} --date DATE`.",
        )
    return [dict(read_golden(lake, active.release).records[0])]


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{file} cannot be read", [str(error)]) from error


def _records(text: str) -> list[JsonValue]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError("The records are not valid JSON", [str(error)]) from error
    return value if isinstance(value, list) else [value]

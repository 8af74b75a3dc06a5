"""The reference page of the settings, made from their class: `make settings-page` writes docs/reference/settings.md."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

from perennial.settings import Settings, variables_of
from stack.config import RUNTIME_SETTINGS, StackConfig

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs/reference/settings.md"

TITLE = """# Settings

Environment variables that Perennial reads.
`make settings-page` makes this page from `include/perennial/settings.py`; a test fails when the two disagree.

A command takes each variable from the first place that sets it:

1. The environment.
2. The file `.env` at the root of the checkout, with one `NAME=value` a line.
   It counts for the checkout's own stack only: with `PERENNIAL_VAR` set, it is not read.
3. The file `stack.env` in the state folder, which `make up` writes.

Services and tasks of the stack have the environment of the `make up` that started them, with `.env` and `stack.env` in it.
A changed `.env` therefore needs `make down up`.
Pods get their variables from the task that starts them.

An empty variable counts as not set.
Where `stack.env` exists, the `AWS_*` variables of a shell count only together with `AWS_ENDPOINT_URL_S3`.
Without it, those of `stack.env` replace them all, so that keys of another account are not sent to the stack's object store.
"""

OTHERS = {
    "AWS_*": "Every other variable of AWS's own tools, for example `AWS_PROFILE`: boto3 reads it.",
    "CUBLAS_WORKSPACE_CONFIG": "Memory of products on a GPU; trainings with PyTorch set it to `:4096:8` when it is not set.",
    "CUDA_VISIBLE_DEVICES": (
        "GPUs of a training, read by its library; without GPUs, one with TensorFlow sets it to `-1` when it is not set."
    ),
    "NO_PROXY": "Hosts that are called without a proxy, read by HTTP clients; commands add this machine and the stack's store.",
    "ORT_DISABLE_TELEMETRY": "Read by ONNX Runtime; set to `1` when it is not set.",
    "TF_CPP_MIN_LOG_LEVEL": "Log level of TensorFlow; trainings set it to `3` when it is not set.",
    "PERENNIAL_AIRFLOW_PORT": "Port of Airflow with containers, 8080 when it is not set; read by `docker-compose.yaml`.",
    "PERENNIAL_BASE_IMAGE": "Base image of all images, that of the Dockerfiles when it is not set; read by `make images`.",
    "PERENNIAL_IVY_SETTINGS": "Ivy settings file that names a mirror for Spark's jars; read by `make setup`.",
    "PERENNIAL_KUBECONFIG": "File of the cluster that containers mount; read by `docker-compose.yaml`.",
    "PERENNIAL_PIPELINE": (
        "Pipeline of the model server with containers, `flight_delays` when it is not set; read by `docker-compose.yaml`."
    ),
    "PERENNIAL_SERVICE": (
        "Set by the stack on each of its processes, to find them again; they keep the `AWS_*` variables that they started with."
    ),
    "PERENNIAL_TAG": "Tag of the images with containers; set by `make compose-up`, read by `docker-compose.yaml`.",
    "PERENNIAL_TORCH": "`1`: the Airflow image has PyTorch; read by `make image-airflow` and `make compose-up`.",
}
"""Variables that are not in the class: other programs read them, or they are only set."""


def settings_page() -> str:
    """Return the text of the page."""
    written = StackConfig(repo=REPO, var=REPO / "var").shared_environment()
    lines = [TITLE, "| Variable | Default | Purpose | In `stack.env` |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variables = variables_of(name)
        shown = ", else ".join(f"`{variable}`" for variable in variables)
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| {shown} | {default} | {field.description} | {_origin(variables[0], written)} |")
    lines += ["", "## Variables that are not in the class", "", "| Variable | Purpose |", "|---|---|"]
    lines += [f"| `{variable}` | {purpose} |" for variable, purpose in OTHERS.items()]
    return "\n".join(lines) + "\n"


def _origin(variable: str, written: Collection[str]) -> str:
    """Say where `stack.env` has a variable from; those of RUNTIME_SETTINGS are written only where this shell sets them."""
    if variable in RUNTIME_SETTINGS:
        return "as set at `make up`"
    return "yes" if variable in written else ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(settings_page(), encoding="utf-8")
    sys.stdout.write(f"  {PAGE.relative_to(REPO)}\n")


if __name__ == "__main__":
    main()

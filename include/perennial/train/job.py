"""The job file: everything that one training needs. The trainer reads only this file and what it names."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from perennial.config.candidates import Candidate
from perennial.config.label import LabelField
from perennial.config.pipeline import Contract, Inputs
from perennial.errors import RefusedError
from perennial.store.content_name import canonical_json, check_job_name
from perennial.store.objects import Objects


class Features(Contract):
    """The features table at one snapshot, and the expected content of each date."""

    metadata_location: str
    snapshot_id: int
    window: Annotated[list[date], Field(min_length=1)]
    holdout: Annotated[list[date], Field(min_length=1)]
    digests: dict[date, str]
    rows: dict[date, int]


class Labels(Contract):
    """The table of labels at one snapshot, if labels are known later than rows, and the expected content of each date."""

    metadata_location: str
    snapshot_id: int
    digests: dict[date, str]
    rows: dict[date, int]


class Output(Contract):
    """The addresses of the result: the manifest, and the prefix of blobs named by their SHA-256."""

    manifest: str
    blobs: str


class Sample(Contract):
    """The number of rows of the window to train on, about, and how they are chosen."""

    max_rows: int
    kind: Literal["uniform", "balanced"]


class TrainingJob(Contract):
    """
    One training of one candidate, or one search for its parameters.

    Settings with `search` make it a search: its window and holdout are dates of a training's window, and its manifest is the
    result of the search.
    """

    format: Literal[1] = 1
    pipeline: str
    space: str
    candidate: str
    settings: Candidate
    date: date
    key: str
    seed: int
    features: Features
    labels: Labels | None = None
    """None: the features hold the label."""

    inputs: Inputs
    label: LabelField
    row_key: list[str]
    sample: Sample | None = None
    """None: train on all rows."""

    judged_below: int | None = None
    """The limit of the hash below which rows of the holdout are judged, but for dates of few rows. None: all rows."""

    source: str | None = None
    """The text of the candidate's file, `candidates/<candidate>.py`. None: it has none."""

    parts: list[str] = Field(default=[])
    """Manifests of the models that a blend is made of."""

    begins: str | None = None
    """Manifest of the model whose weights the training starts from."""

    before: str | None = None
    """Result of the search before this one. None: this is the first one, or no search."""

    versions: dict[str, str]
    code: str
    output: Output

    def encode(self) -> bytes:
        """Return the bytes of the job file."""
        return canonical_json(self.model_dump(mode="json"))


def read_job(objects: Objects, uri: str) -> TrainingJob:
    """Read a job file, and refuse it if its name is not the SHA-256 of its bytes."""
    body = objects.read_existing(uri).body
    check_job_name(uri, body)
    try:
        return TrainingJob.model_validate_json(body)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors(include_url=False)]
        raise RefusedError(
            f"Job {uri} is not valid", problems, "Another version of Perennial wrote it. Plan the training again."
        ) from None

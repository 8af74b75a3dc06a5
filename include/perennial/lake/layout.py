"""The addresses of a pipeline's objects in the lake: one prefix for each (space, pipeline)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.settings import get_settings


@dataclass(frozen=True, slots=True)
class Layout:
    """The addresses of one pipeline in one space; production's space is `main`."""

    lake: str
    space: str
    pipeline: str

    @property
    def root(self) -> str:
        """Return the prefix of all objects, without a / at the end."""
        return f"{self.lake}/{self.space}/{self.pipeline}"

    @property
    def database(self) -> str:
        """Return the database of the pipeline's tables in the metastore."""
        return f"{self.space}__{self.pipeline}"

    @property
    def warehouse(self) -> str:
        """Return the folder of the tables."""
        return f"{self.lake}/warehouse"

    def raw(self, digest: str, suffix: str) -> str:
        """Return the address of pinned bytes; the suffix (.csv, .csv.gz) tells Spark how to read them."""
        return f"{self.root}/raw/{digest}{suffix}"

    def register(self, source: str, page: str) -> str:
        """Return the address of one page of the register of accepted drops: a month (YYYY-MM), or 'reference'."""
        return f"{self.root}/drops/{source}/{page}.json"

    def refusals(self, source: str) -> str:
        """Return the prefix of a source's refusals."""
        return f"{self.root}/refused/{source}/"

    def refused_drop(self, source: str, day: date, state: str) -> str:
        """Return the address of collect's refusal of a drop, named by everything that the refusal depends on."""
        return f"{self.refusals(source)}{day}/{state}.json"

    def refusal(self, source: str, day: date | None, key: str) -> str:
        """Return the address of clean's refusal of a drop (day None: a reference)."""
        return f"{self.refusals(source)}{day or 'reference'}/{key}.json"

    def job(self, digest: str) -> str:
        """Return the address of a job file."""
        return f"{self.root}/jobs/{digest}.json"

    def recipes(self, stage: str) -> str:
        """Return the prefix of a stage's recipes."""
        return f"{self.root}/recipes/{stage}/"

    def recipe(self, stage: str, digest: str) -> str:
        """Return the address of one recipe of a stage, named by its content."""
        return f"{self.recipes(stage)}{digest}.json"

    def costs(self, stage: str) -> str:
        """Return the prefix of the cost records of a stage's Spark jobs."""
        return f"{self.root}/costs/{stage}/"

    def cost(self, stage: str, first: str, last: str, digest: str) -> str:
        """Return the address of the cost record of the job of these dates, named by the job's content."""
        return f"{self.costs(stage)}{first}_{last}_{digest}.json"

    def model_manifest(self, candidate: str, day: date, key: str) -> str:
        """Return the address of the manifest of one trained candidate; the manifest is written last."""
        return f"{self.root}/models/{candidate}/{day}/{key}.json"

    def searches(self, candidate: str) -> str:
        """Return the prefix of the searches for a candidate's parameters."""
        return f"{self.root}/searches/{candidate}/"

    def search(self, candidate: str, day: date, key: str) -> str:
        """Return the address of the result of one search. Its trials are below it, without the suffix."""
        return f"{self.searches(candidate)}{day}/{key}.json"

    def blob(self, digest: str) -> str:
        """Return the address of a file named by its content."""
        return f"{self.root}/blobs/{digest}"

    def decision(self, day: date, digest: str) -> str:
        """Return the address of one decision."""
        return f"{self.root}/decisions/{day}/{digest}.json"

    @property
    def chain(self) -> str:
        """Return the address of the decision log: all decisions and interventions."""
        return f"{self.root}/decisions/chain.json"

    @property
    def experiment(self) -> str:
        """Return the address of the experiment's settings, if the space belongs to an experiment."""
        return f"{self.root}/experiment.json"

    @property
    def reports(self) -> str:
        """Return the prefix of the reports."""
        return f"{self.root}/reports/"

    def report(self, first: date, last: date) -> str:
        """Return the address of the report over these dates."""
        return f"{self.reports}{first}_{last}.html"

    def release(self, release: str) -> str:
        """Return the address of the manifest of a release."""
        return f"{self.root}/releases/{release}.json"

    @property
    def releases(self) -> str:
        """Return the prefix of the manifests of releases."""
        return f"{self.root}/releases/"

    def signature(self, key: str, name: str) -> str:
        """Return the address of a key's signature of an object, whose name is its address below the root."""
        return f"{self.root}/signatures/{key}/{name}"

    @property
    def active(self) -> str:
        """Return the address of the pointer to the serving release."""
        return f"{self.root}/endpoint/active.json"


def lake_root() -> str:
    """Return the address of the lake: PERENNIAL_LAKE, or s3://perennial."""
    return get_settings().lake.rstrip("/")

"""Where everything of a pipeline lives in the lake: one prefix for each (space, pipeline)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.settings import get_settings


@dataclass(frozen=True, slots=True)
class Layout:
    """Addresses of one pipeline in one space; production's space is `main`."""

    lake: str
    space: str
    pipeline: str

    @property
    def root(self) -> str:
        """Return the prefix of everything, without a / at its end."""
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
        """Return one page of the register of accepted drops: a month (YYYY-MM), or 'reference'."""
        return f"{self.root}/drops/{source}/{page}.json"

    def refusals(self, source: str) -> str:
        """Return the prefix of the records of what was refused of a source."""
        return f"{self.root}/refused/{source}/"

    def refused_drop(self, source: str, day: date, state: str) -> str:
        """Return the record of why collect refused a drop, named by all that the refusal rests on."""
        return f"{self.refusals(source)}{day}/{state}.json"

    def refusal(self, source: str, day: date | None, key: str) -> str:
        """Return the record of why cleaning refused a drop (day None: a reference)."""
        return f"{self.refusals(source)}{day or 'reference'}/{key}.json"

    def job(self, digest: str) -> str:
        """Return the address of a job file."""
        return f"{self.root}/jobs/{digest}.json"

    def recipes(self, stage: str) -> str:
        """Return the prefix of the ways in which a stage has made its results."""
        return f"{self.root}/recipes/{stage}/"

    def recipe(self, stage: str, digest: str) -> str:
        """Return one way in which a stage made its results, named by its content."""
        return f"{self.recipes(stage)}{digest}.json"

    def costs(self, stage: str) -> str:
        """Return the prefix of what the Spark jobs of a stage cost."""
        return f"{self.root}/costs/{stage}/"

    def cost(self, stage: str, first: str, last: str, digest: str) -> str:
        """Return the record of what the job of these dates cost, named by the job's content."""
        return f"{self.costs(stage)}{first}_{last}_{digest}.json"

    def model_manifest(self, candidate: str, day: date, key: str) -> str:
        """Return the manifest of one trained candidate; it is written last."""
        return f"{self.root}/models/{candidate}/{day}/{key}.json"

    def blob(self, digest: str) -> str:
        """Return the address of a file named by its content."""
        return f"{self.root}/blobs/{digest}"

    def decision(self, day: date, digest: str) -> str:
        """Return one decision object."""
        return f"{self.root}/decisions/{day}/{digest}.json"

    @property
    def chain(self) -> str:
        """Return the head of the chain of decisions and interventions."""
        return f"{self.root}/decisions/chain.json"

    @property
    def experiment(self) -> str:
        """Return the settings of the experiment whose space this is."""
        return f"{self.root}/experiment.json"

    @property
    def reports(self) -> str:
        """Return the prefix of the reports' pages."""
        return f"{self.root}/reports/"

    def report(self, first: date, last: date) -> str:
        """Return the page of the report over these dates."""
        return f"{self.reports}{first}_{last}.html"

    def release(self, release: str) -> str:
        """Return the manifest of a release."""
        return f"{self.root}/releases/{release}.json"

    @property
    def active(self) -> str:
        """Return the pointer to the release that serves."""
        return f"{self.root}/endpoint/active.json"


def lake_root() -> str:
    """Return the address of the lake: PERENNIAL_LAKE, or s3://perennial."""
    return get_settings().lake.rstrip("/")

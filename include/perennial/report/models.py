"""The models whose predictions are compared date by date."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from perennial.config.label import read_label
from perennial.config.pipeline import Inputs
from perennial.errors import PerennialError
from perennial.evaluate.holdout import read_file
from perennial.evaluate.opponents import unfit
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.models.metrics import Floats
from perennial.models.scoring import score
from perennial.train.trainings import read_model

if TYPE_CHECKING:
    import pyarrow as pa


class Models:
    """Manifests and graphs of models; each graph is read once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._graphs: dict[str, bytes] = {}

    def manifest(self, uri: str) -> ModelManifest:
        """Return the manifest at an address."""
        return read_model(self._lake, uri)

    def manifest_of(self, name: str, day: date, version: str) -> ModelManifest:
        """Return the manifest of a candidate. A version ends with the first digits of its fingerprint."""
        prefix = self._lake.layout.model_manifest(name, day, version.rpartition("-")[2]).removesuffix(".json")
        addresses = [uri for uri in self._lake.objects.list(prefix) if uri.endswith(".json")]
        if not addresses:
            raise PerennialError(f"{prefix}….json: no such manifest, but the decision of {day} names {version}.")
        return self.manifest(addresses[0])

    def is_of_present_label(self, manifest: ModelManifest) -> bool:
        """Return whether a model answers the question of the pipeline's present label."""
        return read_label(manifest["label"]).settings == self._lake.pipeline.label.settings

    def predict(self, manifest: ModelManifest, day: date, rows: pa.Table, output: str | None = None) -> Floats | None:
        """
        Return the predictions of a day's rows, or None if the model saw the day or lacks an input.

        :param output: another output of the graph than its first one
        """
        inputs = Inputs.model_validate(manifest["inputs"])
        if day.isoformat() in manifest["window"] or unfit(manifest, inputs, self._lake.pipeline):
            return None
        version = manifest["version"]
        if version not in self._graphs:
            self._graphs[version] = read_file(self._lake, manifest, "model.onnx")
        return score(self._graphs[version], rows, inputs, output)

"""A pipeline whose files are refused, for the commands that need only what is stored and what serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError

from perennial.config.load import FILE
from perennial.config.pipeline import Deployment, Pipeline
from perennial.config.text import read_text, shown
from perennial.config.yaml_reader import parse_yaml
from perennial.errors import PipelineRefusedError


class RefusedPipeline(Pipeline):
    """
    A pipeline whose files are refused. It has its name, its folder and, where the file shows it, its `deployment`.

    Each other setting raises the refusal where it is used, so a command fails only if it needs the files.
    """

    _refusal: PipelineRefusedError = PrivateAttr()

    @classmethod
    def read(cls, folder: Path, refusal: PipelineRefusedError) -> Self:
        """Read the settings that are valid by themselves."""
        deployment = _read_deployment(folder)
        settings: dict[str, Any] = {"name": folder.name, "folder": folder, **({"deployment": deployment} if deployment else {})}
        pipeline = cls.model_construct(**settings)
        for name in cls.model_fields.keys() - settings.keys():
            pipeline.__dict__.pop(name, None)  # a default would hide that the setting could not be read
        pipeline._refusal = refusal
        return pipeline

    def serving_on(self, runtime: str | None) -> Self:
        """Return the pipeline with the runtime on which it serves; None: it is not known."""
        known: dict[str, Any] = {} if runtime is None else {"runtime": runtime}
        if runtime == "process" and "deployment" not in self.__dict__:
            known["deployment"] = Deployment()  # of these settings, a process uses only the length of the soak
        return self.model_copy(update=known)

    def __getattr__(self, name: str) -> Any:
        """Raise the refusal for a setting that could not be read."""
        if name in Pipeline.model_fields:
            raise self._refusal
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides it from type checkers


def _read_deployment(folder: Path) -> Deployment | None:
    try:
        document = parse_yaml(shown(folder / FILE), read_text(folder, FILE))
        return Deployment.model_validate(document.value.get("deployment", {}))
    except (PipelineRefusedError, ValidationError):
        return None

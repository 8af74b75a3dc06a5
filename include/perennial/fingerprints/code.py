"""
The code that decides a stage's result: the modules that its entry point imports, less those that decide nothing.

A module that is new to a stage counts by itself. One that is to be left out is listed here, with the reason: what it does may be
changed without making any result another one, or what it decides is a part of the key by its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from perennial.fingerprints.closure import Modules
from perennial.fingerprints.known_sources import PACKAGE, known_sources
from perennial.store.objects import canonical_json, sha256

DECIDES_NOTHING: Mapping[str, str] = MappingProxyType(
    {
        "perennial": "it turns off the telemetry of ONNX Runtime",
        "perennial.errors": "texts and exit codes of what fails, and so has no result",
        "perennial.settings": "where stores, programs and pods are: the bytes are the same at any address",
        "perennial.fingerprints.code": "finds out which code decides: another answer is another part of the key already",
        "perennial.store.heads": "moves an object on a condition; what it holds is made elsewhere",
        "perennial.fingerprints.keys": "makes the keys themselves: other keys for the same parts are other names already",
        "perennial.lake.lake": "what a stage is handed; the values in it that decide are parts of the keys",
        "perennial.store.objects": "moves bytes; its canonical JSON is that of the keys, so another form of it gives other keys",
        "perennial.config.pipeline": "what pipeline.yaml may say; what it does say is a part of the keys, value by value",
        "perennial.config.contract": "strictness in reading pipeline.yaml and job files",
        "perennial.config.values": "which values pipeline.yaml may hold; those that it does hold are parts of the keys",
        "perennial.train.candidates": "which module fits a candidate (a part of its code), its libraries (a part of its key)",
        "perennial.train.plan": "plans trainings; the address of a model, by which others read it, ends in its key",
    }
)
"""For every stage."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """
    A stage, or a part of one with results of its own.

    :param entry: the module that makes the result
    :param decides_nothing: modules that decide nothing of this stage, with the reason
    """

    entry: str
    decides_nothing: Mapping[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> frozenset[str]:
        """Return the modules that decide nothing of this stage."""
        return frozenset({*DECIDES_NOTHING, *self.decides_nothing})


ENTRY_POINTS: Mapping[str, EntryPoint] = MappingProxyType(
    {
        "collect": EntryPoint("perennial.collect.accept"),
        "clean": EntryPoint("perennial.clean.job"),
        "analyse": EntryPoint("perennial.analyse.job", {"perennial.analyse.day_profile": "makes profiles alone"}),
        "profile": EntryPoint(
            "perennial.analyse.job", {"perennial.analyse.features": "makes lookups, features and analyses alone"}
        ),
        "train": EntryPoint("perennial.train.__main__"),
        "evaluate": EntryPoint("perennial.evaluate.decision"),
        "release": EntryPoint("perennial.deploy.release"),
    }
)


_BEHIND: dict[str, Mapping[str, str]] = {}


@cache
def code_digest(stage: str, *more: str) -> str:
    """
    Return a digest of the code that decides the result of a stage.

    :param more: modules that the stage finds by name: that of a candidate
    """
    modules = modules_of(stage, *more)
    digest = sha256(canonical_json({"modules": modules}))
    _BEHIND[digest] = modules
    return digest


def modules_behind(digest: str) -> Mapping[str, str]:
    """Return {module: digest of its source} behind a digest that code_digest gave in this process."""
    return _BEHIND[digest]


def modules_of(stage: str, *more: str) -> dict[str, str]:
    """Return {module: digest of its source} of the code that decides the result of a stage."""
    return _installed().closure([ENTRY_POINTS[stage].entry, *more], ENTRY_POINTS[stage].left_out)


@cache
def _installed() -> Modules:
    return Modules(PACKAGE, known_sources())

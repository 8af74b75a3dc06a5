"""
The code that decides a stage's result: the modules that its entry point imports, except those that decide nothing.

A new module of a stage counts automatically. Excluded modules are listed here, each with its reason:
a change of the module cannot change a result, or the values that it decides are a part of the fingerprint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from perennial.errors import PerennialError
from perennial.fingerprints.closure import Modules
from perennial.fingerprints.known_sources import PACKAGE, known_sources
from perennial.store.content_name import canonical_json, sha256

DECIDES_NOTHING: Mapping[str, str] = MappingProxyType(
    {
        "perennial": "it turns off the telemetry of ONNX Runtime, deletes old bytecode, and opens results for reading",
        "perennial.errors": "texts and exit codes of failures, which have no result",
        "perennial.display.printed_error": "marks texts of failures, which have no result",
        "perennial.display.showable": "texts as people see them: results hold them as they are",
        "perennial.settings": "addresses of stores, programs and pods: the bytes are the same at any address",
        "perennial.fingerprints.code": "finds the code that decides: another answer changes the fingerprint already",
        "perennial.spark.lean": "keeps libraries out of a job that does not use them",
        "perennial.store.scratch": "chooses a folder for temporary files; their bytes are the same",
        "perennial.store.heads": "replaces an object on a condition; its content is computed elsewhere",
        "perennial.fingerprints.fingerprint": "computes the fingerprints: other fingerprints for the same parts have other names",
        "perennial.lake.boundary": "names what is outside the lake, which is refused",
        "perennial.lake.catalog": "finds tables in the metastore; the digests of their rows are parts of the fingerprints",
        "perennial.lake.files": "refuses files outside the lake; the bytes of the others are the same",
        "perennial.lake.lake": "the context of a stage; its values that decide a result are parts of the fingerprints",
        "perennial.store.content_name": "fingerprints use its canonical JSON, so another form of it changes them already",
        "perennial.store.objects": "moves bytes between processes and the store, and changes none",
        "perennial.config.pipeline": "the allowed content of pipeline.yaml; its actual values are parts of the fingerprints",
        "perennial.config.candidates": "the allowed parameters of candidates; their values are parts of the fingerprints",
        "perennial.config.search": "the allowed settings of searches; their values are parts of the fingerprints",
        "perennial.config.contract": "strictness in reading pipeline.yaml and job files",
        "perennial.config.values": "the allowed values in pipeline.yaml; its actual values are parts of the fingerprints",
        "perennial.signing.keys": "reads keys; the bytes that they sign are the same",
        "perennial.signing.objects": "signs and verifies bytes, and changes none",
        "perennial.signing.subject": "the identity in a signature, which is no part of the signed object",
        "perennial.spark.failures": "texts of failed jobs, which have no result",
        "perennial.spark.sql_errors": "texts of refused queries, which have no result",
        "perennial.spark.size": "divides the rows among tasks: they are the same in any number of them",
        "perennial.spark.session": "decides what Java compiles and what memory rows take: they are the same",
        "perennial.spark.budget": "stops queries, which then have no result",
        "perennial.spark.closed_world": "refuses queries: one that passes has the result that it has without the check",
        "perennial.spark.plan_nodes": "reads plans so that queries can be refused",
        "perennial.spark.moments": "refuses queries that depend on the time",
        "perennial.sql.refused_functions": "the functions and texts that are refused",
        "perennial.train.candidates": "the module of a candidate (part of its code) and its libraries (part of its fingerprint)",
        "perennial.train.scratch": "refuses files that do not fit on the disk; the bytes of the others are the same",
        "perennial.train.servable": "refuses graphs; the bytes of the others are the same",
        "perennial.train.trainings": "the parts of the fingerprints; others read a model by its address, which ends in one",
    }
)
"""Modules that decide nothing of any stage, each with the reason."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """
    A stage, or a part of a stage that has its own results.

    :param entry: the module that computes the result
    :param decides_nothing: further modules that decide nothing of this stage, each with the reason
    """

    entry: str
    decides_nothing: Mapping[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> frozenset[str]:
        """Return the modules that decide nothing of this stage."""
        return frozenset({*DECIDES_NOTHING, *self.decides_nothing})


ENTRY_POINTS: Mapping[str, EntryPoint] = MappingProxyType(
    {
        "collect": EntryPoint(
            "perennial.collect.accept", {"perennial.config.date_format": "reads cells, and collect reads none"}
        ),
        "clean": EntryPoint("perennial.clean.job"),
        "analyse": EntryPoint("perennial.analyse.job", {"perennial.analyse.day_profile": "computes only profiles"}),
        "profile": EntryPoint(
            "perennial.analyse.job",
            {
                "perennial.analyse.features": "computes only lookups, features, labels and analyses",
                "perennial.analyse.queries": "plans only lookups, features, labels and analyses",
                "perennial.analyse.row_rules": "checks only features",
                "perennial.analyse.merged": "looks only at features",
            },
        ),
        "train": EntryPoint(
            "perennial.train.__main__", {"perennial.train.search": "chooses parameters, which are parts of the fingerprints"}
        ),
        "search": EntryPoint("perennial.train.search"),
        "evaluate": EntryPoint("perennial.evaluate.decision"),
        "release": EntryPoint("perennial.deploy.release"),
        "score": EntryPoint(
            "perennial.score.job",
            {
                "perennial.analyse.partitions": "names duplicates, which are refused",
                "perennial.serve.records": "reads the records of requests",
                "perennial.serve.refusal": "texts of refused requests",
                "perennial.serve.limits": "limits of requests",
            },
        ),
    }
)


_BEHIND: dict[str, Mapping[str, str]] = {}


@cache
def code_digest(stage: str, *more: str) -> str:
    """
    Return a digest of the code that decides the result of a stage.

    :param more: modules that the stage finds by name, such as that of a candidate
    :raises PerennialError: a file has changed since this process imported it, so its digest is not that of the code that runs
    """
    modules = modules_of(stage, *more)
    _refuse_changed(modules)
    digest = sha256(canonical_json({"modules": modules}))
    _BEHIND[digest] = modules
    return digest


def digests_of_job(kind: str) -> dict[str, str]:
    """Return the digest of each part of a Spark job: the plan names them in the job file, and the job compares."""
    return {stage: code_digest(stage) for stage, point in ENTRY_POINTS.items() if point.entry == f"perennial.{kind}.job"}


def refuse_changed_code() -> None:
    """
    Raise PerennialError if a file behind a digest of this process has changed since it was imported.

    Call it before a result is stored.
    """
    _refuse_changed({name for modules in _BEHIND.values() for name in modules})


def _refuse_changed(modules: Iterable[str]) -> None:
    imported_ns = sys.modules["perennial"].IMPORTED_NS  # the package imports all layers, so none imports it
    loaded = {name: file for name in modules if (module := sys.modules.get(name)) and (file := module.__file__)}
    if changed := sorted(name for name, file in loaded.items() if os.stat(file).st_ctime_ns > imported_ns):
        raise PerennialError(
            f"Perennial's own files changed while this process ran: {', '.join(changed)}",
            remedy="Run it again: a result comes from one state of the code.",
        )


def modules_behind(digest: str) -> Mapping[str, str]:
    """Return {module: digest of its source} for a digest that code_digest returned in this process."""
    return _BEHIND[digest]


def modules_of(stage: str, *more: str) -> dict[str, str]:
    """Return {module: digest of its source} of the code that decides the result of a stage."""
    return _read_installed().closure([ENTRY_POINTS[stage].entry, *more], ENTRY_POINTS[stage].left_out)


@cache
def _read_installed() -> Modules:
    return Modules(PACKAGE, known_sources())

"""The check of candidates that needs their libraries: importing scikit-learn takes seconds, so reading a pipeline does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perennial.config.candidates import Family, Sklearn
from perennial.config.load import FILE
from perennial.config.pipeline import Pipeline
from perennial.config.text import read_text
from perennial.config.values import Problem
from perennial.config.yaml_reader import parse_yaml
from perennial.runtime.environment import find_missing
from perennial.runtime.kind import runtime_of


def candidate_problems(pipeline: Pipeline, *names: str) -> list[str]:
    """
    Return the problems of candidates whose libraries are missing or refuse their settings, with the lines of the YAML.

    :param names: the candidates to check; all when none is given
    """
    candidates = pipeline.training.candidates
    chosen = {name: candidates[name] for name in names or candidates}
    found = [*_missing_libraries(pipeline, chosen), *_refused_settings(pipeline, chosen)]
    if not found:
        return []
    document = parse_yaml(FILE, read_text(pipeline.folder, FILE))
    problems = []
    for place, text in found:
        at = ("training", "candidates", *map(str, place))
        problems.append((document.line(at), f"{'.'.join(at)}: {text}"))
    return [f"{FILE}, line {line}: {text}" for line, text in sorted(problems)]


def _missing_libraries(pipeline: Pipeline, candidates: Mapping[str, Family]) -> Iterator[Problem]:
    """Yield the candidates that train on this machine, without the libraries of their family. Pods have their image."""
    for name, settings in candidates.items():
        if (missing := find_missing(settings.family)) is not None and runtime_of(pipeline) == "process":
            yield (name,), missing


def _refused_settings(pipeline: Pipeline, candidates: Mapping[str, Family]) -> Iterator[Problem]:
    """Yield the settings of the family `sklearn` that scikit-learn does not accept."""
    for name, settings in candidates.items():
        if isinstance(settings, Sklearn):
            from perennial.train.estimators import estimator_problems

            yield from (((name, *place), text) for place, text in estimator_problems(settings, pipeline.label.task))

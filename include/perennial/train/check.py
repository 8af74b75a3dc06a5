"""The check of candidates that needs their libraries: importing scikit-learn takes seconds, so reading a pipeline does not."""

from __future__ import annotations

from perennial.config.candidates import Sklearn
from perennial.config.load import FILE
from perennial.config.pipeline import Pipeline
from perennial.config.text import read_text
from perennial.config.yaml_reader import parse_yaml


def candidate_problems(pipeline: Pipeline, *names: str) -> list[str]:
    """
    Return the problems of the candidates of the family `sklearn`, with the lines of the YAML.

    :param names: the candidates to check; all when none is given
    """
    candidates = pipeline.training.candidates
    chosen = {name: item for name in names or candidates if isinstance(item := candidates[name], Sklearn)}
    if not chosen:
        return []
    from perennial.train.estimators import estimator_problems

    document = parse_yaml(FILE, read_text(pipeline.folder, FILE))
    problems = []
    for name, settings in chosen.items():
        for place, text in estimator_problems(settings, pipeline.label.task):
            at = ("training", "candidates", name, *map(str, place))
            problems.append((document.line(at), f"{'.'.join(at)}: {text}"))
    return [f"{FILE}, line {line}: {text}" for line, text in sorted(problems)]

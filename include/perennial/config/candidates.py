"""The candidates of a pipeline: the families of models, and the parameters of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from perennial.config.candidate_file import RULES
from perennial.config.contract import Contract
from perennial.config.estimators import MANAGED, check_estimator, check_parameter, find_other_kind
from perennial.config.search import Search, Searchable
from perennial.config.values import Name, Problem, Some, doubled, refuse
from perennial.errors import did_you_mean

Rate = Annotated[float, Field(ge=1e-4, le=1)]
Width = Annotated[int, Field(ge=1, le=4096)]
Penalty = Annotated[float, Field(ge=0, le=1e6)]


ALL_TASKS = frozenset({"binary", "multiclass", "regression"})


class Logistic(Searchable):
    """Logistic regression."""

    TASKS: ClassVar[frozenset[str]] = frozenset({"binary", "multiclass"})
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"C"})
    family: Literal["logistic"] = "logistic"
    C: Annotated[float, Field(ge=1e-6, le=1e4)] | None = None
    """Inverse strength of the penalty. None: 0.03, or a greater one that gains on the window's last dates."""

    bins: Annotated[int, Field(ge=0, le=64)] = 8
    """Bins of each amount, each with a slope of its own. 0: one slope for the amount."""


class Linear(Searchable):
    """Linear regression with a penalty on the squares of its weights (ridge). It predicts the mean alone."""

    TASKS: ClassVar[frozenset[str]] = frozenset({"regression"})
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"alpha"})
    family: Literal["linear"] = "linear"
    alpha: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    """Strength of the penalty. None: 30, or a smaller one that gains on the window's last dates."""

    bins: Annotated[int, Field(ge=0, le=64)] = 8
    """Bins of each amount, each with a slope of its own. 0: one slope for the amount."""


class Mlp(Searchable):
    """A network of dense layers with ReLU, trained with AdamW and a cosine of the learning rate."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"learning_rate", "weight_decay", "batch", "epochs"})
    family: Literal["mlp"] = "mlp"
    units: list[Width] = Field(default=[128, 64, 32], min_length=1, max_length=10)
    """Units of each hidden layer."""

    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.3
    batch: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Rows of a batch. None: a fiftieth of the window, as a power of two from 32 to 512."""

    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """None: 5, and as many as give 300 batches."""


class XGBoost(Searchable):
    """Gradient boosted trees of XGBoost. The defaults of depth and weight follow the number of rows and the base rate."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"trees", "learning_rate", "min_child_weight", "reg_lambda"})
    family: Literal["xgboost"] = "xgboost"
    trees: Annotated[int, Field(ge=1, le=5000)] = 200
    learning_rate: Rate = 0.05
    max_depth: Annotated[int, Field(ge=1, le=16)] | None = None
    """None: 3 to 5."""

    min_child_weight: Penalty | None = None
    """None: 1 to 20."""

    subsample: Rate = 0.8
    colsample_bytree: Rate = 0.5
    reg_lambda: Penalty = 5.0


class LightGBM(Searchable):
    """Gradient boosted trees of LightGBM. The defaults of leaves follow the number of rows and the base rate."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"trees", "learning_rate", "num_leaves", "min_child_samples", "reg_lambda"})
    family: Literal["lightgbm"] = "lightgbm"
    trees: Annotated[int, Field(ge=1, le=5000)] = 200
    learning_rate: Rate = 0.05
    num_leaves: Annotated[int, Field(ge=2, le=4096)] | None = None
    """None: 6, 12 or 31."""

    min_child_samples: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """None: 10 to 100."""

    subsample: Rate = 0.8
    colsample_bytree: Rate = 0.5
    reg_lambda: Penalty = 5.0


def _refuse_managed(params: dict[str, Any]) -> dict[str, Any]:
    refuse(((name,), f"{name}: {MANAGED[name]}. Remove it") for name in params if name in MANAGED)
    return params


class Sklearn(Contract):
    """A classifier or regressor of scikit-learn, as the task needs. It holds all rows of the window at once."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    family: Literal["sklearn"] = "sklearn"
    estimator: Annotated[str, AfterValidator(check_estimator)]
    """Its import path."""

    params: Annotated[
        dict[str, Annotated[Any, BeforeValidator(check_parameter)]], Field(max_length=50), AfterValidator(_refuse_managed)
    ] = Field(default={})
    """Parameters of its constructor. The others have scikit-learn's defaults."""


class Network(Searchable):
    """A network: `build` of the pipeline's file `candidates/<name>.py` returns it, and Perennial trains it."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    LOG_SCALE: ClassVar[frozenset[str]] = frozenset({"learning_rate", "batch", "epochs"})
    learning_rate: Rate = 1e-3
    batch: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Rows of a batch. None: as for `mlp`."""

    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """None: as for `mlp`."""


class Keras(Network):
    """A network of Keras: `build` of the pipeline's file `candidates/<name>.py` returns it, and Perennial trains it."""

    family: Literal["keras"] = "keras"


class PyTorch(Network):
    """A network of PyTorch: `build` of the pipeline's file `candidates/<name>.py` returns it, and Perennial trains it."""

    family: Literal["pytorch"] = "pytorch"


class File(Contract):
    """A model that `fit` of the pipeline's file `candidates/<name>.py` trains. It gets all rows of the window at once."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    family: Literal["file"] = "file"
    view: Literal["matrix", "table"] = "matrix"
    """The view of the rows that `fit` gets."""


class Blend(Contract):
    """The mean of other candidates' margins, with equal weights. Their models become one graph."""

    TASKS: ClassVar[frozenset[str]] = ALL_TASKS
    family: Literal["blend"] = "blend"
    of: Annotated[Some[Name], Field(min_length=2, max_length=19)]
    """Names of the other candidates. In the YAML it may be left out: all that are no blends."""


SearchableFamily = Logistic | Linear | Mlp | XGBoost | LightGBM | Keras | PyTorch
Family = SearchableFamily | Sklearn | File | Blend
Candidate = Annotated[Family, Field(discriminator="family")]

FAMILIES: Mapping[str, type[Family]] = {
    "logistic": Logistic,
    "linear": Linear,
    "mlp": Mlp,
    "xgboost": XGBoost,
    "lightgbm": LightGBM,
    "sklearn": Sklearn,
    "keras": Keras,
    "pytorch": PyTorch,
    "file": File,
    "blend": Blend,
}
ALIASES = {"boosted": "xgboost"}
"""Other names of families."""

_NAMES = [*FAMILIES, *ALIASES]
_RESERVED = "champion"


def parts_of(settings: Family) -> list[str]:
    """Return the names of the candidates that a blend is made of. Other families have none."""
    return settings.of if isinstance(settings, Blend) else []


def search_of(settings: Family) -> Search | None:
    """Return the search for the parameters of a candidate. None: it has those of the YAML."""
    return settings.search if isinstance(settings, Searchable) else None


def families_of_files(value: Any) -> dict[str, str]:
    """
    Return the family of each candidate that has a file `candidates/<name>.py`, by the candidate's name.

    :param value: `training.candidates` as it is in the YAML, valid or not
    """
    entries = dict.fromkeys(name for name in value if isinstance(name, str)) if isinstance(value, list) else value
    if not isinstance(entries, dict):
        return {}
    families = {name: entry.get("family", name) if isinstance(entry, dict) else name for name, entry in entries.items()}
    return {name: family for name, family in families.items() if isinstance(family, str) and family in RULES}


def has_file(settings: Family) -> bool:
    """Return whether a candidate has a file `candidates/<name>.py`."""
    return settings.family in RULES


def _by_name(value: Any) -> Any:
    """Return candidates by name. A list names families, which are trained with their defaults."""
    if isinstance(value, list):
        refuse(((index,), _unknown(name)) for index, name in enumerate(value) if not isinstance(name, str) or name not in _NAMES)
        families = [ALIASES[name] if name in ALIASES else str(name) for name in value]
        refuse(((index,), f"{family!r} is listed twice{_also(family)}") for index, family in doubled(families))
        value = dict.fromkeys(value)
    if not isinstance(value, dict):
        raise ValueError("expected a list of families, or a mapping of names to families with their parameters")
    refuse(_problems(value))
    entries = {name: _with_family(name, entry) for name, entry in value.items()}
    parts = [name for name, entry in entries.items() if not _is_blend(entry)]
    refuse(
        ((name,), f"a blend needs two other candidates or more, found {', '.join(parts) or 'none'}")
        for name, entry in entries.items()
        if _is_blend(entry) and len(parts) < 2
    )
    entries |= {name: {"of": parts, **entry} for name, entry in entries.items() if _is_blend(entry)}
    refuse(
        ((name, "of", index), _unknown_part(part, parts))
        for name, entry in entries.items()
        if _is_blend(entry) and isinstance(entry["of"], list)
        for index, part in enumerate(entry["of"])
        if part not in parts
    )
    return entries


def _is_blend(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("family") == "blend"


def _unknown_part(name: object, parts: list[str]) -> str:
    return f"{name!r} is no candidate that can be blended.{did_you_mean(str(name), parts)} Candidates: {', '.join(parts)}"


def _problems(candidates: dict[str, Any]) -> Iterator[Problem]:
    for name, entry in candidates.items():
        family = entry.get("family", name) if isinstance(entry, dict) else name
        if name == _RESERVED:
            yield (name,), f"{name!r} is the name of the model that serves. Choose another"
        elif family not in _NAMES:
            is_named = isinstance(entry, dict) and "family" in entry
            yield (
                ((name, "family") if is_named else (name,)),
                _unknown(family) if is_named else f"family: missing.{did_you_mean(str(name), _NAMES)} {_allowed()}",
            )
        elif isinstance(entry, dict) and "search" in entry and not issubclass(FAMILIES[ALIASES.get(family, family)], Searchable):
            known = [name for name, kind in FAMILIES.items() if issubclass(kind, Searchable)]
            yield (name, "search"), f"{family} has no parameters that can be searched. Families that have: {', '.join(known)}"


def _with_family(name: str, entry: Any) -> Any:
    if entry is None or isinstance(entry, dict):
        family = (entry or {}).get("family", name)
        return {**(entry or {}), "family": ALIASES.get(family, family)}
    return entry


def _also(family: str) -> str:
    names = [alias for alias, own in ALIASES.items() if own == family]
    return f" ({', '.join(map(repr, names))} is the same family)" if names else ""


def _unknown(name: object) -> str:
    return f"{name!r} is no family of candidates.{did_you_mean(str(name), _NAMES)} {_allowed()}"


def _allowed() -> str:
    return f"Families: {', '.join(_NAMES)}"


Candidates = Annotated[dict[Name, Candidate], Field(min_length=1, max_length=20), BeforeValidator(_by_name)]
DEFAULT_CANDIDATES: dict[str, Family] = {
    "logistic": Logistic(),
    "boosted": XGBoost(),
    "mlp": Mlp(),
    "blend": Blend(of=["logistic", "boosted", "mlp"]),
}


def default_candidates(task: str, predict: object) -> dict[str, Family]:
    """Return the candidates of a pipeline that names none. A linear regression predicts the mean alone."""
    if task != "regression":
        return DEFAULT_CANDIDATES
    others: dict[str, Family] = {"boosted": XGBoost(), "mlp": Mlp()}
    single = {"linear": Linear(), **others} if predict == "mean" else others
    return {**single, "blend": Blend(of=list(single))}


def unfit_candidates(candidates: Mapping[str, Family], task: str, predict: object) -> Iterator[Problem]:
    """Yield a problem for each candidate that cannot learn a task, as far as the names of its family and estimator tell."""
    for name, settings in candidates.items():
        known = [family for family, kind in FAMILIES.items() if task in kind.TASKS]
        if task not in settings.TASKS:
            yield (name,), f"{settings.family} cannot learn task: {task}. Families that can: {', '.join(known)}"
        elif isinstance(settings, Sklearn) and (problem := find_other_kind(settings.estimator, task)):
            yield (name, "estimator"), problem
        elif isinstance(settings, Linear) and predict != "mean":
            known.remove("linear")
            yield (name,), f"linear predicts the mean, and label.predict is {predict}. Families that can: {', '.join(known)}"


_MIN_SEARCHED = 9
"""Dates to search on: a quarter of them are the three on which trials are judged at least."""


def hasty_searches(candidates: Mapping[str, Family], window_days: int) -> Iterator[Problem]:
    """Yield a problem for each search whose period leaves too few dates that all windows of the period share."""
    least = max(_MIN_SEARCHED, window_days // 2)
    for name, settings in candidates.items():
        search = search_of(settings)
        if search is not None and (shared := window_days - search.every_days + 1) < least:
            yield (
                (name, "search", "every_days"),
                f"{search.every_days} leaves {max(shared, 0)} of window_days {window_days} to search on, expected at least "
                f"{least}: a search learns from the dates that the windows of all dates until the next one share. "
                "Lower every_days, or raise window_days",
            )

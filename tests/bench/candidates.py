"""
How good are the families' defaults on data that they were not made for? Frozen sets, each family beside its library.

Each family is trained with its defaults by the product's own window, preprocessing and training, and the exported graph answers.
Beside it, the family's library is used directly on the same rows. Both run in one thread.
Records are kept in var/bench/candidates, so that a stopped run continues; a change of data, code or a library makes them again.
`python tests/bench/candidates.py`, or `make bench-candidates`.
"""

from __future__ import annotations

import os

# One thread in all libraries. They read these before their first import.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from candidate_direct import FAMILIES
from candidate_gaps import Measured, Verdict, find_misses, judge, worst_gap
from candidate_product import DEFAULT_LIST, PRODUCT
from candidate_records import Records, has, measure
from candidate_sets import INTERVAL, MAX_DIRECT_GAP, MAX_EXCEPTIONS, MAX_GAP, MAX_PARITY, SETS, CandidateSet, load_set
from measuring import additions
from rich.console import Console

from perennial.settings import var_folder

PATHS = ("product", "direct")
ALL_FAMILIES = list(dict.fromkeys([*PRODUCT, *FAMILIES]))
PACKAGES = ("keras", "lightgbm", "numpy", "onnxruntime", "scikit-learn", "tensorflow", "xgboost-cpu")


def main() -> int:
    """Measure and compare; the exit code says whether the default list keeps the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument(
        "--families",
        nargs="+",
        choices=ALL_FAMILIES,
        default=ALL_FAMILIES,
        metavar="FAMILY",
        help=f"of {', '.join(ALL_FAMILIES)}",
    )
    parser.add_argument("--again", action="store_true", help="measure what is measured already")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    results = var_folder() / "bench" / "candidates.json"
    records = Records(results.with_suffix(""))
    speed = additions()
    sets: dict[str, CandidateSet] = {}
    verdicts: dict[str, Verdict] = {}
    for name in SETS:
        sets[name] = load_set(name)
        if name in arguments.sets:
            measure_set(sets[name], arguments.families, records, console, again=arguments.again)
        measured = read_set(sets[name], records)
        if measured.product or measured.direct:
            verdicts[name] = judge(measured, DEFAULT_LIST[sets[name].task])
            write_report(results, sets, verdicts, speed)
    show(sets, verdicts, console)
    misses = find_misses(verdicts, sets)
    console.print("\n".join(["TARGETS MISSED:", *misses, str(results)]) if misses else f"Targets met. {results}", markup=False)
    return 1 if misses else 0


def measure_set(data: CandidateSet, families: list[str], records: Records, console: Console, *, again: bool) -> None:
    """Measure what has no valid record."""
    for family in families:
        for path in PATHS:
            if has(data.task, family, path) and (again or records.read(data.name, family, path) is None):
                record = measure(data, family, path)
                records.write(data.name, family, path, record)
                console.print(f"{data.name}, {family}, {path}: {record.losses.mean():.4f}, {record.cpu_seconds:.2f} CPU-s")


def read_set(data: CandidateSet, records: Records) -> Measured:
    """Return all valid records of a set."""
    known: dict[str, dict[str, Any]] = {path: {} for path in PATHS}
    for path, by_family in known.items():
        for family in ALL_FAMILIES:
            if has(data.task, family, path) and (record := records.read(data.name, family, path)) is not None:
                by_family[family] = record
    return Measured(data, **known)


def write_report(results: Path, sets: dict[str, CandidateSet], verdicts: dict[str, Verdict], speed: float) -> None:
    """Write what is known so far. `speed` is that of the machine: the CPU seconds of ten million additions."""
    report = {
        "sets": {name: describe_set(sets[name], verdict) for name, verdict in verdicts.items()},
        "default_list": DEFAULT_LIST,
        "worst_gap_of_default": worst_gap(verdicts),
        "choices": {name: describe_choice(verdict) for name, verdict in verdicts.items()},
        "missed": find_misses(verdicts, sets),
        "targets": {
            "max_gap": MAX_GAP,
            "max_exceptions": MAX_EXCEPTIONS,
            "max_direct_gap": MAX_DIRECT_GAP,
            "max_parity": MAX_PARITY,
            "interval": INTERVAL,
        },
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "additions": speed},
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }
    results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def describe_set(data: CandidateSet, verdict: Verdict) -> dict[str, Any]:
    """Return the report of a set. Its rows are those of a training, on average."""
    return {"task": data.task, "rows": mean_rows(data), "models": verdict.models}


def describe_choice(verdict: Verdict) -> dict[str, Any]:
    """Return the report of the choice from the default list."""
    return {
        "constant_loss": verdict.constant_loss,
        "best": verdict.best,
        "best_loss": verdict.best_loss,
        "chosen": verdict.chosen,
        "chosen_loss": verdict.chosen_loss,
        "gap": verdict.gap,
        "difference_interval": verdict.gap_interval,
    }


def mean_rows(data: CandidateSet) -> int:
    """Return the mean number of rows of a training."""
    return round(sum(len(split.train) for split in data.splits) / len(data.splits))


def show(sets: dict[str, CandidateSet], verdicts: dict[str, Verdict], console: Console) -> None:
    """Print a line for each set: the losses of each family by the product and by its library, and the choice."""
    for name, verdict in verdicts.items():
        losses = [f"{family} {show_model(model)}" for family, model in verdict.models.items()]
        if verdict.gap is not None:
            choice = ", ".join(f"{family} in {folds}" for family, folds in verdict.chosen.items())
            losses.append(f"chosen {choice} of {len(sets[name].splits)} folds: {verdict.gap:+.1%}")
        about = f"{name} ({sets[name].task}, {mean_rows(sets[name]):,} rows)"
        console.print(f"{about}: {'; '.join([f'constant {verdict.constant_loss:.4f}', *losses])}")


def show_model(model: dict[str, float | None]) -> str:
    """Return the losses by the product and by the library, with a dash for one that is missing."""
    return " / ".join("-" if loss is None else f"{loss:.4f}" for loss in (model["loss"], model["direct_loss"]))


if __name__ == "__main__":
    sys.exit(main())

"""make bench-serving: POST /predict beside MLServer in the same run, one client for both; results in var/bench/serving.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))  # the builders of the server's own tests

import psutil
from botocore.exceptions import BotoCoreError
from load_client import run_load
from rich.console import Console
from rich.table import Table
from rival import PACKAGES, WIDTH, Rival, prepare
from serve_process import ServerProcess, free_port, request
from serve_release_builder import build_release, point_at
from serve_small_s3 import SmallS3

from perennial.config.load import load_pipeline
from perennial.lake.layout import Layout, lake_root
from perennial.settings import load_environment, var_folder
from perennial.store.objects import Objects

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = "flight_delays"
LOOKUP_ROWS = 4_000
HIDDEN = (128, 64, 32)
CONNECTIONS = (1, 8)
TARGET_RPS, TARGET_P50 = 2.5, 0.5


@dataclass
class RealStore:
    """The running stack's S3, as the environment of a process."""

    environment: dict[str, str]


def main() -> int:
    """Measure both servers in turns, print a table, write the results; 1 when a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=5.0, help="length of one measurement (default: 5)")
    arguments.add_argument("--rounds", type=int, default=3, help="measurements of each server and load, in turns (default: 3)")
    options = arguments.parse_args()
    console = Console()
    folder = var_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    uv = ROOT / ".uv/bin/uv"
    if not uv.is_file():
        console.print("There is no .uv/bin/uv. Run make setup first.")
        return 1
    console.print("Making MLServer's environment and model …")
    venv = prepare(folder, uv, Path(sys.executable))
    with ExitStack() as stack:
        store, arguments_of_server, records, kind = stack.enter_context(a_release())
        ours = stack.enter_context(ServerProcess(store, PIPELINE, *arguments_of_server))
        ours.wait_ready()
        rival = stack.enter_context(Rival(folder, venv, (free_port(), free_port(), free_port())))
        servers = {
            "ours": (ours.port, request("POST", "/predict", json.dumps(records[:1]).encode()), psutil.Process(ours.process.pid)),
            "mlserver": (rival.port, rival.request(), psutil.Process(rival.process.pid)),
        }
        results = measure(servers, options.seconds, options.rounds, console)
        batch = request("POST", "/predict", json.dumps((records * 1000)[:1000]).encode())
        loads = [run_load(ours.port, batch, 1, options.seconds) for _ in range(options.rounds)]
        results["ours"]["batch_1000_rows_per_s"] = round(median(1000 * load.rps for load in loads))
        results["ours"]["rss_mb_after_batches"] = rss_mb(servers["ours"][2])
    report = results | verdict(results) | {"run": facts(kind, options.seconds, options.rounds)}
    (folder / "serving.json").write_text(json.dumps(report, indent=1) + "\n")
    show(report, console)
    console.print(f"Written to {folder / 'serving.json'}")
    return 0 if report["targets_met"] else 1


@contextmanager
def a_release() -> Iterator[tuple[Any, list[str], list[dict[str, Any]], str]]:
    """Yield a store, the server's arguments, records and a description: the stack's active release, or one as large."""
    if load_environment():
        objects, layout = Objects(), Layout(lake_root(), "main", PIPELINE)
        try:
            active = objects.read(layout.active)
        except BotoCoreError as error:
            Console().print(f"The stack does not answer ({error}); taking a synthetic release.")
            active = None
        if active is not None:
            release = active.json()["release"]
            manifest = objects.read_existing(layout.release(release)).json()
            golden = objects.read_existing(layout.blob(manifest["files"]["golden.json"]["sha256"])).json()
            names = ("AWS_", "PERENNIAL_", "NO_PROXY")
            environment = {name: value for name, value in os.environ.items() if name.startswith(names)}
            yield RealStore(environment), ["--release", release], golden["records"], f"release {release} of the running stack"
            return
    inputs = load_pipeline(PIPELINE).inputs
    plain = {"number": 12.5, "time": "08:30", "date": "2013-02-13", "boolean": True}
    record = {name: plain.get(field.type, f"{name}7") for name, field in inputs.request.items()}
    categories = [f"{inputs.one_hot[0]}{index}" for index in range(100 - len(inputs.numbers))]
    with SmallS3() as store:
        release = build_release(
            store, PIPELINE, inputs, hidden=HIDDEN, lookup_rows=LOOKUP_ROWS, record=record, categories=categories
        )
        point_at(store, PIPELINE, release)
        yield store, [], [record], f"synthetic: 100 inputs, {HIDDEN}, lookups of {LOOKUP_ROWS} rows"


def measure(
    servers: dict[str, tuple[int, bytes, psutil.Process]], seconds: float, rounds: int, console: Console
) -> dict[str, dict[str, Any]]:
    """Load each server in turns, so that whatever else the machine does meets both; the median of the rounds counts."""
    for port, body, _ in servers.values():
        run_load(port, body, 1, 1.0)  # warm-up
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    for turn in range(rounds):
        for connections in CONNECTIONS:
            for name, (port, body, process) in servers.items():
                before = process.cpu_times()
                load = run_load(port, body, connections, seconds)
                after = process.cpu_times()
                cpu_ms = 1000 * (after.user + after.system - before.user - before.system) / len(load.latencies)
                numbers = {
                    "rps": load.rps,
                    "p50_ms": load.quantile_ms(0.5),
                    "p99_ms": load.quantile_ms(0.99),
                    "cpu_ms_per_request": cpu_ms,
                }
                seen.setdefault((name, connections), []).append(numbers)
                console.print(
                    f"round {turn + 1} of {rounds}, {connections} connections, {name}: "
                    f"{load.rps:.0f}/s, p50 {numbers['p50_ms']:.2f} ms, p99 {numbers['p99_ms']:.2f} ms"
                )
    return {
        name: {
            f"c{connections}": {
                key: round(median(numbers[key] for numbers in seen[(name, connections)]), 3)
                for key in seen[(name, connections)][0]
            }
            for connections in CONNECTIONS
        }
        | {"rss_mb": rss_mb(process)}
        for name, (_, _, process) in servers.items()
    }


def rss_mb(process: psutil.Process) -> float:
    """Return the memory of a process and its children."""
    return round(sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20, 1)


def verdict(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compare with the targets: at least 2.5 times MLServer's requests a second, and at most half its p50."""
    ratios = {
        f"c{connections}": {
            "rps": round(results["ours"][f"c{connections}"]["rps"] / results["mlserver"][f"c{connections}"]["rps"], 2),
            "p50": round(results["ours"][f"c{connections}"]["p50_ms"] / results["mlserver"][f"c{connections}"]["p50_ms"], 3),
        }
        for connections in CONNECTIONS
    }
    met = all(ratio["rps"] >= TARGET_RPS and ratio["p50"] <= TARGET_P50 for ratio in ratios.values())
    return {"ratios": ratios, "targets_met": met}


def facts(kind: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Say what was measured, where and with what."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load_average": os.getloadavg()},
        "client": "tests/bench/load_client.py (asyncio protocol on uvloop, keep-alive, closed loop) for both",
        "our_release": kind,
        "mlserver_model": f"scikit-learn LogisticRegression, {WIDTH} inputs, predict_proba, one process (parallel_workers 0)",
        "seconds": seconds,
        "rounds": rounds,
        "versions": {name: version(name) for name in ("uvicorn", "uvloop", "httptools", "onnxruntime", "numpy")}
        | {"python": platform.python_version(), "mlserver": PACKAGES},
    }


def show(report: dict[str, Any], console: Console) -> None:
    """Print the table."""
    table = Table("server", "connections", "requests/s", "p50 ms", "p99 ms", "CPU ms a request", "RSS MB")
    for name in ("ours", "mlserver"):
        for connections in CONNECTIONS:
            row = report[name][f"c{connections}"]
            cells = (f"{row['rps']:.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['cpu_ms_per_request']:.3f}")
            table.add_row(name, str(connections), *cells, str(report[name]["rss_mb"]))
    console.print(table)
    for connections, ratio in report["ratios"].items():
        console.print(f"{connections}: {ratio['rps']} times the requests/s, {ratio['p50']} of the p50")
    console.print(f"Batches of 1,000: {report['ours']['batch_1000_rows_per_s']} rows/s. {report['run']['our_release']}")
    console.print(f"Machine: {report['run']['machine']}")
    console.print(
        "Targets met." if report["targets_met"] else "TARGETS MISSED: 2.5 times the requests/s and half the p50, at both."
    )


if __name__ == "__main__":
    sys.exit(main())

"""The parts of the stack, and the order in which they start: parts that do not need each other start at the same time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter

from stack import airflow, postgres, seaweedfs, server, signing
from stack.config import StackConfig
from stack.errors import StackError
from stack.metastore import metastore_service, prepare_metastore
from stack.process import Service, start, stop
from stack.spark_cluster import prepare_spark_cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the stack: a service, or preparation for services (then `service` is None)."""

    name: str
    service: Service | None = None
    needs: tuple[str, ...] = ()
    restarts_with: tuple[str, ...] = ()
    """Services whose restart it does not survive for long. If they were started, it is restarted, too."""

    asks: tuple[str, ...] = ()
    """Services that report whether it is ready. They are chosen with it, and may start at the same time."""

    before: Callable[[StackConfig], str | None] | None = None
    """Preparation of the service. It may return a note for the user."""

    after: Callable[[StackConfig], object] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one part: started, running (it was up), done (preparation without a service), stopped, failed, …"""

    part: Part
    state: str
    seconds: float
    problem: str = ""
    note: str = ""


def plan(config: StackConfig) -> tuple[Part, ...]:
    """Return all parts of the stack in the order of display. If the user has their own object store, S3 is not a part."""
    stored = () if config.store else ("s3",)
    return (
        *(
            Part(name=name, service=seaweedfs.s3_service(config), before=seaweedfs.prepare_s3, after=seaweedfs.create_buckets)
            for name in stored
        ),
        Part(
            name="postgres",
            service=postgres.postgres_service(config),
            before=postgres.prepare_postgres,
            after=postgres.create_databases,
        ),
        Part(
            name="metastore",
            service=metastore_service(config),
            needs=(*stored, "postgres"),
            restarts_with=("postgres",),
            before=prepare_metastore,
        ),
        Part(name="signing", needs=stored, before=signing.prepare_signing),
        *(Part(name=name, before=prepare_spark_cluster) for name in (("spark-cluster",) if config.keys else ())),
        Part(name="airflow-database", needs=("postgres",), before=_prepare_airflow),
        *(
            Part(
                name=service.name,
                service=service,
                needs=_needs(service.name, stored),
                restarts_with=("postgres",),
                asks=_asks(service.name),
            )
            for service in airflow.airflow_services(config)
        ),
        *(Part(name=service.name, service=service, needs=(*stored, "signing")) for service in server.server_services(config)),
    )


def _needs(service: str, stored: tuple[str, ...]) -> tuple[str, ...]:
    """
    Return the parts that a service of Airflow needs.

    Tasks begin as soon as the scheduler runs, and continue until it has stopped. So it starts after all services that tasks
    call, and stops before them. A task that could not reach one of them would use up one of its tries.
    """
    if service == "airflow-scheduler":
        return ("airflow-api", "metastore", "signing", *stored)
    return ("airflow-api", *stored) if service == "airflow-triggerer" else ("airflow-database",)


def _asks(service: str) -> tuple[str, ...]:
    """Return the API server, which sees the heartbeats of Airflow's other services. The API server itself asks none."""
    return () if service == "airflow-api" else ("airflow-api",)


def choose(parts: Sequence[Part], only: Collection[str], with_needs: bool = True) -> tuple[Part, ...]:
    """Return the named parts (`airflow` and `server` name all of theirs) and the parts that they need; by default, all parts."""
    if not only:
        return tuple(parts)
    by_name = {part.name: part for part in parts}
    chosen: set[str] = set()
    for word in only:
        matches = {name for name in by_name if name == word or name.startswith(f"{word}-")}
        if not matches:
            raise StackError(f"No part of the stack is named {word!r}. Parts: {', '.join(by_name)}.")
        chosen |= matches
    while with_needs and (missing := {need for name in chosen for need in (*by_name[name].needs, *by_name[name].asks)} - chosen):
        chosen |= missing
    return tuple(part for part in parts if part.name in chosen)


def bring_up(config: StackConfig, parts: Sequence[Part], report: Callable[[Outcome], None]) -> list[Outcome]:
    """Start parts as soon as the parts that they need are up. If a part fails, only the parts that need it are skipped."""

    def work(part: Part, earlier: Mapping[str, Outcome]) -> Outcome:
        if part.service and any(name in earlier and earlier[name].state == "started" for name in part.restarts_with):
            stop(config, part.service)
        failed = [need for need in part.needs if earlier[need].state in ("failed", "skipped")]
        return (
            Outcome(part, "skipped", 0.0, f"needs {', '.join(failed)}")
            if failed
            else _timed(part, lambda notes: _start(config, part, notes))
        )

    return _in_order(parts, {part.name: part.needs for part in parts}, work, report)


def bring_down(config: StackConfig, parts: Sequence[Part], report: Callable[[Outcome], None]) -> list[Outcome]:
    """Stop parts, each after the parts that need it."""
    users = {part.name: tuple(other.name for other in parts if part.name in other.needs) for part in parts}

    def work(part: Part, _: Mapping[str, Outcome]) -> Outcome:
        return _timed(part, lambda _: _stop(config, part))

    return _in_order(parts, users, work, report)


def strays(config: StackConfig, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return started services that are no longer in the plan, such as the server of a removed pipeline."""
    known = {part.name for part in parts}
    names = sorted(path.stem for path in config.run.glob("*.json") if path.stem not in known)
    return tuple(Part(name=name, service=Service(name=name, argv=(), is_ready=lambda: False)) for name in names)


def _in_order(
    parts: Sequence[Part],
    needs: Mapping[str, Collection[str]],
    work: Callable[[Part, Mapping[str, Outcome]], Outcome],
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    by_name = {part.name: part for part in parts}
    order = TopologicalSorter(needs)
    order.prepare()
    outcomes: dict[str, Outcome] = {}
    running: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(max_workers=len(parts) or 1) as pool:
        while order.is_active():
            running |= {pool.submit(work, by_name[name], dict(outcomes)) for name in order.get_ready()}
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                outcome = future.result()
                outcomes[outcome.part.name] = outcome
                report(outcome)
                order.done(outcome.part.name)
    return [outcomes[part.name] for part in parts]


def _timed(part: Part, work: Callable[[list[str]], str]) -> Outcome:
    begin, problem = time.monotonic(), ""
    notes: list[str] = []
    try:
        state = work(notes)
    except StackError as error:
        state, problem = "failed", str(error)
    except Exception as error:
        # An unexpected error in one part must not hide the outcome of the others.
        logging.getLogger(__name__).debug("Part %s", part.name, exc_info=True)
        state, problem = "failed", f"{part.name}: {type(error).__name__}: {error}"
    return Outcome(part, state, time.monotonic() - begin, problem, " ".join(notes))


def _start(config: StackConfig, part: Part, notes: list[str]) -> str:
    """Start a part and return its state. `notes` collects notes for the user, even if a later step fails."""
    if part.before and (note := part.before(config)):
        notes.append(note)
    state = "done"
    if part.service:
        state = "started" if start(config, part.service) else "running"
    if part.after:
        part.after(config)
    return state


def _stop(config: StackConfig, part: Part) -> str:
    if part.service is None:
        return "nothing to stop"
    return "stopped" if stop(config, part.service) else "was down"


def _prepare_airflow(config: StackConfig) -> None:
    airflow.prepare_airflow(config)
    airflow.migrate_airflow(config)

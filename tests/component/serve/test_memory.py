"""The server keeps its memory limit, which it finds by itself, and what one request takes is bounded."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from serve_pressure import Pressure, filled, keys, tensors
from serve_process import ServerProcess
from serve_release_builder import RECORD, build_release, inputs_of, lookups_of, small_graph, with_classes
from serve_small_s3 import SmallS3

from perennial.serve.app import App
from perennial.serve.limits import Limits
from perennial.serve.lookups import read_lookup
from perennial.serve.memory import DEFAULT_MEMORY, MAX_GROWTH, find_memory, needed_memory
from perennial.serve.metrics import Metrics
from perennial.serve.model import Model
from perennial.serve.refusal import Refusal
from perennial.serve.release import Release
from perennial.serve.routes import Route

INCLUDE = str(Path(__file__).resolve().parents[3] / "include")
MIB = 2**20
SIZE = 300_000


def test_stalled_huge_and_many_bodies_stay_below_the_memory_of_a_pod(store: SmallS3) -> None:
    release = build_release(store, "small", inputs_of("small"))
    deadlines = ("--header-seconds", "2", "--body-seconds", "3")
    with ServerProcess(store, "small", "--release", release, *deadlines, PERENNIAL_SERVER_MEMORY_MIB="512") as server:
        server.wait_ready()
        found = Pressure(server, 8)
        found.run()

        assert server.peak_mib() < 512
        assert server.predict([RECORD]).status == 200
        assert len(server.log().splitlines()) < 10
    assert set(found.answers["single"]) == {"200"}
    assert found.answers["batches"]["200"] > 0
    assert found.answers["huge"]["413"] > 0
    assert found.answers["many_stalled"]["503"] > 0


BODIES = {
    "empty objects": filled(b"{}", SIZE),
    "empty lists": filled(b"[]", SIZE),
    "objects of one key": filled(b'{"a":1}', SIZE),
    "lists in lists": filled(b"[" * 900 + b"]" * 900, SIZE),
    "objects in objects": filled(b'{"a":' * 400 + b"1" + b"}" * 400, SIZE),
    "numbers": filled(b"1.5", SIZE),
    "texts": filled(b'"ab"', SIZE),
    "wide texts": filled('"ā"'.encode(), SIZE),
    "escapes": filled(b'"\\ud83d\\ude00' + b"x" * 900 + b'"', SIZE),
    "texts with one wide character": filled(('"😀' + "x" * 900 + '"').encode(), SIZE),
    "keys": keys(SIZE),
    "keys, one twice": keys(SIZE).replace(b"{", b'{"0":1,'),
    "records": json.dumps([{**RECORD, "distance": number + 0.5, "tailnum": f"N{number}"} for number in range(2_000)]).encode(),
    "tensors": tensors(4_000),
}


@pytest.mark.parametrize("case", BODIES)
def test_no_request_takes_more_memory_than_its_bound(case: str) -> None:
    inputs = inputs_of("small")
    lookups = {name: read_lookup(name, table, inputs.lookups[name], inputs) for name, table in lookups_of(inputs).items()}
    release = Release("r", "v", "2013-02-13", Model(small_graph(inputs, 0.0), inputs, lookups, Limits()))
    app = App("small", Metrics("small"), Limits())
    route = Route("infer" if case == "tensors" else "predict", "/", ("POST",))
    body = BODIES[case]
    gc.collect()
    tracemalloc.start()
    try:
        app._compute(route, release, body)
    except Refusal:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < needed_memory(body) + MIB
    assert peak < MAX_GROWTH * len(body)


@pytest.mark.parametrize("kind", ["predict", "infer"])
def test_the_probabilities_of_many_classes_take_no_more_than_their_bound(kind: str) -> None:
    inputs = inputs_of("small")
    lookups = {name: read_lookup(name, table, inputs.lookups[name], inputs) for name, table in lookups_of(inputs).items()}
    names = [f"{place:03}" + "x" * 125 for place in range(100)]
    classes = Release("r", "v", "2013-02-13", Model(with_classes(small_graph(inputs, 0.0), names), inputs, lookups, Limits()))
    app, route = App("small", Metrics("small"), Limits()), Route(kind, "/", ("POST",))
    body = BODIES["tensors"] if kind == "infer" else BODIES["records"]
    gc.collect()
    tracemalloc.start()
    try:
        app._compute(route, classes, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    of_answer = classes.model.answer_bytes * app._count_most(route, body)
    assert peak < needed_memory(body) + of_answer + MIB
    many = Route("predict", "/", ("POST",))
    with pytest.raises(Refusal, match="Send the records in parts"):
        app._compute_large(many, classes, json.dumps([RECORD] * 10_000).encode())


def test_threads_share_few_heaps() -> None:
    code = """
import ctypes, sys, threading
from perennial.serve.memory import use_few_arenas
if sys.argv[1] == "few":
    use_few_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fdopen.restype = ctypes.c_void_p, ctypes.c_void_p
gate = threading.Barrier(9)
def hold():
    libc.malloc(1000)
    gate.wait()
for _ in range(8):
    threading.Thread(target=hold).start()
gate.wait()
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""

    def heaps(how: str) -> int:
        found = subprocess.run(
            [sys.executable, "-c", code, how], capture_output=True, text=True, check=True, env={"PYTHONPATH": INCLUDE}
        )
        return found.stdout.count("<heap nr")

    assert heaps("few") <= 2 < heaps("many")


def test_limits_leave_half_of_the_memory() -> None:
    for memory in (64 * MIB, DEFAULT_MEMORY, 2**40):
        limits = Limits().within(memory)
        in_turn = limits.answer_bytes // 4 * (limits.workers - 1)
        assert limits.buffered_bytes + limits.answer_bytes + in_turn + limits.unread_bytes <= memory / 2
    assert Limits().within(DEFAULT_MEMORY) == Limits()


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/pod/server\n", {"pod/memory.max": "402653184\n", "pod/server/memory.max": "max\n"}, 384),
        ("0::/pod\n", {"pod/memory.max": "536870912\n", "memory.max": "268435456\n"}, 256),
        ("0::/\n", {"memory.max": "max\n"}, 512),
        ("0::/\n", {"memory.max": "4294967296\n"}, 512),
        ("5:cpu:/a\n4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "402653184\n"}, 384),
        ("4:memory:/docker/of-the-host\n", {"memory/memory.limit_in_bytes": "402653184\n"}, 384),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 512),
        ("", {}, 512),
    ],
    ids=[
        "v2, above",
        "v2, the lowest",
        "v2, none",
        "v2, shared with others",
        "v1",
        "v1 in a container",
        "v1, none",
        "no cgroups",
    ],
)
def test_without_a_setting_a_server_keeps_to_a_low_limit_of_its_cgroup_and_never_takes_much(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int
) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert find_memory(tmp_path, tmp_path / "membership") == expected * MIB

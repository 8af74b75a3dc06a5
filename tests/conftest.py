"""What tests share: an object store that starts once, places of their own in it, and pipelines made from files."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import yaml

from perennial.calendar import days
from perennial.config.load import FILE, read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.lake.lake import Lake, open_lake
from perennial.store.objects import Objects, split_uri
from stack.config import REPO, StackConfig
from stack.probe import taken_by
from stack.seaweedfs import create_buckets, prepare_s3, s3_service

pytest_plugins = ["needs"]

# The same examples every time, and no deadline by the clock: this machine may be busy.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

TEST_PIPELINES = REPO / "tests" / "pipelines"
DEMO_PIPELINES = REPO / "include" / "pipelines"


@dataclass(frozen=True, slots=True)
class S3:
    """One test's place in the object store."""

    objects: Objects
    landing: str
    lake: str

    def open_lake(self, pipeline: Pipeline) -> Lake:
        """Open a pipeline's lake with the client that all tests share: to make one takes a quarter of a second."""
        return replace(open_lake(pipeline), objects=self.objects)

    def put(self, uri: str, body: bytes) -> None:
        """Write an object, whatever stands there."""
        bucket, key = split_uri(uri)
        self.objects.client.put_object(Bucket=bucket, Key=key, Body=body)

    def delete(self, uri: str) -> None:
        """Delete an object."""
        bucket, key = split_uri(uri)
        self.objects.client.delete_object(Bucket=bucket, Key=key)


@pytest.fixture(scope="session")
def s3_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfig]:
    """Start SeaweedFS with keys on free ports, once."""
    config = _free_config(tmp_path_factory.mktemp("s3"))
    prepare_s3(config)
    service = s3_service(config)
    with (config.var / "s3.log").open("wb") as log:
        environment = {**os.environ, **service.env}
        server = subprocess.Popen(
            service.argv, cwd=service.cwd, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + 60
        while not service.is_ready():
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not start: {(config.var / 's3.log').read_text()[-2000:]}")
            time.sleep(0.1)
        create_buckets(config)
        yield config
    finally:
        server.kill()  # its data is thrown away; an orderly stop takes 20 s
        server.wait()
        for path in service.leaves:
            path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def s3_server(s3_config: StackConfig) -> dict[str, str]:
    """Return the environment of the owner's clients of SeaweedFS."""
    return {name: value for name, value in s3_config.shared_environment().items() if name.startswith("AWS_")}


@pytest.fixture(scope="session")
def s3_objects() -> Objects:
    """Return the client that all tests share; it reads the settings at its first use."""
    return Objects()


@pytest.fixture
def s3(s3_server: dict[str, str], s3_objects: Objects, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Give a test empty places in landing zone and lake, and the settings that lead there."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    place = uuid.uuid4().hex[:12]
    monkeypatch.setenv("PERENNIAL_LAKE", f"s3://perennial/{place}")
    return S3(s3_objects, f"s3://landing/{place}", f"s3://perennial/{place}")


@pytest.fixture
def no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the state be an empty folder of the test's own: it sees nothing of a stack that this checkout may have run."""
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "no-stack"))


@pytest.fixture
def lab(s3: S3, pipeline_factory: Callable[..., Pipeline], tmp_path: Path) -> Any:
    """Return a `lab.Lab`: a lake with features and lookups of two weeks, into which a test puts models."""
    from lab import build_lab, with_lookup  # it brings pyiceberg, which most tests do without

    pipeline = pipeline_factory(with_lookup(tmp_path / "pipelines" / "machine_faults"))
    return build_lab(s3.open_lake(pipeline), tmp_path)


@pytest.fixture
def pipeline_factory(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Pipeline]:
    """
    Return a function that copies a pipeline into tmp_path/pipelines and reads it.

    `edit` may change the YAML's document. With the fixture s3 in use, its landing addresses lie in the test's own place.
    """

    def make(edit: Callable[[dict[str, Any]], None] | None = None, name: str = "machine_faults") -> Pipeline:
        source = next(root / name for root in (TEST_PIPELINES, DEMO_PIPELINES) if (root / name).is_dir())
        folder = tmp_path / "pipelines" / name
        shutil.copytree(source, folder, dirs_exist_ok=True)
        text = (source / FILE).read_text()
        if "s3" in request.fixturenames:
            text = text.replace("s3://landing/", f"{request.getfixturevalue('s3').landing}/")
        document = yaml.safe_load(text)
        if edit is not None:
            edit(document)
        (folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False))
        return read_pipeline(folder / FILE)

    return make


@pytest.fixture(scope="session")
def machine_data() -> ModuleType:
    """Return tests/pipelines/generate.py: the drops of machine_faults."""
    spec = importlib.util.spec_from_file_location("machine_data", TEST_PIPELINES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def land_drops(machine_data: ModuleType) -> Callable[..., None]:
    """Return a function that lands the drops of machine_faults: land_drops(put, pipeline, first, last)."""

    def land(put: Callable[[str, bytes], None], pipeline: Pipeline, first: date, last: date) -> None:
        for day in days(first, last):
            for name, body in machine_data.drop(day).items():
                put(pipeline.sources[machine_data.SOURCE].drop_uri(day) + name, body)

    return land


@pytest.fixture(scope="session")
def documented() -> Callable[[str, str], list[str]]:
    """Return a function that gives the fenced blocks of a language in a document, without the indentation of their list."""

    def blocks(document: str, language: str) -> list[str]:
        text = (REPO / document).read_text()
        found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
        assert found, f"{document} has no {language}"
        return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]

    return blocks


def _free_config(var: Path) -> StackConfig:
    """Return a stack whose object store finds its ports free, apart from those of a cluster and of outgoing connections."""
    chance = random.SystemRandom()
    for _ in range(50):
        config = StackConfig(repo=REPO, var=var, offset=chance.randrange(6_000, 20_000))
        if not any(taken_by(port) for port in s3_service(config).ports):
            return config
    raise RuntimeError("No free ports for SeaweedFS")

"""A training or a server that a task starts does not learn where the signing key is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perennial.runtime.child_process import child
from perennial.settings import server_environment, training_environment


@pytest.mark.parametrize("environment", [training_environment, server_environment], ids=["training", "server"])
def test_a_child_does_not_learn_where_the_signing_key_is(
    monkeypatch: pytest.MonkeyPatch, environment: Callable[[], dict[str, str]]
) -> None:
    monkeypatch.setenv("PERENNIAL_SIGNING_KEY", "/secret/signing_key")
    show = "import os; print('key:', repr(os.environ['PERENNIAL_SIGNING_KEY']))"
    with child("timeit", ["-n", "1", "-r", "1", show], environment()) as process:
        assert process.stdout is not None
        assert "key: ''" in process.stdout.read()

"""Checkpoints of a long training: whoever trains the same job next goes on from the last one, and ends with the same bits."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from perennial.store.objects import Objects

log = logging.getLogger(__name__)

SECONDS = 30.0
"""How much work may be lost. A training that is shorter writes none."""

Arrays = dict[str, NDArray[np.generic]]


class Checkpoints:
    """
    The checkpoints of one training, each written once: `<prefix><epoch>.safetensors`.

    :param prefix: address that is the training's own: it holds the key, so code, libraries, rows and seed are the same
    :param seconds: least time between two
    """

    def __init__(self, objects: Objects, prefix: str, *, seconds: float = SECONDS) -> None:
        self._objects = objects
        self._prefix = prefix
        self._seconds = seconds
        self._last = time.monotonic()

    def load(self) -> tuple[int, Arrays] | None:
        """Return the number of epochs that the last one holds, and its arrays; None: begin at the beginning."""
        from safetensors.numpy import load

        found = sorted(self._epochs())
        if not found:
            return None
        log.info("Going on after epoch %s, from a checkpoint", found[-1])
        return found[-1], load(self._objects.read_existing(self._uri(found[-1])).body)

    def save(self, epoch: int, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Write one after `epoch` epochs, unless the last is recent."""
        if time.monotonic() - self._last < self._seconds:
            return
        from safetensors.numpy import save

        self._objects.create(self._uri(epoch), save(dict(arrays)))
        self._last = time.monotonic()

    def clear(self) -> None:
        """Delete all of them: the training is done."""
        for epoch in list(self._epochs()):
            self._objects.delete(self._uri(epoch))

    def _epochs(self) -> list[int]:
        return [int(uri.removeprefix(self._prefix).removesuffix(".safetensors")) for uri in self._objects.list(self._prefix)]

    def _uri(self, epoch: int) -> str:
        return f"{self._prefix}{epoch}.safetensors"

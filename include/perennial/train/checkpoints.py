"""Checkpoints of a long training. The next training of the same job resumes from the last one and ends with the same bits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from perennial.store.objects import Objects

log = logging.getLogger(__name__)

SECONDS = 30.0
"""The time between two checkpoints, and so the work that a crash can lose. A shorter training writes none."""

Arrays = dict[str, NDArray[np.generic]]


class Checkpoints:
    """
    The checkpoints of one training, each written once: `<prefix><buckets done>.safetensors`. Only the last one is kept.

    :param prefix: address of this training. It contains the fingerprint, so code, libraries, rows and seed are the same
    :param seconds: minimum time between two checkpoints
    """

    def __init__(self, objects: Objects, prefix: str, *, seconds: float = SECONDS) -> None:
        self._objects = objects
        self._prefix = prefix
        self._seconds = seconds
        self._last = time.monotonic()

    def load(self) -> tuple[int, Arrays] | None:
        """Return the number of buckets in the last checkpoint, and its arrays; None: there is none, start with the first."""
        from safetensors.numpy import load

        for _ in range(2):  # another training of this date may write a later one, or end, meanwhile
            last = max(self._list(), default=0)
            if last and (stored := self._objects.read(self._uri(last))) is not None:
                log.info("Resuming after bucket %s from a checkpoint", last)
                return last, load(stored.body)
        return None

    def save(self, buckets: int, state: Callable[[], Arrays]) -> None:
        """Write a checkpoint after so many buckets of all epochs in place of earlier ones, unless the last one is recent."""
        if time.monotonic() - self._last < self._seconds:
            return
        from safetensors.numpy import save

        self._objects.create(self._uri(buckets), save(state()))
        self._delete(earlier for earlier in self._list() if earlier < buckets)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Delete all checkpoints, because the training is complete."""
        self._delete(self._list())

    def _delete(self, some: Iterable[int]) -> None:
        for buckets in some:
            self._objects.delete(self._uri(buckets))

    def _list(self) -> list[int]:
        return [int(uri.removeprefix(self._prefix).removesuffix(".safetensors")) for uri in self._objects.list(self._prefix)]

    def _uri(self, buckets: int) -> str:
        return f"{self._prefix}{buckets}.safetensors"

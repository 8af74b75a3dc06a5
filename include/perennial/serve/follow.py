"""Following the pointer to the active release: load the new one beside the running one, verify it, then swap."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from perennial.errors import PerennialError
from perennial.lake.layout import Layout
from perennial.serve.app import App
from perennial.serve.limits import Limits
from perennial.serve.pointer import PointerReader
from perennial.serve.release import load_release
from perennial.serve.trust import TrustMetric
from perennial.signing.pointer import MAX_BYTES
from perennial.store.objects import Objects, Stored

log = logging.getLogger(__name__)

POLL_SECONDS = 0.75
_RETRY_SECONDS = 5.0
_MAX_RETRY_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A pointer whose release could not be loaded.

    :param retry_at: when to load it again, by the monotonic clock: a deploy may restore a lost file under the same name
    :param wait: seconds from the last attempt to that one; each attempt downloads the files of the release again, so it doubles
    """

    etag: str
    reason: str
    retry_at: float
    wait: float


class Follower(threading.Thread):
    """Thread that keeps the application at the active release. While the new one cannot be loaded, the old one keeps serving."""

    def __init__(
        self, app: App, objects: Objects, layout: Layout, limits: Limits, trust: TrustMetric, newest: Path | None = None
    ) -> None:
        """Prepare; nothing is contacted before start()."""
        super().__init__(name="follow", daemon=True)
        self._app = app
        self._objects = objects
        self._layout = layout
        self._limits = limits
        self._pointer = PointerReader(layout, newest)
        self._trust = trust
        self._stopping = threading.Event()
        self._settled: str | None = None  # the pointer's ETag that needs no more work
        self._refused: Refused | None = None
        self._unreachable = False
        self._read_at = time.monotonic()
        app.metrics.watch_pointer(lambda: time.monotonic() - self._read_at)

    def run(self) -> None:
        """Poll until stopped."""
        while not self._stopping.wait(self._try_to_follow()):
            pass

    def stop(self) -> None:
        """Ask the thread to end, and wait up to a second for it."""
        self._stopping.set()
        self.join(timeout=1)

    def _try_to_follow(self) -> float:
        """Follow, and survive any error: a dead thread would never load another release, a rollback included."""
        try:
            return self.follow_once()
        except Exception:
            self._app.metrics.follow_failures.inc()
            log.exception("Failed to follow the active release, trying again")
            return _RETRY_SECONDS

    def follow_once(self) -> float:
        """Read the pointer and load the release that it names. Return the seconds until the next poll."""
        try:
            pointer = self._objects.read(self._layout.active, MAX_BYTES)
            self._read_at = time.monotonic()
            if self._unreachable:
                log.info("The store answers again")
            self._unreachable = False
            if pointer is None or pointer.etag == self._settled or self._waits_to_retry(pointer):
                self._trust.refresh()
                return POLL_SECONDS
            return self._load(pointer)
        except (BotoCoreError, ClientError, PerennialError) as error:
            self._app.metrics.follow_failures.inc()
            if not self._unreachable:
                log.warning("Cannot read the active release, trying again: %s", error)
            self._unreachable = True
            return _RETRY_SECONDS

    def _refused_before(self, pointer: Stored) -> Refused | None:
        refused = self._refused
        return refused if refused is not None and refused.etag == pointer.etag else None

    def _waits_to_retry(self, pointer: Stored) -> bool:
        refused = self._refused_before(pointer)
        return refused is not None and time.monotonic() < refused.retry_at

    def _load(self, pointer: Stored) -> float:
        try:
            self._trust.show()
            name = self._pointer.read(pointer)
            if name is None:  # the first release was rolled back, and no release comes before it
                self._app.release = None
                log.warning("No release is active")
            elif self._app.release is None or self._app.release.id != name:
                release = load_release(self._objects, self._layout, name, self._limits)
                self._app.switch(release)
                log.info("Release %s serves, model version %s", release.id, release.version)
        except PerennialError as error:
            self._app.metrics.load_failures.inc()
            serving = self._app.release.id if self._app.release else "nothing"
            before, reason = self._refused_before(pointer), str(error)
            if before is None or before.reason != reason:
                log.error("The active release cannot serve, %s keeps serving: %s", serving, error)
            wait = _RETRY_SECONDS if before is None else min(2 * before.wait, _MAX_RETRY_SECONDS)
            self._refused = Refused(pointer.etag, reason, time.monotonic() + wait, wait)
            return POLL_SECONDS
        self._settled = pointer.etag
        return POLL_SECONDS

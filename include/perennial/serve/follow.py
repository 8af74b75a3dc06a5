"""Following the pointer to the active release: load the new one beside the running one, verify it, then swap."""

from __future__ import annotations

import logging
import threading
import time
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
        self._refused: tuple[str, str] | None = None
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
            if pointer is None or pointer.etag == self._settled:
                self._trust.refresh()
                return POLL_SECONDS
            return self._load(pointer)
        except (BotoCoreError, ClientError, PerennialError) as error:
            self._app.metrics.follow_failures.inc()
            if not self._unreachable:
                log.warning("Cannot read the active release, trying again: %s", error)
            self._unreachable = True
            return _RETRY_SECONDS

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
            if self._refused != (pointer.etag, str(error)):
                log.error("The active release cannot serve, %s keeps serving: %s", serving, error)
            self._refused = pointer.etag, str(error)
            return _RETRY_SECONDS  # a deploy may restore a lost file under the same name
        self._settled = pointer.etag
        return POLL_SECONDS

"""The keys that the server trusts, in its log and its metrics."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Gauge

from perennial.errors import PerennialError
from perennial.signing.keys import TrustedKeys, read_trusted_keys

log = logging.getLogger(__name__)


class TrustMetric:
    """`perennial_trusted_key_info{key}`: one series for each trusted key; none if signatures are not checked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(
            "perennial_trusted_key_info", "1 for each key whose signatures the server accepts", ["key"], registry=registry
        )
        self._shown: TrustedKeys | None = None
        self._is_shown = False

    def show(self) -> None:
        """Read the keys, and report them if they have changed: during a rotation they do, while the server runs."""
        try:
            trusted = read_trusted_keys()
        except PerennialError:
            self._gauge.clear()  # until they can be read, no signature is accepted
            self._is_shown = False
            raise
        if self._is_shown and _ids(trusted) == _ids(self._shown):
            return
        self._shown, self._is_shown = trusted, True
        self._gauge.clear()
        for key in _ids(trusted):
            self._gauge.labels(key).set(1)
        if trusted is None:
            log.warning("PERENNIAL_TRUSTED_KEYS is not set: signatures of releases are not checked")
        else:
            log.info("Releases need a signature by one of the trusted keys: %s", trusted.describe())

    def refresh(self) -> None:
        """Show the keys while no pointer needs them. If they cannot be read, only log why: the release keeps serving."""
        try:
            self.show()
        except PerennialError as error:
            log.error("%s", error)


def _ids(trusted: TrustedKeys | None) -> list[str]:
    return sorted(trusted.keys) if trusted is not None else []

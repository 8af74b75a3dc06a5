"""The object store's refusal of the keys that a process has: which request, which keys, which role may."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from perennial.errors import PerennialError
from perennial.settings import get_settings

DENIED = 403


class DeniedError(PerennialError):
    """The object store refused the process's keys. A retry may follow a change of their rights."""


def raise_if_denied(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
    """Raise DeniedError for an answer with status 403. A handler of botocore's event `after-call`."""
    if http_response.status_code != DENIED:
        return
    place = urlsplit(http_response.url)
    code = parsed.get("Error", {}).get("Code", DENIED)
    file = get_settings().credentials_file
    keys = f"in {file}" if file else "that AWS finds for this process"
    advice = _advise(place.path, writes=model.http["method"] not in ("GET", "HEAD"))
    raise DeniedError(
        f"The object store refused {model.name} of {place.netloc}{place.path} ({code}) with the keys {keys}",
        remedy=f"{advice} docs/reference/roles.md lists the roles.",
    )


def _advise(path: str, *, writes: bool) -> str:
    if "/signatures/" in path:
        return (
            "Model servers read `*/signatures/*` in the lake too, since releases are signed: add it to the policy of these keys."
        )
    if writes:
        return (
            "Jobs write to the lake only. To land drops, use the keys of the owner or of the role landing "
            "(in the stack's folder `secrets`: `aws_credentials`, `landing/aws_credentials`)."
        )
    return "Use the keys of a role that may read it, or add the right to the policy of these keys."

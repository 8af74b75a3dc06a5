"""What a pipeline's model server says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pipeline's endpoint now; `release` is the one that it answers from."""

    url: str
    answers: bool
    release: str | None

    def about(self, active: str) -> str:
        """Say what the endpoint does with the active release."""
        if self.release == active:
            return "serves"
        if not self.answers:
            return "active; no server follows it yet: make up"
        return f"active; its server answers from {self.release or 'no release'}, see its log in var/log"


def look(pipeline: str) -> Endpoint:
    """Ask the endpoint of a pipeline."""
    import httpx

    from perennial.runtime.process import RELEASE_HEADER, endpoint_url

    url = endpoint_url(pipeline)
    try:
        answer = httpx.Client(trust_env=False, timeout=3).get(f"{url}/v2/health/ready")
    except httpx.TransportError:
        return Endpoint(url, False, None)
    return Endpoint(url, True, answer.headers.get(RELEASE_HEADER))

"""What a pipeline's model server says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.config.pipeline import Pipeline


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
        return f"active; its endpoint answers from {self.release or 'no release'}: its log says why (var/log, or its pods')"


def look(pipeline: Pipeline) -> Endpoint:
    """Ask the endpoint of a pipeline."""
    import httpx

    from perennial.runtime.choice import open_runtime
    from perennial.runtime.process_serving import RELEASE_HEADER

    with open_runtime(pipeline).endpoint() as client:
        url = str(client.base_url).rstrip("/")
        try:
            answer = client.get(f"/v2/models/{pipeline.name}")
        except httpx.TransportError:
            return Endpoint(url, False, None)
    # 404: the server of another pipeline, or a Service that is not there yet.
    return Endpoint(url, answer.status_code != httpx.codes.NOT_FOUND, answer.headers.get(RELEASE_HEADER))

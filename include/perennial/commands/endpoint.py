"""State of a pipeline's endpoint, as its model server reports it."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.config.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Endpoint:
    """State of a pipeline's endpoint; `release` is the release that answers."""

    url: str
    answers: bool
    release: str | None

    def about(self, active: str) -> str:
        """Describe how the endpoint treats the active release."""
        if self.release == active:
            return "serves"
        if not self.answers:
            return "active; no server answers: make up"
        return (
            f"active; the endpoint answers from {self.release or 'no release'}. See the log of the server (var/log, or its pods)"
        )


def look(pipeline: Pipeline) -> Endpoint:
    """Query the endpoint of a pipeline."""
    import httpx

    from perennial.runtime.choice import open_runtime
    from perennial.runtime.process_serving import RELEASE_HEADER

    with open_runtime(pipeline).endpoint() as client:
        url = str(client.base_url).rstrip("/")
        try:
            answer = client.get(f"/v2/models/{pipeline.name}")
        except httpx.TransportError:
            return Endpoint(url, False, None)
    # 404: the server belongs to another pipeline, or the Service does not exist yet.
    return Endpoint(url, answer.status_code != httpx.codes.NOT_FOUND, answer.headers.get(RELEASE_HEADER))

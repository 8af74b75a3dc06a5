"""The routes of the server: the methods that each path takes, and its label in the metrics."""

from __future__ import annotations

import re
from typing import NamedTuple

from perennial.serve.refusal import Refusal, quoted

_MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<action>/ready|/infer)?")


class Route(NamedTuple):
    """The kind of request that a path makes, and its label in the metrics."""

    kind: str
    label: str
    methods: tuple[str, ...]


_GET = ("GET", "HEAD")
_FIXED = {
    route.label: route
    for route in (
        Route("predict", "/predict", ("POST",)),
        Route("metrics", "/metrics", _GET),
        Route("server", "/v2", _GET),
        Route("live", "/v2/health/live", _GET),
        Route("ready", "/v2/health/ready", _GET),
    )
}
_OF_MODEL = {
    None: Route("model", "/v2/models/{name}", _GET),
    "/ready": Route("model_ready", "/v2/models/{name}/ready", _GET),
    "/infer": Route("infer", "/v2/models/{name}/infer", ("POST",)),
}


def find_route(method: str, path: str, pipeline: str, release: str | None) -> Route:
    """Return the route of a request, or raise Refusal (404, 405)."""
    route = _FIXED.get(path) or _model_route(path, pipeline, release)
    if method not in route.methods:
        allow = ", ".join(route.methods)
        raise Refusal(
            405, f"{route.label} takes {allow}, found {quoted(method)}", headers=[(b"allow", allow.encode())], route=route.label
        )
    return route


def _model_route(path: str, pipeline: str, release: str | None) -> Route:
    match = _MODEL.fullmatch(path)
    if match is None:
        raise Refusal(404, f"There is no path {quoted(path)}. The paths are {', '.join(_FIXED)} and /v2/models/{pipeline}")
    if match["name"] != pipeline:
        raise Refusal(404, f"There is no model {quoted(match['name'])}. This server has '{pipeline}'")
    if match["version"] is not None and match["version"] != release:
        raise Refusal(
            404, f"The release {quoted(match['version'])} does not serve here. {quoted(release) if release else 'None'} does"
        )
    return _OF_MODEL[match["action"]]

"""The model server as an ASGI application: routes in, JSON out, every bad request a 4xx."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from perennial.serve.body import BodyReader, ClientGoneError, Message, Receive, Scope, has_body
from perennial.serve.limits import Limits
from perennial.serve.memory import MAX_GROWTH, needed_memory
from perennial.serve.metrics import CONTENT_TYPE, Metrics
from perennial.serve.model import Model
from perennial.serve.refusal import Refusal
from perennial.serve.release import Release
from perennial.serve.routes import Route, find_route
from perennial.serve.strict_json import read_json
from perennial.serve.tensors import infer_answer, model_metadata, read_infer
from perennial.serve.tokens import Tokens
from perennial.store.json_value import Json, JsonValue

Send = Callable[[Message], Awaitable[None]]
log = logging.getLogger(__name__)

_JSON = b"application/json"
_LINGER_SECONDS = 1.0
_NO_RELEASE = (
    "No release serves: none is active yet (the first run that promotes a model deploys one), "
    "or the active one cannot be loaded, and the log of this server says why"
)
_SERVER: Json = {"name": "perennial", "version": "1", "extensions": []}


class Answer(NamedTuple):
    """One response."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - never changed
    content_type: bytes = _JSON


class App:
    """Answers requests with the active release. A request keeps the release it began with."""

    def __init__(self, pipeline: str, metrics: Metrics, limits: Limits, tokens: Tokens | None = None) -> None:
        """Start without a release: live, but not ready. With tokens, a prediction needs one."""
        self.release: Release | None = None
        self.pipeline = pipeline
        self.metrics = metrics
        self._limits = limits
        self._tokens = tokens
        if tokens is not None:
            metrics.watch_tokens(tokens.count)
        self._bodies = BodyReader(limits)
        self._workers = ThreadPoolExecutor(limits.workers, thread_name_prefix="batch")
        self._waiting = 0
        self._in_turn = Lock()

    def switch(self, release: Release) -> None:
        """Serve a release from the next request on. It is one assignment, so every request sees exactly one release."""
        self.release = release
        self.metrics.switched(release)
        gc.freeze()  # later collections skip the lookups; reference counting still frees them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = perf_counter()
        release = self.release
        label = "other"
        unread = True
        try:
            # No path needs an escape. A decoded one would pass a gateway, whose rules may not see "/" in "%2F".
            path = scope["raw_path"].decode("ascii")
            route = find_route(scope["method"], path, self.pipeline, release.id if release else None)
            label = route.label
            if route.kind in ("predict", "infer"):
                if self._tokens is not None:
                    self._tokens.check(scope["headers"])
                body = await self._bodies.read(scope, receive)
                unread = False
                try:
                    answer = await self._predict(route, release, body)
                finally:
                    self._bodies.release(body)
            else:
                answer = self._inform(route, release)
        except Refusal as refusal:
            label = refusal.route or label
            answer = Answer(refusal.status, refusal.body(), refusal.headers)
        except ClientGoneError:
            self.metrics.count(label, 499, perf_counter() - began)
            return
        except asyncio.CancelledError:  # the deadline of a stop: say so, and close the connection without waiting for the body
            answer = Answer(503, b'{"error": "The server is stopping"}')
            unread = False
        except Exception:
            log.exception("Failed to answer %s", label)
            answer = Answer(500, b'{"error": "The server failed to answer; its log says why"}')
        seconds = perf_counter() - began
        self.metrics.count(label, answer.status, seconds)
        await _respond(scope, receive, send, answer, release, seconds, unread=unread and has_body(scope))

    def _inform(self, route: Route, release: Release | None) -> Answer:
        """Answer a GET route."""
        if route.kind == "metrics":
            return Answer(200, self.metrics.text(), content_type=CONTENT_TYPE)
        if route.kind == "server":
            return _json(200, _SERVER)
        if route.kind == "live":
            return _json(200, {"live": True})
        if release is None:
            return _json(503, {"ready": False, "error": _NO_RELEASE})
        if route.kind == "ready":
            return _json(200, {"ready": True})
        if route.kind == "model_ready":
            return _json(200, {"name": self.pipeline, "ready": True})
        return _json(200, model_metadata(self.pipeline, release))

    async def _predict(self, route: Route, release: Release | None, body: bytes) -> Answer:
        """Answer records or tensors: small bodies here, large ones on a worker, so that no batch delays the others."""
        if release is None:
            raise Refusal(
                503,
                f"{_NO_RELEASE}. GET /v2/health/ready answers 200 once one serves",
                headers=[(b"retry-after", b"1")],
            )
        if len(body) <= self._limits.inline_bytes:
            return self._compute(route, release, body)
        if self._waiting >= self._limits.waiting:
            raise Refusal(503, "Too many large requests are waiting already. Try again", headers=[(b"retry-after", b"1")])
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._compute_large, route, release, body)
        finally:
            self._waiting -= 1

    def _compute_large(self, route: Route, release: Release, body: bytes) -> Answer:
        """Answer on a worker thread, within the memory for answers."""
        maximum = self._limits.answer_bytes
        of_answer = release.model.answer_bytes * self._count_most(route, body)
        is_small = len(body) * MAX_GROWTH + of_answer <= maximum // 4
        memory = 0 if is_small else needed_memory(body) + of_answer
        if memory > maximum:
            found = f"may take {memory >> 20} MiB to answer, the maximum is {maximum >> 20} MiB"
            raise Refusal(413, f"The request {found}. Send the records in parts")
        with self._in_turn if memory > maximum // 4 else nullcontext():
            return self._compute(route, release, body)

    def _count_most(self, route: Route, body: bytes) -> int:
        """Return an upper bound of the number of records in a body."""
        return min(body.count(b"," if route.kind == "infer" else b"{") + 1, self._limits.records)

    def _compute(self, route: Route, release: Release, body: bytes) -> Answer:
        request = read_json(body)
        infer = read_infer(request, release.model, self._limits) if route.kind == "infer" else None
        answers = release.model.answer(request if infer is None else infer.records)
        self.metrics.rows.inc(len(answers.predictions))
        self.metrics.count_unseen(answers.unseen)
        if infer is not None:
            return _json(200, infer_answer(infer, self.pipeline, release, answers))
        show = _shower(release.model)
        predictions = ",".join(
            f'{{{show(prediction)},"unseen":{json.dumps(fields) if fields else "[]"}}}'
            for prediction, fields in zip(answers.predictions, answers.unseen, strict=True)
        )
        return Answer(200, f'{{"predictions":[{predictions}],{release.facts}}}'.encode())


def _shower(model: Model) -> Callable[[Any], str]:
    """Return the function that writes a prediction as members of a JSON object."""
    if model.numbers:
        members = ",".join(f'"{name}":{{!r}}' for name in model.numbers)
        return lambda prediction: members.format(*prediction)
    if not model.classes:
        return f'"{model.output}":{{!r}}'.format
    names = [json.dumps(name) for name in model.classes]

    def show(prediction: list[float]) -> str:
        shares = ",".join(f"{name}:{share!r}" for name, share in zip(names, prediction, strict=True))
        return f'"class":{json.dumps(model.likeliest(prediction))},"{model.output}":{{{shares}}}'

    return show


def _json(status: int, value: JsonValue) -> Answer:
    return Answer(status, json.dumps(value, allow_nan=False).encode())


async def _respond(
    scope: Scope, receive: Receive, send: Send, answer: Answer, release: Release | None, seconds: float, *, unread: bool
) -> None:
    """
    Send an answer. If the request body is still arriving, close the connection, but give the client time to read the answer.

    Closing a socket that has unread bytes resets it, and the client would lose the error text. So the server first reads
    and drops the rest of the body, for at most a second.
    """
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"server-timing", b"app;dur=%.3f" % (seconds * 1000)),
        *answer.headers,
    ]
    if release is not None:
        headers.append((b"x-release", release.id.encode()))
    if unread:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if not unread:
        await send({"type": "http.response.body", "body": answer.body})
        return
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass
    except TimeoutError:
        log.debug("A client was still sending its refused body after %s seconds", _LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b""})

"""Error answers of the server: one status, one text of limited length, and never an echo of unlimited input."""

from __future__ import annotations

import json
from collections.abc import Sequence

from perennial.errors import MAX_PROBLEMS_SHOWN
from perennial.store.json_value import JsonValue

_MAX_CHARACTERS = 40


class Refusal(Exception):
    """A request that the server answers with an error status."""

    def __init__(
        self,
        status: int,
        text: str,
        problems: Sequence[str] = (),
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        route: str | None = None,
    ) -> None:
        """Keep the status, the error text, at most ten problems, the headers that go with the status, and the route if known."""
        self.route = route
        self.status = status
        self.text = text
        self.problems = list(problems[:MAX_PROBLEMS_SHOWN])
        self.headers = list(headers)
        super().__init__(text)

    def body(self) -> bytes:
        """Return the JSON answer. It is pure ASCII, so that no text from a request can break it."""
        answer: dict[str, JsonValue] = {"error": ": ".join([self.text, *self.problems]) if len(self.problems) == 1 else self.text}
        if self.problems:
            answer["problems"] = self.problems
        return json.dumps(answer).encode()


def too_many_records(count: int, maximum: int) -> Refusal:
    """Return the refusal of a request with too many records."""
    return Refusal(413, f"{count} records in one request, the maximum is {maximum}. Send them in several requests")


def shown(value: JsonValue) -> str:
    """Describe a JSON value in about fifty characters at most."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object"


def quoted(text: str) -> str:
    """Quote a text in ASCII, cut to forty characters."""
    return json.dumps(text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…")

"""Reading JSON strictly: UTF-8, no duplicate keys, no NaN or Infinity, bounded depth."""

from __future__ import annotations

import json
from collections import Counter
from typing import NoReturn

from perennial.serve.refusal import Refusal, quoted
from perennial.store.json_value import JsonValue


def read_json(body: bytes) -> JsonValue:
    """Return the JSON value of a body, or raise Refusal (400) with the place of the error."""
    try:
        value: JsonValue = _DECODER.decode(body.decode("utf-8"))
        return value
    except UnicodeDecodeError as error:
        raise Refusal(400, f"The body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        if not body:
            raise Refusal(400, "The body is empty, expected JSON") from None
        if error.doc.startswith("\ufeff"):
            raise Refusal(400, "The body begins with a byte order mark, which is not JSON. Send plain UTF-8") from None
        raise Refusal(400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Refusal(400, "The body is nested too deeply, expected a list of flat records") from None
    except ValueError:  # the only other cause: Python converts integers of at most 4,300 digits
        raise Refusal(400, "The body holds an integer of more than 4300 digits") from None


def _refuse_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Refusal(400, f"The key {quoted(twice)} is listed twice in one object. Keep one of them")
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise Refusal(400, f"The body holds {constant}, which is not JSON. Write null where a field may be null")


_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)

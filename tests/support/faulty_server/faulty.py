"""The model server, healthy for its first requests and then as FAULT says: slow, or leaking."""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from typing import Any

from perennial.serve import app
from perennial.serve.__main__ import main

HEALTHY_REQUESTS = 300
"""More than the serve-check sends."""

requests = count()
held: list[bytes] = []
compute = app.App._compute


def faulty(self: app.App, *arguments: Any) -> app.Answer:
    if next(requests) > HEALTHY_REQUESTS:
        if os.environ["FAULT"] == "slow":
            time.sleep(0.4)
        else:
            held.append(os.urandom(8 << 20))
    return compute(self, *arguments)


app.App._compute = faulty  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())

"""What is made again under the same key must be the same."""

from __future__ import annotations

import pytest

from perennial.errors import RefusedError
from perennial.lake.tables import Partition, refuse_changed


def test_another_result_of_the_same_inputs_is_refused() -> None:
    made = {"2026-03-01": Partition("k", "a" * 64, 1), "2026-03-02": Partition("k", "b" * 64, 1)}
    refuse_changed({"2026-03-01": "a" * 64}, made, "features.sql")
    refuse_changed({}, made, "features.sql")
    with pytest.raises(
        RefusedError, match=r"features\.sql: the same inputs give another result: 2026-03-02: digest bbbbbbbbbbbb, it was c"
    ):
        refuse_changed({"2026-03-01": "a" * 64, "2026-03-02": "c" * 64}, made, "features.sql")

"""Job files of Spark: their stored form, which names them by its digest, so that not one byte of it may change."""

from __future__ import annotations

import json

import pytest

from perennial.analyse.job_file import AnalyseJob
from perennial.clean.job_file import CleanJob
from perennial.store.content_name import canonical_json

CLEAN = """{"database":"main__shop","tables":[{"big":["2026-03-01"],"columns":[["n",{"enum":null,"format":null,
"max_length":1000,"null_text":"NA","range":[0,9.5],
"required":true,"type":"integer"}],["kind",{"enum":["a","b"],"format":null,"max_length":20,"null_text":null,"range":null,"required":false,
"type":"string"}],["day",{"enum":null,"format":"dd.MM.yyyy","max_length":1000,"null_text":null,"range":null,"required":false,
"type":"date"}]],"days":{"2026-03-01":{"files":[{"by_lines":true,"line_end":"\\n","name":"a.csv","rows":2,"unclear":[],"uri":
"s3://x/raw/1.csv"}],"header":["n","kind"],"key":"k-1","refusal":"s3://x/refused/1.json"},"reference":{"files":[],"header":[],"key":"k-2",
"refusal":"s3://x/refused/2.json"}},
"dialect":{"decimal":".","delimiter":";","encoding":"utf-8","escape":null,"quote":null},"header":{"kind":"Kind","n":"n"},
"held":["2026-03-01"],"key":["n"],"max_quarantine_share":0.05,"name":"orders","same":{"2026-03-01":"digest"},"sql":null,
"step":null,"table":"clean_orders","withdraw":["2026-02-28"]}],
"time_zone":"UTC"}"""

ANALYSE = """{"analysis":[{"days":{"2026-03-01":"k"},"file":"analysis/n.sql","held":{},"sql":"SELECT 1","table":"analysis_n"}],
"database":"main__shop","features":[{"days":{"2026-03-01":"k"},"file":"features.sql","has_stored_labels":true,"held":{"2026-03-01":"digest"},"label":null,
"later_label":"back","lookups":[{"days":{"2026-03-01":"k"},"key":["kind"],"name":"rates","table":"lookup_rates","values":["rate"]}],
"request":[{"name":"kind","nullable":false,"type":"category"},{"name":"n","nullable":true,"type":"number"}],"row_key":["id"],
"sql":"SELECT 2","table":"features"}],"is_big":true,"labels":[{"days":
{"2026-03-01":"k"},"file":"labels.sql","held":{},"known_after_days":2,"label":"back",
"request":[{"name":"kind","nullable":false,"type":"category"}],"row_key":["id"],
"sql":"SELECT 3","table":"labels"}],"lookback_days":2,"lookups":[{"days":{"2026-03-01":"k"},"file":"lookups/rates.sql",
"held":{},"key":["kind"],"name":"rates","sql":"SELECT 4","table":"lookup_rates","values":["rate"]}],"profile":[{"days":
{"2026-03-01":"k"},"file":"the profile","held":{},"sources":["orders"],"table":"profile"}],"tables":{"kinds":{"dated":false,
"snapshot_id":7,"table":"clean_kinds"},"orders":{"dated":true,"snapshot_id":8,"table":"clean_orders"}},"time_zone":"UTC",
"withdraw":{"features":["2026-02-28"]}}"""


@pytest.mark.parametrize(("kind", "text"), [(CleanJob, CLEAN), (AnalyseJob, ANALYSE)], ids=["clean", "analyse"])
def test_a_job_is_stored_as_it_was_read_byte_for_byte(kind: type[CleanJob | AnalyseJob], text: str) -> None:
    stored = text.replace("\n", "")
    job = kind.from_json(json.loads(stored))
    assert canonical_json(job.to_json()) == stored.encode()
    assert kind.from_json(job.to_json()) == job


@pytest.mark.parametrize("kind", [CleanJob, AnalyseJob], ids=["clean", "analyse"])
def test_a_job_with_a_part_that_it_does_not_have_is_not_read(kind: type[CleanJob | AnalyseJob]) -> None:
    stored = json.loads(CLEAN if kind is CleanJob else ANALYSE)
    next(iter(stored["tables"] if kind is CleanJob else stored["features"]))["colour"] = "red"
    with pytest.raises(TypeError, match="colour"):
        kind.from_json(stored)

"""A job file whose bytes are not those of its name is refused."""

from __future__ import annotations

import hashlib

import pytest

from perennial.errors import RefusedError
from perennial.store.content_name import check_job_name
from perennial.store.objects import Objects
from perennial.train.job import read_job

BODY = b'{"format":1}'
NAME = hashlib.sha256(BODY).hexdigest()


def test_the_bytes_of_its_name_pass() -> None:
    check_job_name(f"s3://lake/main/p/jobs/{NAME}.json", BODY)


@pytest.mark.parametrize("name", ["job.json", f"{NAME[:-1]}.json", f"{NAME}", f"{NAME}.json/x.json"])
def test_other_bytes_are_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="its bytes have SHA-256"):
        check_job_name(f"s3://lake/{name}", BODY if name != NAME else BODY + b" ")


def test_a_trainer_reads_no_job_that_was_changed(s3: object) -> None:
    uri = f"{s3.lake}/main/p/jobs/{NAME}.json"  # type: ignore[attr-defined]
    Objects().create(uri, BODY + b" ")
    with pytest.raises(RefusedError, match="differs from its name"):
        read_job(Objects(), uri)

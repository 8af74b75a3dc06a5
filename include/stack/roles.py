"""Roles: the users of the object store. Each role has keys of its own, with the rights that its work needs."""

from __future__ import annotations

from enum import StrEnum

BUCKETS = ("landing", "perennial")


class Role(StrEnum):
    """A user of the object store."""

    OWNER = "owner"
    """The person at the command line. The stack creates the buckets with these keys, too. No service has them."""

    JOBS = "jobs"
    """Airflow with its tasks, Spark, trainings, the metastore. They may read any bucket, because a source may be in any."""

    SERVING = "serving"
    """The model servers."""

    LANDING = "landing"
    """An upstream system that lands drops."""


RIGHTS = {
    Role.OWNER: ("Admin", "Read", "Write", "List", "Tagging"),
    Role.JOBS: ("Read", "List", "Write:perennial/?*"),
    Role.SERVING: tuple(f"Read:perennial/*/{folder}/*" for folder in ("endpoint", "releases", "signatures", "blobs")),
    Role.LANDING: ("Read:landing", "Write:landing/?*", "List:landing"),
}
"""
Actions in the words of SeaweedFS: `ACTION` in all buckets, `ACTION:BUCKET` in one, `ACTION:BUCKET/KEY` for some objects.

`Write:BUCKET` would allow the bucket's lifecycle, versioning and CORS as well; `Write:BUCKET/?*` allows its objects only.
"""

IN_CONTAINERS = (Role.JOBS, Role.SERVING)
"""The roles of containers that see no other secret. PERENNIAL_KEYS is the folder for their keys."""

"""The subject of a signature: a signature holds for one object under its own name, and for nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from perennial.errors import SignatureRefusedError
from perennial.lake.layout import Layout
from perennial.store.content_name import canonical_json

_DOMAIN = b"perennial signature 1"


class Kind(StrEnum):
    """The kinds of signed objects."""

    DECISION = "decision"
    MODEL = "model"
    POINTER = "pointer"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Subject:
    """
    The identity that a signature binds to the bytes.

    :param name: the address of the object within its pipeline
    """

    kind: Kind
    space: str
    pipeline: str
    name: str

    @classmethod
    def of(cls, layout: Layout, kind: Kind, uri: str) -> Subject:
        """Return the subject of a stored object; raise SignatureRefusedError if it is not one of this pipeline."""
        name = uri.removeprefix(f"{layout.root}/")
        if name == uri:
            raise SignatureRefusedError(f"{uri} is not an object of pipeline {layout.pipeline!r} in space {layout.space!r}")
        return cls(kind, layout.space, layout.pipeline, name)

    def message(self, body: bytes) -> bytes:
        """Return the signed bytes. JSON has no NUL, so identity and body cannot run into each other."""
        return b"\0".join((_DOMAIN, canonical_json(asdict(self)), body))

    def __str__(self) -> str:
        """Describe the object in a sentence."""
        return f"The {self.kind} {self.name} of {self.pipeline!r} in space {self.space!r}"

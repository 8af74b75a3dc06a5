"""Comparing addresses: of objects in a store, and paths of files."""

from __future__ import annotations

_LEFT_OUT = frozenset("\t\n\r")


def is_below(folder: str, address: str) -> bool:
    """
    Return whether an address is below a folder. A folder is not below itself.

    Addresses are compared as they are, but for `s3a`, which is another name of `s3`. So an address with `.` or `..` is below
    nothing: programs differ in how they read it. The same goes for an address in a store with a tab or the end of a line, which
    `urlsplit` leaves out: `.<tab>.` would become `..`. Paths must be without links.
    """
    texts = (text.rstrip("/") for text in (folder, address))
    place, file = (f"s3://{text[6:]}" if text.startswith("s3a://") else text for text in texts)
    if file.startswith("s3://") and not _LEFT_OUT.isdisjoint(file):
        return False
    return file.startswith(f"{place}/") and not {".", ".."} & set(file.split("/"))

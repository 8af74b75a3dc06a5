"""Comparing addresses: of objects in a store, and paths of files."""

from __future__ import annotations


def is_below(folder: str, address: str) -> bool:
    """
    Return whether an address is below a folder. A folder is not below itself.

    Addresses are compared as they are, but for `s3a`, which is another name of `s3`. So an address with `.` or `..` is below
    nothing: programs differ in how they read it. Paths must be without links.
    """
    place, file = (f"s3://{text[6:]}" if text.startswith("s3a://") else text for text in (folder.rstrip("/"), address))
    return file.startswith(f"{place}/") and not {".", ".."} & set(file.split("/"))

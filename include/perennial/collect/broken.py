"""The error of content that cannot be read."""

from __future__ import annotations


class BrokenError(Exception):
    """Content that cannot be read further; the digest still covers the whole file."""

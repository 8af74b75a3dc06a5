"""Counting the records of a text without quotes: each of its lines is one, so no CSV reader is needed."""

from __future__ import annotations

MAX_CELLS = 20_000
"""Cells of a record. Spark's reader ends the job at 20,480."""

MAX_PLAIN_LINE = MAX_CELLS - 1
"""Bytes. A longer line goes to the CSV reader, which checks the length and the number of cells."""

_LF, _CR, _SPACE = b"\n\r "


def count_plain_lines(text: str, quote: str | None, *, is_crlf: bool) -> int | None:
    """
    Return the number of records of whole lines, or None if a CSV reader must decide.

    The reader decides if the text has a quote, a long line, another line end, or a line that begins with white space.
    NUL characters and escape characters are the caller's concern.
    """
    import numpy as np  # parsing a DAG file imports this module

    if (quote is not None and quote in text) or ("\r" in text) is not is_crlf:
        return None
    characters = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.flatnonzero(characters == _LF)
    begins = np.concatenate(([0], ends[:-1] + 1))
    if len(ends) == 0 or ends[-1] != len(characters) - 1 or (ends - begins).max() > MAX_PLAIN_LINE:
        return None
    if (characters[begins] <= _SPACE).any():
        return None
    if is_crlf and (np.count_nonzero(characters == _CR) != len(ends) or (characters[ends - 1] != _CR).any()):
        return None
    return len(ends)

"""The rules of a cleaning step in Python, `sources/<name>.py`."""

from __future__ import annotations

from perennial.config.python_file import Rules, file_problems

LIBRARIES = ("numpy", "pandas", "pyarrow")
"""The libraries that a step may import besides Python's own; their versions are a part of its fingerprint."""

SIGNATURE = "def clean(df: pd.DataFrame) -> pd.DataFrame"
_RULES = Rules("clean", "one argument, the DataFrame", 1, SIGNATURE, LIBRARIES)


def step_problems(text: str) -> list[str]:
    """Return each reason why the file of a step cannot run, with its line."""
    return file_problems(text, _RULES)

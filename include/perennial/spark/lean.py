"""
Keeps numpy, pandas and pyarrow out of a job, which imports this module before pyspark.

pyspark imports them if they are installed, at the price of 0.25 CPU seconds and 80 MB.
Only a cleaning step in Python needs them.
"""

from __future__ import annotations

import sys

LIBRARIES = ("numpy", "pandas", "pyarrow")

for _name in LIBRARIES:
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]  # Python's own sign of a module that is not to be imported


def allow_libraries() -> None:
    """Let this process import the libraries."""
    for name in LIBRARIES:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]

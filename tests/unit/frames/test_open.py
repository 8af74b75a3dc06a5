"""`perennial.open` in a process of its own, as a script or a notebook calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stack.config import REPO

SCRIPT = """
import json, sys
import perennial

errors = {"pandas": "pandas" in sys.modules}
for name in ("flight_delay", "flight_delays"):
    try:
        perennial.open(name)
    except perennial.errors.PerennialError as error:
        errors[name] = str(error)
print(json.dumps(errors))
"""


def test_a_pipeline_is_opened_with_the_settings_of_the_stack_and_wrong_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "stack.env").write_text("AWS_ENDPOINT_URL_S3=http://127.0.0.1:9\n")  # a port at which nothing listens
    environment = {"PERENNIAL_VAR": str(tmp_path), "PYTHONPATH": str(REPO / "include"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert errors["pandas"] is False, "import perennial must stay light"
    assert "No pipeline 'flight_delay'" in errors["flight_delay"]
    assert errors["flight_delay"].endswith("Did you mean 'flight_delays'?")
    assert errors["flight_delays"] == "The stack is down: `make up`."

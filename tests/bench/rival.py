"""MLServer with a scikit-learn model, in an environment of its own: the server that ours is measured beside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Self

PACKAGES = ["mlserver==1.7.1", "mlserver-sklearn==1.7.1", "scikit-learn==1.9.1", "numpy==2.4.6"]
WIDTH = 100
MODEL = "rival"

_FIT = """
import sys, joblib, numpy as np
from sklearn.linear_model import LogisticRegression
generator = np.random.default_rng(7)
X = generator.normal(size=(2000, int(sys.argv[2])))
joblib.dump(LogisticRegression(max_iter=200).fit(X, X[:, 0] + generator.normal(size=2000) > 0), sys.argv[1])
"""


def prepare(folder: Path, uv: Path, python: Path) -> Path:
    """Make the environment once, and the model: a logistic regression, the lightest that scikit-learn has."""
    venv = folder / "mlserver-venv"
    stamp = venv / "packages.json"
    if not stamp.is_file() or json.loads(stamp.read_text()) != PACKAGES:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, venv], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", venv / "bin/python", *PACKAGES], check=True)
        stamp.write_text(json.dumps(PACKAGES))
    model = folder / "mlserver-model"
    model.mkdir(parents=True, exist_ok=True)
    subprocess.run([venv / "bin/python", "-c", _FIT, model / "model.joblib", str(WIDTH)], check=True)
    return venv


class Rival:
    """mlserver start, with one process for all (no inference pool: at this size the pool only adds latency)."""

    def __init__(self, folder: Path, venv: Path, ports: tuple[int, int, int]) -> None:
        model = folder / "mlserver-model"
        self.port = ports[0]
        settings = {
            "host": "127.0.0.1",
            "http_port": ports[0],
            "grpc_port": ports[1],
            "metrics_port": ports[2],
            "parallel_workers": 0,
        }
        (model / "settings.json").write_text(json.dumps(settings | {"debug": False, "environments_dir": str(folder)}))
        (model / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": MODEL,
                    "implementation": "mlserver_sklearn.SKLearnModel",
                    "parameters": {"uri": str(model / "model.joblib")},
                }
            )
        )
        self._log = (folder / "mlserver.log").open("w")
        environment = {**os.environ, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
        self.process = subprocess.Popen(
            [venv / "bin/mlserver", "start", model], stdout=self._log, stderr=subprocess.STDOUT, env=environment
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/models/{MODEL}/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError(f"MLServer did not start; see {self._log.name}")

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def request(self) -> bytes:
        """Return the bytes of a request for one row."""
        data = [round(0.01 * index, 2) for index in range(WIDTH)]
        body = json.dumps(
            {
                "inputs": [{"name": "x", "shape": [1, WIDTH], "datatype": "FP64", "data": data}],
                "outputs": [{"name": "predict_proba"}],
            }
        ).encode()
        head = (
            f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: bench\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

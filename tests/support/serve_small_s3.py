"""Just enough S3 to read and write whole objects with ETags, in this process: the store of the server's own tests."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote


class SmallS3:
    """Objects by their s3:// address; `down` makes every request fail, and `failed` counts them; `stalled` arrives in half."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.failed = 0
        self.stalled = ""
        self.halves = threading.Semaphore(0)
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = store.objects.get("s3:/" + unquote(self.path.partition("?")[0]))
                if store.down:
                    store.failed += 1
                    self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
                elif body is None:
                    self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                else:
                    self._answer(200, body)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("ETag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if store.stalled and self.path.endswith(store.stalled):
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    store.halves.release()
                    self.rfile.read(1)  # until the client goes
                    return
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 needs to come here and nowhere else."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._server.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_CONFIG_FILE": "/dev/null",
            "PERENNIAL_LAKE": "s3://perennial",
            "NO_PROXY": "127.0.0.1",
        }

# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What harbor_image asks of a Docker daemon, for tests where there is none."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from oci_images import Image, sha256


class Daemon:
    """As much of a Docker daemon's API as is asked for: what one image is, and its archive."""

    def __init__(self, archive: Path, inspected: dict[str, Any]) -> None:
        self.archive, self.inspected = archive, inspected
        self.saved = 0
        #: bytes of the archive after which the connection breaks
        self.cut: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.reply(self)

            def log_message(self, *args: Any) -> None:
                """Nothing is written."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.host = f"tcp://127.0.0.1:{self.server.server_port}"

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        status, body = 200, b"{}"
        if handler.path == "/version":
            body = json.dumps({"ApiVersion": "1.43", "MinAPIVersion": "1.24"}).encode()
        elif "missing" in handler.path:
            status, body = 404, b'{"message": "No such image: missing"}'
        elif handler.path.endswith("/json"):
            body = json.dumps(self.inspected).encode()
        else:
            self.saved += 1
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            content = self.archive.read_bytes()[: self.cut]
            for start in range(0, len(content), 32768):
                block = content[start : start + 32768]
                handler.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
            if self.cut is None:
                handler.wfile.write(b"0\r\n\r\n")
            handler.close_connection = True
            return
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def inspected(one: Image) -> dict[str, Any]:
    return {
        "Id": one.image_id,
        "Os": "linux",
        "Architecture": one.architecture,
        "RootFS": {"Type": "layers", "Layers": [sha256(layer) for layer in one.layers]},
    }

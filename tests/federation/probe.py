# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the jobs of test_jobs.py: `python -c <this file> <mode>`, with the standard library alone."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CERTIFICATE = os.path.join(tempfile.gettempdir(), "certificate.pem")
KEY = os.path.join(tempfile.gettempdir(), "key.pem")
MIB = 1 << 20


class Web(BaseHTTPRequestHandler):
    """HTTP/1.1: says what it was asked, fetches addresses, and judges sessions."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/session":
            self.answer(200 if self.headers.get("Cookie") == "session=good" else 401, {})
        elif url.path == "/fetch":
            self.answer(200, fetch(urllib.parse.parse_qs(url.query)["url"][0]))
        elif url.path == "/certificate":
            with open(CERTIFICATE, encoding="ascii") as file:
                self.answer(200, {"certificate": file.read()})
        else:
            self.answer(200, {"path": self.path, "headers": {key.lower(): self.headers[key] for key in self.headers}})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def fetch(url: str) -> dict[str, object]:
    """Ask a URL from inside the container, with the authority of the federation."""
    context = ssl.create_default_context(cadata=os.environ["AUTHORITY"])
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as response:  # noqa: S310
            return {"status": response.status, "body": json.loads(response.read())}
    except OSError as error:
        return {"error": str(error)}


class Http2(socketserver.StreamRequestHandler):
    """HTTP/2 without TLS, and nothing else: each request gets an answer with trailers, as gRPC gives them."""

    def handle(self) -> None:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        if self.rfile.read(len(preface)) != preface:
            return
        self.frame(4, 0, 0)
        while head := self.rfile.read(9):
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, payload = int.from_bytes(head[5:], "big"), self.rfile.read(length)
            if kind in (4, 6) and not flags & 1:  # settings and pings are acknowledged
                self.frame(kind, 1, 0, payload if kind == 6 else b"")
            elif kind in (0, 1) and flags & 1:  # the end of a request
                self.frame(1, 4, stream, b"\x88" + header("content-type", "application/grpc"))
                self.frame(0, 0, stream, b"over h2c")
                self.frame(1, 5, stream, header("grpc-status", "0"))

    def frame(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        self.wfile.write(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)


def header(name: str, value: str) -> bytes:
    """A header as HPACK writes it without any table."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Tls(socketserver.BaseRequestHandler):
    """TLS with a certificate of its own: says at which port it was reached."""

    def handle(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        try:
            with context.wrap_socket(self.request, server_side=True) as wrapped:
                wrapped.sendall(f"port {wrapped.getsockname()[1]}\n".encode())
        except OSError:
            return


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve() -> None:
    """Serve everything until killed."""
    name = os.environ["NAME"]
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            *["-days", "1", "-subj", "/CN=probe", "-addext", f"subjectAltName=DNS:{name}"],
            *["-out", CERTIFICATE, "-keyout", KEY],
        ],
        check=True,
        capture_output=True,
    )
    servers: list[socketserver.BaseServer] = [
        ThreadingHTTPServer(("", 8080), Web),
        Threads(("", 8081), Http2),
        Threads(("", 8002), Tls),
        Threads(("", 8003), Tls),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()


def neighbour() -> None:
    """Reach what listens in the same network, then stay."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", 8080), timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    print("reached", flush=True)
    threading.Event().wait()


def storage() -> None:
    """Mount a file system for the others to see, and a FUSE one to see that it can be done."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    os.mkdir("/mnt/fuse")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    call(libc.mount(b"probe", b"/mnt/fuse", b"fuse.probe", 0, options))
    with open("/proc/self/mountinfo", encoding="ascii") as file:
        print("fuse mounted" if any(" - fuse.probe " in line for line in file) else "fuse missing", flush=True)
    call(libc.umount2(b"/mnt/fuse", 2))
    os.close(device)
    call(libc.mount(b"probe", b"/storage", b"tmpfs", 0, b"mode=755"))
    with open("/storage/greeting", "w", encoding="ascii") as file:
        file.write("hello\n")
    threading.Event().wait()


def memory() -> None:
    """Use more memory than is reserved, then more than is allowed."""
    first = bytearray(128 * MIB)
    print(f"{len(first) // MIB} MiB are mine", flush=True)
    second = bytearray(512 * MIB)
    print(f"{len(second) // MIB} MiB are mine", flush=True)


{"serve": serve, "neighbour": neighbour, "storage": storage, "memory": memory}[sys.argv[1]]()

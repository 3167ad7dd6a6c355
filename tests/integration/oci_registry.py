# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A real registry with TLS and token authentication, what issues its tokens, and a proxy that breaks things."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SERVICE = "test registry"
ISSUER = "test issuer"
START_SECONDS = 20
Json = dict[str, Any]
Rights = dict[str, list[tuple[str, set[str]]]]
#: user, password, and what each may do in which repositories
PASSWORDS = {"pusher": "a secret: ü", "reader": "another"}
RIGHTS: Rights = {
    "pusher": [(r".*", {"pull", "push", "delete"})],
    "reader": [(r".*", {"pull"})],
    "": [(r"public/.*", {"pull"})],
}


def binary() -> str | None:
    """The registry of the Debian package docker-registry."""
    return shutil.which("docker-registry")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what the tests are about."""


def _serve(handler: type[BaseHTTPRequestHandler], directory: Path | None) -> _Server:
    server = _Server(("127.0.0.1", 0), handler)
    if directory is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class TokenServer:
    """Issues tokens as the registry's documentation says; who may do what is a table."""

    def __init__(self, directory: Path, seconds: int = 300) -> None:
        #: how long a token is said to hold
        self.seconds = seconds
        #: scopes that tokens were asked for, with the user
        self.asked: list[tuple[str, list[str]]] = []
        #: an answer in place of a token
        self.answer: tuple[int, bytes] | None = None
        self._write_key(directory)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.reply(self)

            def log_message(self, *args: Any) -> None:
                """Nothing is written."""

        self.server = _serve(Handler, directory)
        self.address = f"https://127.0.0.1:{self.server.server_port}/token"

    def _write_key(self, directory: Path) -> None:
        """A key, and a certificate that the registry trusts it by."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        self.bundle = directory / "issuer.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        """Check the password and issue what the user may do of what was asked for."""
        query = parse_qs(urlsplit(handler.path).query)
        login = handler.headers.get("Authorization", "")
        user = ""
        status, body = 200, b""
        if login.startswith("Basic "):
            user, _, password = base64.b64decode(login[6:]).decode().partition(":")
            if PASSWORDS.get(user) != password:
                status, body = 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]}'
        self.asked.append((user, query.get("scope", [])))
        if self.answer is not None:
            status, body = self.answer
        elif status == 200:
            body = json.dumps({"token": self._token(user, query), "expires_in": self.seconds}).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _token(self, user: str, query: dict[str, list[str]]) -> str:
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            may = {action for pattern, rights in RIGHTS[user] if re.fullmatch(pattern, name) for action in rights}
            allowed = sorted(may & set(actions.split(",")))
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": query["service"][0],
            # The registry forgives a minute.
            "exp": now + self.seconds,
            "nbf": now - 60,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        head = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@dataclass
class Registry:
    """A running registry."""

    directory: Path
    host: str
    process: subprocess.Popen[bytes]

    @property
    def ca(self) -> str:
        """The authority of its certificate."""
        return str(self.directory / "ca.pem")

    @property
    def storage(self) -> Path:
        """Where it keeps everything."""
        return self.directory / "storage" / "docker" / "registry" / "v2"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.directory / "registry.log").read_text(errors="replace")

    def uploads(self, repository: str) -> list[Path]:
        """Uploads that were begun and neither finished nor cancelled."""
        found = self.storage / "repositories" / repository / "_uploads"
        return sorted(found.iterdir()) if found.is_dir() else []

    def lose(self, digest: str) -> None:
        """Damage the storage: a blob is gone from all repositories."""
        value = digest.partition(":")[2]
        for link in self.storage.glob(f"repositories/**/_layers/sha256/{value}"):
            shutil.rmtree(link)
        shutil.rmtree(self.storage / "blobs" / "sha256" / value[:2] / value)

    def close(self) -> None:
        """Stop."""
        self.process.terminate()
        self.process.wait(20)


def start_registry(directory: Path, port: int, tokens: TokenServer | None, htpasswd: Path | None = None) -> Registry:
    """Start one with the certificate of the directory; without tokens and passwords anybody may do anything."""
    program = binary()
    assert program is not None
    config: Json = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "storage"), "maxthreads": 100},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": uuid.uuid4().hex,
            "tls": {"certificate": str(directory / "cert.pem"), "key": str(directory / "key.pem")},
        },
    }
    if tokens is not None:
        config["auth"] = {
            "token": {
                "realm": tokens.address,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(tokens.bundle),
            }
        }
    elif htpasswd is not None:
        config["auth"] = {"htpasswd": {"realm": "a realm", "path": str(htpasswd)}}
    path = directory / "registry.json"
    # JSON is YAML.
    path.write_text(json.dumps(config))
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    registry = Registry(directory, f"127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return registry
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the registry did not start: {registry.log[-2000:]}")
        time.sleep(0.02)


@dataclass
class Fault:
    """What goes wrong with the requests that match."""

    method: str
    path: str
    #: status, headers and body to answer with in the registry's place
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: after so many bytes of the request's body the connection breaks, on both sides
    cut_after: int | None = None
    #: the request arrives, its answer does not
    lose_answer: bool = False
    #: seconds before anything happens
    delay: float = 0.0
    times: int = 1
    skip: int = 0
    #: only requests with a body of this size at least
    least: int = 0
    seen: int = 0
    #: called with the handler before anything else, for what happens at the same time
    action: Callable[[], None] | None = None

    def hits(self, method: str, path: str, length: int) -> bool:
        """Whether this request is one of those; counts."""
        if method not in self.method.split("|") or not re.search(self.path, path) or length < self.least:
            return False
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


class FaultProxy:
    """Hands requests on to a registry, over TLS on both sides, except for those that a fault matches."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self.faults: list[Fault] = []
        #: method and path of each request, and the bytes of its body that were taken
        self.requests: list[list[Any]] = []
        #: uploads that were under way together
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Nothing is written."""

        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", lambda handler: outer.handle(handler))
        self.server = _serve(Handler, registry.directory if registry is not None else None)
        self.host = f"127.0.0.1:{self.server.server_port}"

    @property
    def registry(self) -> Registry:
        """What is behind it."""
        assert self._registry is not None
        return self._registry

    def count(self, method: str, path: str = "") -> int:
        """How many requests there were."""
        return sum(1 for item in self.requests if item[0] == method and re.search(path, item[1]))

    @property
    def uploaded(self) -> int:
        """Bytes of blobs that were taken."""
        return sum(item[2] for item in self.requests if item[0] == "PATCH")

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        method, path = handler.command, handler.path
        record = [method, path, 0]
        length = int(handler.headers.get("Content-Length") or 0)
        with self._lock:
            self.requests.append(record)
            fault = next((fault for fault in self.faults if fault.hits(method, path, length)), None)
            self._at_once += method == "PATCH"
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._handle(handler, record, fault, length)
        finally:
            with self._lock:
                self._at_once -= method == "PATCH"

    def _handle(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        if fault is not None:
            if fault.action is not None:
                fault.action()
            time.sleep(fault.delay)
            if fault.status:
                handler.close_connection = True
                while length > 0 and (block := handler.rfile.read(min(65536, length))):
                    length -= len(block)
                self._answer(handler, fault.status, fault.headers, fault.body)
                return
        self._forward(handler, record, fault, length)

    def _forward(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        host, _, port = self.registry.host.partition(":")
        context = ssl.create_default_context(cafile=self.registry.ca)
        upstream = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
        try:
            upstream.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            for block in self._body(handler, length):
                record[2] += len(block)
                if fault is not None and fault.cut_after is not None and record[2] >= fault.cut_after:
                    upstream.send(block[: len(block) - (record[2] - fault.cut_after)])
                    # What was taken so far has to arrive before the end does.
                    time.sleep(0.2)
                    self._break(handler)
                    return
                upstream.send(block)
            response = upstream.getresponse()
            body = response.read()
            if fault is not None and fault.lose_answer:
                self._break(handler)
                return
            kept = {name: value for name, value in response.getheaders() if name.lower() != "transfer-encoding"}
            self._answer(handler, response.status, kept, body)
        finally:
            upstream.close()

    def _body(self, handler: BaseHTTPRequestHandler, length: int) -> Iterator[bytes]:
        while length > 0 and (block := handler.rfile.read(min(65536, length))):
            length -= len(block)
            yield block

    @staticmethod
    def _break(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        handler.send_response_only(status)
        names = {name.lower() for name in headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        if "content-length" not in names and status != 204:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()


class ResumingProxy(FaultProxy):
    """Keeps what arrived of an interrupted request, as the specification wants it and docker-registry 2 does not do.

    A finished upload goes on to the registry in one piece.
    """

    def __init__(self, registry: Registry | None) -> None:
        super().__init__(registry)
        self.sessions: dict[str, bytearray] = {}

    def _forward(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        parts = urlsplit(handler.path)
        begin, marker, session = parts.path.rpartition("/blobs/uploads/")
        if not marker or handler.command == "HEAD":
            self._other(handler, record, fault, length)
        elif handler.command == "POST":
            session = uuid.uuid4().hex
            self.sessions[session] = bytearray()
            self._answer(handler, 202, {"Location": f"{parts.path}{session}"}, b"")
        elif session not in self.sessions:
            self._answer(handler, 404, {}, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}')
        elif handler.command == "DELETE":
            del self.sessions[session]
            self._answer(handler, 204, {}, b"")
        elif handler.command == "PUT":
            content = self.sessions.pop(session)
            status = self._store(f"{begin}{marker}", parse_qs(parts.query)["digest"][0], bytes(content), handler)
            self._answer(handler, status, {}, b"")
        else:
            content = self.sessions[session]
            if handler.command == "PATCH":
                start, _, end = handler.headers["Content-Range"].partition("-")
                if int(start) != len(content) or int(end) - int(start) + 1 != length:
                    self._answer(handler, 416, {}, b"")
                    return
                if fault is not None and fault.cut_after == 0:
                    self._break(handler)
                    return
                for block in self._body(handler, length):
                    record[2] += len(block)
                    content += block
                    if fault is not None and fault.cut_after is not None and record[2] >= fault.cut_after:
                        self._break(handler)
                        return
            headers = {"Location": parts.path, "Range": f"0-{max(0, len(content) - 1)}"}
            self._answer(handler, 202 if handler.command == "PATCH" else 204, headers, b"")

    def _other(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        super()._forward(handler, record, fault, length)

    def _store(self, path: str, digest: str, content: bytes, handler: BaseHTTPRequestHandler) -> int:
        host, _, port = self.registry.host.partition(":")
        context = ssl.create_default_context(cafile=self.registry.ca)
        login = {"Authorization": handler.headers["Authorization"]}
        with contextlib.closing(http.client.HTTPSConnection(host, int(port), timeout=60, context=context)) as upstream:
            upstream.request("POST", path, headers=login)
            begun = upstream.getresponse()
            begun.read()
            location = urlsplit(begun.getheader("Location") or "")
            target = f"{location.path}?{location.query}&digest={digest}"
            upstream.request("PUT", target, body=content, headers=login | {"Content-Type": "application/octet-stream"})
            return upstream.getresponse().status


class MemoryRegistry(ResumingProxy):
    """As much of a registry as the client needs, in this process and without TLS, where none is installed.

    C(login) is what it asks for: C(""), C("basic") or C("bearer"); the token is the same for everything.
    """

    TOKEN = "an opaque token"

    def __init__(self, login: str = "") -> None:
        super().__init__(None)
        self.login = login
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.page = 100

    def _handle(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        parts = urlsplit(handler.path)
        given = handler.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"pusher:{PASSWORDS['pusher']}".encode()).decode()
        if parts.path == "/token" and fault is not None:
            super()._handle(handler, record, fault, length)
        elif parts.path == "/token":
            body = json.dumps({"access_token": self.TOKEN}).encode()
            self._answer(handler, 200 if given in ("", basic) else 401, {}, body)
        elif (self.login == "basic" and given != basic) or (self.login == "bearer" and given != f"Bearer {self.TOKEN}"):
            challenge = 'Basic realm="all, and more"' if self.login == "basic" else 'Bearer realm="/token",service="s"'
            for _ in self._body(handler, length):
                pass
            self._answer(handler, 401, {"WWW-Authenticate": challenge}, b"")
        else:
            super()._handle(handler, record, fault, length)

    def _store(self, path: str, digest: str, content: bytes, handler: BaseHTTPRequestHandler) -> int:
        repository = path.removeprefix("/v2/").removesuffix("/blobs/uploads/")
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            return 400
        self.blobs[repository, digest] = content
        return 201

    def _forward(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        if handler.command == "POST" and "mount" in query:
            repository = urlsplit(handler.path).path.removeprefix("/v2/").removesuffix("/blobs/uploads/")
            content = self.blobs.get((query["from"][0], query["mount"][0]))
            if content is not None:
                self.blobs[repository, query["mount"][0]] = content
                self._answer(handler, 201, {}, b"")
                return
        super()._forward(handler, record, fault, length)

    def _other(self, handler: BaseHTTPRequestHandler, record: list[Any], fault: Fault | None, length: int) -> None:
        parts = urlsplit(handler.path)
        repository, kind, name = parts.path.removeprefix("/v2/").rsplit("/", 2)
        content = b"".join(self._body(handler, length))
        key = f"{repository}/{name}"
        if kind == "tags":
            tags = sorted(
                key.rpartition("/")[2] for key in self.manifests if ":" not in key and key.startswith(repository)
            )
            start = int(parse_qs(parts.query).get("start", ["0"])[0])
            more = (
                {"Link": f'<{parts.path}?start={start + self.page}>; rel="next"'} if tags[start + self.page :] else {}
            )
            page = {"name": repository, "tags": tags[start : start + self.page] or None}
            self._answer(handler, 200, more, json.dumps(page).encode())
        elif kind == "blobs":
            found = self.blobs.get((repository, name))
            self._answer(
                handler, 404 if found is None else 200, {"Content-Length": str(len(found or b""))}, found or b""
            )
        elif handler.command == "PUT":
            media_type = handler.headers["Content-Type"]
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.manifests[f"{repository}/{digest}"] = self.manifests[key] = (media_type, content)
            self._answer(handler, 201, {"Docker-Content-Digest": digest}, b"")
        elif key not in self.manifests:
            self._answer(handler, 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
        elif handler.command == "DELETE":
            gone = self.manifests[key]
            self.manifests = {name: value for name, value in self.manifests.items() if value != gone}
            self._answer(handler, 202, {}, b"")
        else:
            media_type, content = self.manifests[key]
            self._answer(handler, 200, {"Content-Type": media_type}, content)

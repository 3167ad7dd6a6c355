# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""endpoint_info against a real HTTPS server with certificates of its own authority."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from throwaway import free_ports

Result = dict[str, Any]
NAME = "api-digits.ifca-deployments.imagine.test"


def write_certificates(directory: Path, name: str, days: float) -> None:
    """An authority in ca.pem, and a certificate with its key for a name in server.pem."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test ingress CA")])
    now = datetime.datetime.now(datetime.UTC)

    def build(subject: x509.Name, key: Any, extension: Any, until: float) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=until))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(keys[0], hashes.SHA256())
        )

    authority = build(issuer, keys[0], x509.BasicConstraints(ca=True, path_length=None), 20)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    server = build(subject, keys[1], x509.SubjectAlternativeName([x509.DNSName(name)]), days)
    (directory / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (directory / "server.pem").write_bytes(
        server.public_bytes(serialization.Encoding.PEM)
        + keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class Site:
    """An HTTPS server that answers with each of its answers once, and with the last again and again."""

    def __init__(self, directory: Path) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b'{"models": []}')]
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                site.asked.append((self.command, self.path, dict(self.headers), body))
                status, content = site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self.http = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def start(name: str = NAME, days: float = 5.5) -> Site:
        write_certificates(tmp_path, name, days)
        sites.append(Site(tmp_path))
        return sites[-1]

    yield start
    for site in sites:
        site.http.shutdown()
        site.http.server_close()


@pytest.fixture
def ask(tmp_path: Path, run_module: Callable[..., Result]) -> Callable[..., Result]:
    def call(port: int, path: str = "/v2/models/", fails: bool = False, **options: Any) -> Result:
        defaults = {
            "url": f"https://{NAME}:{port}{path}",
            "address": "127.0.0.1",
            "ca_file": str(tmp_path / "ca.pem"),
            "timeout": 0,
            "request_timeout": 5,
        }
        result = run_module("endpoint_info", **{**defaults, **options})
        assert bool(result.get("failed")) == fails, result
        assert not fails or "\n" not in result["msg"]
        return result

    return call


def test_an_answer(serve: Any, ask: Any) -> None:
    site = serve()
    result = ask(site.port, "/v2/models/?all=1", contains="models")
    assert (result["changed"], result["status"], result["attempts"]) == (False, 200, 1)
    assert json.loads(result["content"]) == {"models": []}
    certificate = result["certificate"]
    assert (certificate["names"], certificate["issuer"], certificate["days_left"]) == ([NAME], "Test ingress CA", 5)
    method, target, headers, _ = site.asked[0]
    assert (method, target, headers["Host"]) == ("GET", "/v2/models/?all=1", f"{NAME}:{site.port}")


def test_it_waits_for_the_answer(serve: Any, ask: Any) -> None:
    site = serve()
    site.answers = [(404, b"404 page not found"), (200, b"loading"), (200, b"models")]
    assert ask(site.port, contains="models", timeout=20)["attempts"] == 3
    site.answers = [(503, b"no server")]
    assert "answers with status 503 no server." in ask(site.port, fails=True)["msg"]
    assert ask(site.port, status=[503])["status"] == 503
    # What is wrong with a request does not pass.
    site.answers = [(422, b"Must be one of: application/json")]
    assert "answers with status 422 Must be one of" in ask(site.port, timeout=600, fails=True)["msg"]
    assert site.asked[-1][2]["Accept"] == "application/json"
    site.answers = [(200, b"")]
    assert "answers without 'models': nothing." in ask(site.port, contains="models", fails=True)["msg"]


def test_an_upload(serve: Any, ask: Any, tmp_path: Path) -> None:
    site = serve()
    picture = tmp_path / "digit.png"
    picture.write_bytes(b"\x89PNG")
    ask(site.port, upload={"field": "image", "path": str(picture), "content_type": "image/png"})
    method, _, headers, body = site.asked[0]
    boundary = headers["Content-Type"].partition("boundary=")[2]
    assert method == "POST"
    assert body.startswith(f"--{boundary}\r\n".encode())
    assert b'name="image"; filename="digit.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in body
    assert body.endswith(f"--{boundary}--\r\n".encode())
    missing = {"field": "image", "path": str(tmp_path / "nothing.png")}
    assert "cannot be read (No such file or directory)" in ask(site.port, upload=missing, fails=True)["msg"]


def test_certificates(serve: Any, ask: Any, tmp_path: Path) -> None:
    site = serve(name="another.imagine.test")
    # What cannot pass is not waited for.
    failed = ask(site.port, timeout=600, fails=True)["msg"]
    assert "is not valid (Hostname mismatch" in failed
    old = serve(days=-1)
    assert "is not valid (certificate has expired)" in ask(old.port, timeout=600, fails=True)["msg"]
    sound = serve()
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other, NAME, 1)
    unknown = ask(sound.port, ca_file=str(other / "ca.pem"), timeout=600, fails=True)["msg"]
    assert "from an authority that is trusted" in unknown
    assert (
        "is valid for 5 more days, fewer than 30: renew it" in ask(sound.port, certificate_days=30, fails=True)["msg"]
    )


def test_nobody_there(serve: Any, ask: Any) -> None:
    serve()
    assert "does not answer (Connection refused)." in ask(free_ports(1)[0], fails=True)["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "http://example.org/"}, "which is no HTTPS address"),
        ({"url": "https://[::1/"}, "which is no HTTPS address"),
        ({"address": "ingress"}, "address is 'ingress', which is no IP address"),
        ({"ca_file": "/nowhere.pem"}, "ca_file is '/nowhere.pem', which cannot be used (No such file or directory)"),
        ({"url": "https://nobody.invalid/", "address": ""}, "The name nobody.invalid does not resolve"),
    ],
)
def test_mistakes(serve: Any, ask: Any, options: Result, words: str) -> None:
    assert words in ask(serve().port, fails=True, timeout=600, **options)["msg"]

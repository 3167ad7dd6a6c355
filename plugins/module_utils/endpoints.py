# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking an HTTPS address as its users do, and telling apart what may be wrong with it."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import secrets
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.errors import reason, shorten

PAUSE = 0.5
DAY = 86400
# Whatever is longer is no answer that anybody looks at here.
MAX_BYTES = 1_000_000


class EndpointError(Exception):
    """Why an address does not answer as it should; C(passing) where it may still."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True)
class Request:
    """What is asked."""

    url: str
    #: address to connect to, in place of the one that the name stands for
    address: str = ""
    ca_file: str = ""
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 443

    @property
    def target(self) -> str:
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass
class Answer:
    """What came back, and the certificate behind it."""

    status: int
    body: bytes
    certificate: Json
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def check_request(request: Request) -> None:
    """Refuse what cannot be asked."""
    try:
        parts = urlsplit(request.url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise EndpointError(f"url is '{request.url}', which is no HTTPS address: write it as https://HOST/PATH.")
    if request.address:
        try:
            ipaddress.ip_address(request.address)
        except ValueError as error:
            raise EndpointError(f"address is '{request.address}', which is no IP address: correct it.") from error


def context(ca_file: str) -> ssl.SSLContext:
    """How the certificate is verified: by an authority, or by those that the system trusts."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        words = error.strerror or "it holds no certificate"
        raise EndpointError(f"ca_file is '{ca_file}', which cannot be used ({words}): correct the path.") from error


def describe_certificate(raw: Mapping[str, Any]) -> Json:
    """A verified certificate, as Python's ssl has it."""

    def name(parts: Sequence[Sequence[Sequence[str]]]) -> str:
        found = {key: value for part in parts for key, value in part}
        return str(found.get("commonName") or found.get("organizationName") or "")

    until = ssl.cert_time_to_seconds(raw["notAfter"])
    return {
        "names": sorted(value for kind, value in raw.get("subjectAltName", ()) if kind == "DNS"),
        "issuer": name(raw.get("issuer", ())),
        "not_after": datetime.datetime.fromtimestamp(until, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": int((until - time.time()) // DAY),
    }


def ask(request: Request, verified: ssl.SSLContext) -> Answer:
    """Ask once."""
    where = f"{request.url}{f' at {request.address}' if request.address else ''}"
    connection = http.client.HTTPSConnection(request.host, request.port, timeout=request.timeout, context=verified)
    started = time.monotonic()
    try:
        plain = socket.create_connection((request.address or request.host, request.port), request.timeout)
        connection.sock = verified.wrap_socket(plain, server_hostname=request.host)
        certificate = describe_certificate(connection.sock.getpeercert() or {})
        headers = {"User-Agent": "imagine.platform", "Accept": "application/json", **request.headers}
        connection.request(request.method, request.target, request.body, headers)
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
    except socket.gaierror as error:
        raise EndpointError(
            f"The name {request.host} does not resolve ({error.strerror}): set it up in DNS, or give its address."
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise EndpointError(
            f"The certificate of {where} is not valid ({error.verify_message}): see that the ingress has one for "
            "this name, from an authority that is trusted."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        words = "no answer in time" if isinstance(error, TimeoutError) else reason(error) or type(error).__name__
        raise EndpointError(f"{where} does not answer ({words}).", passing=True) from error
    finally:
        connection.close()
    return Answer(response.status, body, certificate, round(time.monotonic() - started, 3))


def comes_up(status: int) -> bool:
    """Whether an ingress that has not learnt of a service, or a service that starts, answers so."""
    return status in (404, 429) or status >= 500


def judge(answer: Answer, where: str, statuses: Sequence[int], contains: str) -> None:
    """Raise for an answer that is not the one that is wanted."""
    if answer.status not in statuses:
        said = f" {shorten(answer.text, 120)}".rstrip()
        raise EndpointError(f"{where} answers with status {answer.status}{said}.", passing=comes_up(answer.status))
    if contains and contains not in answer.text:
        raise EndpointError(
            f"{where} answers without '{contains}': {shorten(answer.text, 200) or 'nothing'}.", passing=True
        )


def ask_until(
    request: Request, statuses: Sequence[int], contains: str, seconds: float, days: int = 0
) -> tuple[Answer, int]:
    """Ask until the answer is the one that is wanted, and say how often; what cannot pass fails at once."""
    check_request(request)
    verified = context(request.ca_file)
    deadline = time.monotonic() + seconds
    attempts = 0
    while True:
        attempts += 1
        try:
            answer = ask(request, verified)
            judge(answer, request.url, statuses, contains)
        except EndpointError as error:
            if not error.passing or time.monotonic() >= deadline:
                raise
        else:
            break
        # The ingress tells nobody when it has learnt of a service.
        time.sleep(PAUSE)
    left = answer.certificate["days_left"]
    if left < days:
        raise EndpointError(
            f"The certificate of {request.url} is valid for {left} more days, fewer than {days}: renew it."
        )
    return answer, attempts


def multipart(field_name: str, filename: str, content: bytes, content_type: str) -> tuple[bytes, str]:
    """A form with one file, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"

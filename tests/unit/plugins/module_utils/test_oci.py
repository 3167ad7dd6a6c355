# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the registry client makes of names, headers, files and answers."""

from __future__ import annotations

import base64
import email.utils
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from oci_images import sha256
from oci_registry import PASSWORDS, Fault, MemoryRegistry

from ansible_collections.imagine.platform.plugins.module_utils import oci
from ansible_collections.imagine.platform.plugins.module_utils.images import BytesBody
from ansible_collections.imagine.platform.plugins.module_utils.oci import (
    Access,
    Manifest,
    Reference,
    RegistryClient,
    RegistryError,
    parse_challenges,
    parse_reference,
)

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONTENT = bytes(range(256)) * 8192
DIGEST = sha256(CONTENT)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci, "RETRY_SECONDS", 0.001)


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    server = MemoryRegistry()
    yield server
    server.close()


def client(server: MemoryRegistry, **options: Any) -> RegistryClient:
    access = {"username": "pusher", "password": PASSWORDS["pusher"], "plain_http": True, "timeout": 5, **options}
    return RegistryClient(server.host, Access(**access))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("harbor.example.org/imagine/app:1.0", ("harbor.example.org", "imagine/app", "1.0", "")),
        ("Harbor.Example.org/app", ("harbor.example.org", "app", "latest", "")),
        ("localhost/a/b/c_d__e-f.g:X", ("localhost", "a/b/c_d__e-f.g", "X", "")),
        ("10.0.0.1:5000/app:1", ("10.0.0.1:5000", "app", "1", "")),
        ("[::1]:5000/app:1", ("[::1]:5000", "app", "1", "")),
        (f"r.org/app@sha256:{'a' * 64}", ("r.org", "app", "", f"sha256:{'a' * 64}")),
        (f"r.org/app:1@sha256:{'a' * 64}", ("r.org", "app", "1", f"sha256:{'a' * 64}")),
    ],
)
def test_references(text: str, parts: tuple[str, ...]) -> None:
    reference = parse_reference(text)
    assert (reference.host, reference.repository, reference.tag, reference.digest) == parts
    assert parse_reference(str(reference)) == reference
    assert reference.target == (parts[3] or parts[2])


@pytest.mark.parametrize(
    "text",
    [
        *("", "app", "app:1", "imagine/app:1", "r.org/", "r.org//app", "r.org/App", "r.org/app:", "r.org/app:-1"),
        *("r.org/a b", "r.org/app@", "r.org/app@md5:1", "r org/app", "r.org/app\n", "r.org/app:1\n", "-.org/app"),
        "r.org/" + "a" * 256,
    ],
)
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(RegistryError) as failure:
        parse_reference(text, "mount_from")
    assert failure.value.kind == "option"
    assert str(failure.value).startswith("mount_from is '")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            'Bearer realm="https://a/token",service="x, y",scope="repository:a:pull,push"',
            {"bearer": {"realm": "https://a/token", "service": "x, y", "scope": "repository:a:pull,push"}},
        ),
        ('Basic realm="say \\"hello\\""', {"basic": {"realm": 'say "hello"'}}),
        ("bearer realm=x, BASIC realm = y", {"bearer": {"realm": "x"}, "basic": {"realm": "y"}}),
        ("Negotiate, Basic", {"negotiate": {}, "basic": {}}),
        ('realm="nobody"', {}),
        ("", {}),
    ],
)
def test_challenges(header: str, found: dict[str, dict[str, str]]) -> None:
    assert parse_challenges(header) == found


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_retry_after(value: str, least: float | None, most: float | None) -> None:
    found = oci._retry_after(value)
    assert found is None if least is None or most is None else found is not None and least <= found <= most


def test_retry_after_a_date() -> None:
    found = oci._retry_after(email.utils.formatdate(time.time() + 30))
    assert found is not None and 20 <= found <= 31
    assert oci._retry_after(email.utils.formatdate(time.time() - 30)) == 0


def test_a_long_pause_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(oci.time, "sleep", slept.append)
    error = RegistryError("busy")
    one = RegistryClient("r.org", Access(timeout=5))
    error.retry_after = 3600
    one.pause(0, error)
    error.retry_after = None
    one.pause(0, error)
    one.pause(20, error)
    assert slept[0] == 5
    assert slept[1] < 0.01
    assert 12 <= slept[2] <= 18


# Logins


def test_logins_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    auth = base64.b64encode(b"robot$a+b:x:y").decode()
    for key in ("r.org:5000", "https://r.org:5000", "https://r.org:5000/v2/"):
        path.write_text(json.dumps({"auths": {"other.org": {}, key: {"auth": auth}}}))
        assert Access(auth_file=str(path)).credentials("r.org:5000") == ("robot$a+b", "x:y")
        assert Access(auth_file=str(path)).credentials("r.org") is None
    assert Access("user", "word", str(path)).credentials("r.org:5000") == ("user", "word")
    assert Access().credentials("r.org") is None
    path.write_text("{}")
    assert Access(auth_file=str(path)).credentials("r.org") is None
    for content in (
        "[]",
        "{",
        '{"auths": {"r.org": {}}}',
        '{"auths": {"r.org": {"auth": "%%%"}}}',
        '{"auths": {"r.org": {"auth": "c2VjcmV0"}}}',
        '{"auths": {"r.org": 5}}',
    ):
        path.write_text(content)
        with pytest.raises(RegistryError, match="cannot be read") as failure:
            Access(auth_file=str(path)).credentials("r.org")
        assert "secret" not in str(failure.value)


def test_options_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for options, words in (
        ({"ca_cert": str(tmp_path / "missing")}, "registry_ca_cert is"),
        ({"auth_file": str(tmp_path)}, "registry_auth_file is"),
        ({"username": "user"}, "registry_password is not set, but registry_username is"),
        ({"password": "word"}, "registry_username is not set, but registry_password is"),
        ({"client_cert": str(file)}, "registry_client_key is not set"),
        ({"timeout": 0}, "registry_timeout is 0"),
        ({"retries": -1}, "registry_retries is -1"),
    ):
        with pytest.raises(RegistryError, match=words):
            Access(**options).check()
    Access(client_cert=str(file), client_key=str(file)).check()
    assert RegistryClient("r.org", Access(client_cert="a", client_key="b"))._session.cert == ("a", "b")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    # root may read everything.
    monkeypatch.setattr(oci.os, "access", lambda path, mode: False)
    with pytest.raises(RegistryError, match="which this user may not read"):
        Access(ca_cert=str(file)).check()


@pytest.mark.parametrize("login", ["", "basic", "bearer"])
def test_each_way_to_log_in(server: MemoryRegistry, login: str) -> None:
    server.login = login
    one = client(server)
    assert one.tags("app") == []
    first = one.requests
    assert one.tags("app") == []
    assert first == {"": 1, "basic": 2, "bearer": 3}[login]
    # What is known by then is not asked for again.
    assert one.requests == first + 1


def test_no_way_to_log_in(server: MemoryRegistry) -> None:
    server.login = "basic"
    with pytest.raises(RegistryError, match="is not set") as failure:
        client(server, username=None, password=None).tags("app")
    assert (failure.value.kind, failure.value.status) == ("auth", 401)
    with pytest.raises(RegistryError, match="is not accepted"):
        client(server, password="not it").tags("app")
    server.faults = [Fault("GET", "tags", 401, {"WWW-Authenticate": "Negotiate"}, times=9)]
    with pytest.raises(RegistryError, match="is not accepted"):
        client(server).tags("app")


def test_a_password_is_not_sent_unencrypted() -> None:
    one = RegistryClient("r.org", Access("user", "word"))
    with pytest.raises(RegistryError, match="would travel unencrypted"):
        one._token({"realm": "http://r.org/token"}, ["repository:a:pull"], "reading")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", "protocol"),
        (200, b"[]", "protocol"),
        (200, b'{"token": ""}', "protocol"),
        (200, b'{"token": "a", "expires_in": "b"}', "protocol"),
        (401, b"{}", "auth"),
        (500, b"", "server"),
    ],
)
def test_tokens_that_are_none(server: MemoryRegistry, status: int, body: bytes, kind: str) -> None:
    server.login = "bearer"
    server.faults = [Fault("GET", "/token", status, {}, body, times=9)]
    with pytest.raises(RegistryError, match="for a token") as failure:
        client(server, retries=0).tags("app")
    assert failure.value.kind == kind


def test_a_token_server_that_does_not_answer(server: MemoryRegistry) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token"'}
    server.faults = [Fault("GET", "tags", 401, challenge, times=9)]
    with pytest.raises(RegistryError, match="for a token") as failure:
        client(server, retries=0).tags("app")
    assert failure.value.kind == "connection"


# Manifests


def test_manifests(server: MemoryRegistry) -> None:
    one = client(server)
    raw = json.dumps({"config": {"digest": DIGEST, "size": 1}, "layers": []}).encode()
    manifest = Manifest(raw, OCI_MANIFEST, sha256(raw))
    for tag in ("1", "2", "3"):
        one.put_manifest("app", tag, manifest)
    reference = Reference(server.host, "app", "1")
    assert one.manifest(reference) == manifest
    assert one.manifest(Reference(server.host, "app", "", manifest.digest)) == manifest
    assert one.manifest(Reference(server.host, "app", "4")) is None
    server.page = 2
    assert one.tags("app") == ["1", "2", "3"]
    server.faults = [Fault("GET", "manifests", 200, {"Content-Type": OCI_MANIFEST}, b'{"layers": []}')]
    with pytest.raises(RegistryError, match="is damaged"):
        one.manifest(Reference(server.host, "app", "", manifest.digest))
    one.delete_manifest("app", manifest.digest)
    assert one.tags("app") == []
    one.delete_manifest("app", manifest.digest)
    server.faults = [Fault("DELETE", "manifests", 405)]
    with pytest.raises(RegistryError, match="refused"):
        one.delete_manifest("app", manifest.digest)
    server.faults = [Fault("PUT", "manifests", 201, {"Docker-Content-Digest": f"sha256:{'0' * 64}"})]
    with pytest.raises(RegistryError, match="in place of"):
        one.put_manifest("app", manifest.digest, manifest)


def test_foreign_layers_are_left_out() -> None:
    foreign = {"digest": "sha256:1", "urls": ["https://example.org"]}
    raw = json.dumps({"layers": [foreign, {"digest": "sha256:2"}]}).encode()
    manifest = Manifest(raw, OCI_MANIFEST, sha256(raw))
    assert [item["digest"] for item in manifest.blobs] == ["sha256:2"]
    assert manifest.config_digest == ""


def test_lists_of_tags_that_are_none(server: MemoryRegistry) -> None:
    for body in (b"<html>", b"[]", b'{"tags": 5}'):
        server.faults = [Fault("GET", "tags", 200, {}, body)]
        with pytest.raises(RegistryError, match="no list of tags"):
            client(server).tags("app")
    server.faults = [Fault("GET", "tags", 404)]
    assert client(server).tags("app") == []
    server.faults = [Fault("GET", "tags", 200, {"Link": '<http://other.org/v2/>; rel="next"'}, b'{"tags": ["1"]}')]
    with pytest.raises(RegistryError, match=r"leads to http://other\.org"):
        client(server).tags("app")
    server.faults = [Fault("GET", "tags", 500, times=9)]
    with pytest.raises(RegistryError, match="failed"):
        client(server, retries=1).tags("app")


# Blobs


class Short(BytesBody):
    """A file that becomes shorter while it is sent."""

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content[:-1])


def test_blobs(server: MemoryRegistry) -> None:
    one = client(server)
    assert not one.has_blob("app", DIGEST)
    counted: list[int] = []
    one.upload_blob("app", DIGEST, BytesBody(CONTENT), sent=counted.append)
    assert sum(counted) == len(CONTENT)
    assert one.has_blob("app", DIGEST)
    assert one.has_blob("app", DIGEST, len(CONTENT))
    assert not one.has_blob("app", DIGEST, 5)
    assert one.blob("app", DIGEST) == CONTENT
    assert one.mount_blob("other", DIGEST, "app") == ""
    assert one.has_blob("other", DIGEST)
    location = one.mount_blob("third", sha256(b"nothing"), "app")
    one.upload_blob("third", sha256(b""), BytesBody(b""), location=location)
    assert one.has_blob("third", sha256(b""))
    server.blobs["app", DIGEST] = b"something else"
    with pytest.raises(RegistryError, match="other content"):
        one.blob("app", DIGEST)
    for method, call in (("HEAD", lambda: one.has_blob("app", DIGEST)), ("GET", lambda: one.blob("app", DIGEST))):
        server.faults = [Fault(method, "blobs", 403, {}, b"<h1>No</h1>", times=9)]
        with pytest.raises(RegistryError, match="403"):
            call()
    assert server.sessions == {}


@pytest.mark.parametrize("chunk", [0, 500_000])
def test_an_upload_that_breaks(server: MemoryRegistry, chunk: int) -> None:
    counted: list[int] = []
    server.faults = [Fault("PATCH", "", cut_after=300_000), Fault("PATCH", "", cut_after=0, skip=1)]
    client(server).upload_blob("app", DIGEST, BytesBody(CONTENT), chunk=chunk, sent=counted.append)
    assert server.blobs["app", DIGEST] == CONTENT
    assert server.uploaded == sum(counted) == len(CONTENT)


def test_uploads_that_fail(server: MemoryRegistry) -> None:
    one = client(server, retries=2)
    with pytest.raises(RegistryError, match="refused") as failure:
        one.upload_blob("app", sha256(b"x"), BytesBody(CONTENT))
    assert failure.value.kind == "bad_request"
    # Wrong content is given a second chance, and no third.
    assert server.count("POST") == 2
    with pytest.raises(RegistryError, match="the file became shorter"):
        one.upload_blob("app", DIGEST, Short(CONTENT))
    with pytest.raises(RegistryError, match="stopped"):
        one.upload_blob("app", DIGEST, BytesBody(CONTENT), stopped=lambda: True)
    server.faults = [Fault("PATCH", "", 202)]
    with pytest.raises(RegistryError, match="did not say where to upload to"):
        one.upload_blob("app", DIGEST, BytesBody(CONTENT))
    server.faults = [Fault("PUT", "", 201, {"Docker-Content-Digest": "sha256:0"})]
    with pytest.raises(RegistryError, match="stored sha256:0"):
        one.upload_blob("app", DIGEST, BytesBody(CONTENT))
    server.faults = [Fault("PATCH", "", 503, times=99), Fault("GET", "uploads", 503, times=99)]
    with pytest.raises(RegistryError, match="503"):
        one.upload_blob("app", DIGEST, BytesBody(CONTENT))
    server.faults = []
    assert server.sessions == {}


def test_what_a_registry_says_of_an_upload(server: MemoryRegistry) -> None:
    one = client(server)
    for answer in (
        Fault("GET", "uploads", 404),
        Fault("GET", "uploads", 204, {"Range": "0-99999999", "Location": "/v2/app/blobs/uploads/x"}),
        Fault("GET", "uploads", 204, {"Range": "rubbish", "Location": "/v2/app/blobs/uploads/x"}),
    ):
        server.faults = [Fault("PATCH", "", cut_after=300_000), answer]
        server.blobs.clear()
        one.upload_blob("app", DIGEST, BytesBody(CONTENT))
        assert server.blobs["app", DIGEST] == CONTENT


def test_an_answer_that_is_lost(server: MemoryRegistry) -> None:
    one = client(server)
    # The blob has arrived; only the answer has not.
    server.faults = [Fault("PUT", "", 502, action=lambda: server.blobs.update({("app", DIGEST): CONTENT}))]
    one.upload_blob("app", DIGEST, BytesBody(CONTENT))
    assert server.count("POST") == 1


def test_locations(server: MemoryRegistry) -> None:
    one = RegistryClient("r.org:8443", Access())
    response = oci.requests.Response()
    response.url = "https://r.org:8443/v2/a/blobs/uploads/"
    for said, meant in (
        ("/v2/a/blobs/uploads/1?x=y", "https://r.org:8443/v2/a/blobs/uploads/1?x=y"),
        ("http://r.org/v2/1", "https://r.org:8443/v2/1"),
        ("https://storage.org/1", "https://storage.org/1"),
    ):
        response.headers["Location"] = said
        assert one.location(response, "uploading") == meant
    # Nobody else is given our token.
    assert one._authorization("https://storage.org/1", (), "uploading") == {}


# Failures


def test_answers_without_end(server: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci, "MOST_ANSWER", 1000)
    server.faults = [Fault("GET", "tags", 200, {}, b"x" * 2000)]
    with pytest.raises(RegistryError, match="larger than 1000 bytes"):
        client(server).tags("app")


def test_failures_are_told_apart() -> None:
    one = RegistryClient("r.org", Access())
    raised = oci.requests.exceptions
    for cause, kind, words in (
        (raised.SSLError("CERTIFICATE_VERIFY_FAILED: self signed"), "tls", "check registry_ca_cert"),
        (raised.SSLError("[SSL: WRONG_VERSION_NUMBER]"), "tls", "set registry_plain_http"),
        (raised.SSLError("EOF occurred in violation of protocol"), "unreachable", "connection to r.org failed"),
        (raised.ReadTimeout("x"), "unreachable", "did not answer within 60 s"),
        (raised.ConnectionError("x"), "unreachable", "check the name of the registry"),
        (raised.TooManyRedirects("x"), "protocol", "in a circle"),
        (raised.InvalidURL("strange"), "protocol", "(strange)"),
    ):
        error = one.explain(cause, "reading")
        assert (error.kind, words in str(error)) == (kind, True), error
        assert not oci.transient(error)
    one._answered = True
    assert one.explain(raised.ConnectionError("x"), "reading").kind == "connection"
    assert one.explain(raised.ReadTimeout("x"), "reading").kind == "timeout"
    assert oci.transient(one.explain(raised.ReadTimeout("x"), "reading"))


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (307, b"", {"Location": "https://other.org"}, "protocol"),
        (403, b'{"errors": [{"code": "DENIED", "message": "no", "detail": "really"}]}', {}, "auth"),
        (403, b'{"errors": [{"code": "DENIED", "message": "quota reached"}]}', {}, "quota"),
        (403, b"{}", {}, "auth"),
        (400, b"Client sent an HTTP request to an HTTPS server.", {}, "tls"),
        (412, b"", {}, "immutable"),
        (413, b"", {}, "too_large"),
        (429, b"", {"Retry-After": "3"}, "busy"),
        (416, b'{"errors": [5]}', {}, "bad_request"),
        (502, b"<html><p>Bad Gateway</p></html>", {}, "server"),
    ],
)
def test_answers_are_explained(status: int, body: bytes, headers: dict[str, str], kind: str) -> None:
    response = oci.requests.Response()
    response.status_code, response._content = status, body
    response.headers.update(headers)
    error = RegistryClient("r.org", Access()).explain_response(response, "pushing r.org/app:1")
    assert error.kind == kind
    assert "r.org" in str(error)
    assert str(error).endswith(".")
    assert "\n" not in str(error)
    assert "<" not in str(error)
    if status == 429:
        assert error.retry_after == 3
    if b"really" in body:
        assert "no: really" in str(error)

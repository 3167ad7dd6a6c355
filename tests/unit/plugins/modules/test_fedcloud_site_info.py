# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Reading of EGI's site descriptions, from wherever they are."""

from __future__ import annotations

import contextlib
import datetime
import io
import ssl
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.imagine.platform.plugins.module_utils import fedcloud

# Made up, in the form of the published ones, and with their oddities.
FILES = {
    "sites/IFCA-LCG2.yaml": """---
gocdb: IFCA-LCG2
endpoint: https://keystone.ifca.example.org:5000/v3/
vos:
# VO decommissioned
#- name: acc-comp.egi.eu
#  auth:
#    project_id: 403847ab342247b89b0ba2ede2c82b39
- name: vo.imagine-ai.eu
  auth:
    project_id: 00000000000000000000000000000012
  defaultNetwork: private
  publicNetwork: external
- name: /vo.lifewatch.eu/openbiomap
  auth:
    project_id: 12345678901234567890123456789012
- name: ops
  auth:
    project_id: 1e10
""",
    "sites/CREO.yaml": """---
gocdb: CREO
endpoint: https://keystone.creo.example.org:5000/v3
auth: v3applicationcredential
images:
  sync: true
  formats:
    - qcow2
    - raw
accouting:
  enabled: true
region: WAW3-1
vos:
  - name: ops
    auth:
      region: "WAW4-1"
  - name: vo.imagine-ai.eu
    auth:
      project_id: cccccccccccccccccccccccccccccccc
""",
    "sites/srce.yaml": """gocdb: fedcloud.srce.example.org
endpoint: https://one.srce.example.org:5000/v3
protocol: oidc
vos: []
""",
    "sites/srce-2.yml": """gocdb: fedcloud.srce.example.org
endpoint: https://two.srce.example.org:5000/v3
""",
    "sites/README.md": "no description",
    "sites/.hidden.yaml": "nothing: here",
    "schema.yaml": "nothing: here",
}
NAMES = ["CREO", "IFCA-LCG2", "srce", "srce-2"]


@pytest.fixture
def info(run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def call(src: object, fails: bool = False, **options: Any) -> dict[str, Any]:
        result = run_module("fedcloud_site_info", src=str(src), **options)
        assert bool(result.get("failed")) == fails, result
        if fails:
            assert "\n" not in result["msg"]
        return result

    return call


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    write(tmp_path / "checkout", FILES)
    return tmp_path / "checkout"


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def tar(files: dict[str, str], mode: str = "w:gz", prefix: str = "repository-main/") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        link = tarfile.TarInfo(f"{prefix}sites/link.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, text in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"repository-main/{name}", text)
    return content.getvalue()


def test_what_is_returned(info: Any, checkout: Path) -> None:
    for check in (True, False):
        found = info(checkout, check=check)
        assert (found["changed"], found["problems"]) == (False, [])
    sites = {site["name"]: site for site in found["sites"]}
    assert [site["name"] for site in found["sites"]] == NAMES
    assert sites["IFCA-LCG2"] == {
        "name": "IFCA-LCG2",
        "gocdb": "IFCA-LCG2",
        "endpoint": "https://keystone.ifca.example.org:5000/v3/",
        "region": "",
        "protocol": "openid",
        "vos": [
            {
                "name": "/vo.lifewatch.eu/openbiomap",
                "project_id": "12345678901234567890123456789012",
                "region": "",
                "default_network": "",
                "public_network": "",
            },
            {"name": "ops", "project_id": "1e10", "region": "", "default_network": "", "public_network": ""},
            {
                "name": "vo.imagine-ai.eu",
                "project_id": "00000000000000000000000000000012",
                "region": "",
                "default_network": "private",
                "public_network": "external",
            },
        ],
        "projects": {
            "/vo.lifewatch.eu/openbiomap": "12345678901234567890123456789012",
            "ops": "1e10",
            "vo.imagine-ai.eu": "00000000000000000000000000000012",
        },
    }
    assert sites["CREO"]["region"] == "WAW3-1"
    assert [(vo["project_id"], vo["region"]) for vo in sites["CREO"]["vos"]] == [("", "WAW4-1"), ("c" * 32, "WAW3-1")]
    assert sites["srce"]["protocol"] == "oidc"
    assert sites["srce-2"]["vos"] == []


def test_filters(info: Any, checkout: Path) -> None:
    found = info(checkout, vos=["vo.imagine-ai.eu"])["sites"]
    assert [site["name"] for site in found] == ["CREO", "IFCA-LCG2"]
    assert found[1]["projects"] == {"vo.imagine-ai.eu": "00000000000000000000000000000012"}
    assert [vo["name"] for vo in found[1]["vos"]] == ["vo.imagine-ai.eu"]
    assert [site["name"] for site in info(checkout, sites=["fedcloud.srce.example.org"])["sites"]] == ["srce", "srce-2"]
    assert [site["name"] for site in info(checkout, sites=["srce-2"])["sites"]] == ["srce-2"]
    assert info(checkout, sites=["srce-2"], vos=["ops"])["sites"] == []
    assert info(checkout, vos=[])["sites"] == []


def test_each_form_of_source(info: Any, checkout: Path, tmp_path: Path) -> None:
    assert [site["name"] for site in info(checkout / "sites")["sites"]] == NAMES
    assert [site["name"] for site in info(checkout / "sites" / "CREO.yaml")["sites"]] == ["CREO"]
    flat = {name.removeprefix("sites/"): text for name, text in FILES.items() if name.startswith("sites/")}
    archives = {
        "a.tar.gz": tar(FILES),
        "a.tar": tar(FILES, "w"),
        "a.tar.xz": tar(FILES, "w:xz", ""),
        "a.zip": zipped(FILES),
        "flat.tgz": tar(flat, prefix="").replace(b"nothing", b"nothing"),
        "deep.tgz": tar({**flat, "below/other.yaml": "nothing: here"}, prefix="x/"),
        "no-ending": zipped(FILES),
    }
    for name, content in archives.items():
        (tmp_path / name).write_bytes(content)
        assert [site["name"] for site in info(tmp_path / name)["sites"]] == NAMES, name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no YAML in line 1"),
        ("a: b: c", "is no YAML in line 1 (mapping values are not allowed here)"),
        ("\x00", "is no YAML"),
        ("[" * 100000, "is no YAML"),
        ("- a\n", "is no mapping"),
        ("", "is no mapping"),
        ("<html><body>Sign in</body></html>", "is no mapping"),
        ("endpoint: https://a.example.org/v3", "has no gocdb"),
        ("gocdb: A", "has no endpoint"),
        ("gocdb: [A]\nendpoint: https://a.example.org/v3", "has no gocdb"),
        ("gocdb: A\nendpoint: a.example.org", "has endpoint 'a.example.org': write the address of Keystone"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nregion: [x]", "has a region that is no string"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nprotocol: {a: b}", "has a protocol that is no string"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nvos: ops", "has vos that are no list"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nvos: [ops]", "has no name for VO number 1"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nvos: [{name: ''}]", "has no name for VO number 1"),
        ("gocdb: A\nendpoint: https://a.example.org/v3\nvos: [{name: ops}]", "has no auth for VO 'ops'"),
        (
            "gocdb: A\nendpoint: https://a.example.org/v3\nvos: [{name: ops, auth: {project_id: [a]}}]",
            "has a project_id of VO 'ops' that is no string",
        ),
        (
            "gocdb: A\nendpoint: https://a.example.org/v3\nvos: [{name: ops, auth: {}}, {name: ops, auth: {}}]",
            "has the VO 'ops' twice",
        ),
    ],
)
def test_each_mistake_in_a_description(info: Any, checkout: Path, text: str, words: str) -> None:
    (checkout / "sites" / "wrong.yaml").write_text(text)
    message = info(checkout, fails=True)["msg"]
    assert message.startswith("The site description 'wrong.yaml' ")
    assert words in message
    lenient = info(checkout, strict=False)
    assert lenient["problems"] == [message]
    assert [site["name"] for site in lenient["sites"]] == NAMES


def test_more_than_one_mistake(info: Any, checkout: Path) -> None:
    for name in ("a", "b", "c"):
        (checkout / "sites" / f"{name}.yaml").write_text("[]")
    assert "(2 more have mistakes, too; strict: false leaves them out.)" in info(checkout, fails=True)["msg"]


def test_sources_that_cannot_be_read(
    info: Any, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be read (No such file or directory)" in info(tmp_path / "none", fails=True)["msg"]
    (tmp_path / "empty").mkdir()
    assert "There is no site description in" in info(tmp_path / "empty", fails=True)["msg"]
    (tmp_path / "cut.tar.gz").write_bytes(tar(FILES)[:-200])
    assert "damaged" in info(tmp_path / "cut.tar.gz", fails=True)["msg"]
    broken = bytearray(zipped(FILES))
    broken[60:90] = bytes(30)
    (tmp_path / "broken.zip").write_bytes(broken)
    assert "damaged" in info(tmp_path / "broken.zip", fails=True)["msg"]
    (tmp_path / "none.zip").write_bytes(zipped({"README.md": "x"}))
    assert "There is no site description in" in info(tmp_path / "none.zip", fails=True)["msg"]
    (checkout / "sites" / "large.yaml").write_bytes(b"#" * (fedcloud.MAX_FILE + 1))
    assert "'large.yaml' is larger than 1 MiB" in info(checkout, fails=True)["msg"].replace(f"{checkout}/sites/", "")
    (tmp_path / "large.zip").write_bytes(zipped({"sites/large.yaml": "#" * (fedcloud.MAX_FILE + 1)}))
    assert "is larger than 1 MiB" in info(tmp_path / "large.zip", fails=True)["msg"]
    monkeypatch.setattr(fedcloud, "MAX_UNPACKED", 100)
    (tmp_path / "bomb.tar.gz").write_bytes(tar(FILES))
    assert "it unpacks to more than" in info(tmp_path / "bomb.tar.gz", fails=True)["msg"]
    assert "timeout is 0" in info(checkout, fails=True, timeout=0)["msg"]
    assert "ca_cert is" in info(checkout, fails=True, ca_cert=str(tmp_path / "none.pem"))["msg"]

    def refuse(_path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fedcloud.os, "listdir", refuse)
    assert "sites' cannot be read (Permission denied)" in info(checkout, fails=True)["msg"]


class Web(BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name == "slow":
            time.sleep(3)
        status = int(name) if name.isdigit() else 200
        bodies = {"main.tar.gz": tar(FILES), "CREO.yaml": FILES["sites/CREO.yaml"].encode(), "login": b"<html></html>"}
        body = bodies.get(name, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + (1000 if name == "cut" else 0)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_addresses(info: Any, web: ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{web.server_port}"
    assert [site["name"] for site in info(f"{address}/main.tar.gz")["sites"]] == NAMES
    assert [site["name"] for site in info(f"{address}/CREO.yaml")["sites"]] == ["CREO"]
    for path, words in (
        ("404", "answered 404 Not Found: correct the address"),
        ("401", "it wants credentials"),
        ("403", "it may not be read by everybody"),
        ("503", "answered 503 Service Unavailable: try again later"),
        ("login", "is no mapping"),
        ("cut", "the answer ended after 0 of 1000 bytes"),
    ):
        assert words in info(f"{address}/{path}", fails=True)["msg"], path
    assert "did not answer within 1 s" in info(f"{address}/slow", fails=True, timeout=1)["msg"]
    assert "Connection refused" in info("http://127.0.0.1:1/a", fails=True)["msg"]
    assert "cannot be reached" in info("https://sites.invalid/a", fails=True)["msg"]
    for src in ("ftp://example.org/a", "file:///etc/passwd", "https:///a"):
        assert "is no HTTP address" in info(src, fails=True)["msg"]


def test_tls(info: Any, web: ThreadingHTTPServer, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "private.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "private.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    address = f"https://localhost:{web.server_port}/main.tar.gz"
    assert [site["name"] for site in info(address, ca_cert=str(tmp_path / "cert.pem"))["sites"]] == NAMES
    message = info(address, fails=True)["msg"]
    assert message.startswith(f"TLS with '{address}' failed")
    assert "check ca_cert" in message

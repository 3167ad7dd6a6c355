# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Decisions of node_service, with a systemctl that keeps its units in a directory."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import units
from ansible_collections.imagine.platform.plugins.module_utils.certificates import new_authority

Result = dict[str, Any]

SYSTEMCTL = """#!{python}
import json, os, sys, time
home = {home!r}
with open(os.path.join(home, "state.json")) as stream:
    state = json.load(stream)
words = sys.argv[1:]
now = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
if words[0] == "show":
    for name, value in state["properties"].items():
        print(f"{{name}}={{value}}")
    sys.exit(0)
with open(os.path.join(home, "calls"), "a") as stream:
    stream.write(" ".join(words) + "\\n")
if words[0] in state["refuses"]:
    print("Job for " + words[-1] + " failed.", file=sys.stderr)
    sys.exit(1)
properties = state["properties"]
if words[0] in ("start", "restart"):
    properties.update(ActiveState="active", ExecMainStartTimestampMonotonic=now)
elif words[0] in ("enable", "disable"):
    properties["UnitFileState"] = words[0] + "d"
elif words[0] == "daemon-reload":
    properties["NeedDaemonReload"] = "no"
with open(os.path.join(home, "state.json"), "w") as stream:
    json.dump(state, stream)
"""
JOURNALCTL = "#!/bin/sh\nprintf 'starting\\n\\nno such key\\n'\n"


class Systemd:
    """The stand-in for systemd: its one unit, and what was asked of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.unit_file = home / "thing.service"
        self.unit_file.write_text("[Service]\n")
        self.config = home / "etc"
        self.config.mkdir()
        (self.config / "thing.json").write_text("{}")
        (self.config / "tls").mkdir()
        (self.config / "tls" / "cert.pem").write_text("certificate")
        self.properties: dict[str, Any] = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
            "FragmentPath": str(self.unit_file),
            "DropInPaths": "",
        }
        self.write()
        self.started(0)

    def write(self, refuses: tuple[str, ...] = (), **properties: Any) -> None:
        self.properties.update(properties)
        state = {"properties": self.properties, "refuses": refuses}
        (self.home / "state.json").write_text(json.dumps(state))

    def started(self, seconds_ago: float) -> None:
        """The process started then; all files are older."""
        monotonic = time.clock_gettime(time.CLOCK_MONOTONIC) - seconds_ago
        self.write(ExecMainStartTimestampMonotonic=int(monotonic * 1e6))
        long_ago = time.time() - seconds_ago - 100
        for path in [self.unit_file, *self.config.rglob("*")]:
            os.utime(path, (long_ago, long_ago))

    def calls(self) -> list[str]:
        """What was asked since the last look, without what only reads."""
        path = self.home / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "state.json").read_text())["properties"])


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    programs = tmp_path / "bin"
    programs.mkdir()
    home = tmp_path / "systemd"
    home.mkdir()
    for name, text in (
        ("systemctl", SYSTEMCTL.format(python=sys.executable, home=str(home))),
        ("journalctl", JOURNALCTL),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(units, "STAMPS", str(tmp_path / "stamps"))
    return Systemd(home)


@pytest.fixture
def service(systemd: Systemd, run_module: Callable[..., Result]) -> Callable[..., Result]:
    """Run the module on the unit, whose configuration is a directory with certificates in it."""

    def run(**options: Any) -> Result:
        options.setdefault("restart_on", [str(systemd.config)])
        options.setdefault("reload_on", [str(systemd.config / "tls")])
        return run_module("node_service", name="thing", **options)

    return run


def test_nothing_to_do(systemd: Systemd, service: Callable[..., Result]) -> None:
    for check in (True, False):
        result = service(check=check)
        assert (result["changed"], result["actions"], result["stale"]) == (False, [], [])
        assert "diff" not in result
    assert systemd.calls() == []


def test_first_start(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.write(ActiveState="inactive", UnitFileState="disabled", NeedDaemonReload="yes")
    planned = service(check=True)
    assert planned["actions"] == ["daemon-reload", "enabled", "started"]
    assert systemd.calls() == []
    done = service()
    assert done["actions"] == planned["actions"]
    assert "reason" not in done
    assert done["diff"]["before"] == "active: False\nenabled: False\n"
    assert "active: True\nenabled: True\n" in done["diff"]["after"]
    assert systemd.calls() == ["daemon-reload", "enable thing.service", "start thing.service"]
    assert service()["changed"] is False


def test_failed_unit_is_reset_first(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.write(ActiveState="failed")
    assert service()["actions"] == ["started"]
    assert systemd.calls() == ["reset-failed thing.service", "start thing.service"]


def test_disable(systemd: Systemd, service: Callable[..., Result]) -> None:
    assert service(enabled=False)["actions"] == ["disabled"]
    assert systemd.calls() == ["disable thing.service"]
    assert service(enabled=False)["changed"] is False


@pytest.mark.parametrize("changed", ["unit", "drop-in", "configuration"])
def test_restart_when_a_file_is_newer(systemd: Systemd, service: Callable[..., Result], changed: str) -> None:
    systemd.started(50)
    path = {
        "unit": systemd.unit_file,
        "drop-in": systemd.home / "override.conf",
        "configuration": systemd.config / "thing.json",
    }[changed]
    path.write_text("changed")
    systemd.write(DropInPaths=str(systemd.home / "override.conf") if changed == "drop-in" else "")
    planned = service(check=True)
    assert planned["actions"] == ["restarted"]
    done = service()
    assert done["reason"] == planned["reason"] == f"{path} changed since the process started"
    assert f"reason: {path} changed" in done["diff"]["after"]
    assert systemd.calls() == ["restart thing.service"]
    assert service()["changed"] is False


def test_reload_when_only_a_certificate_is_newer(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.started(50)
    certificate = systemd.config / "tls" / "cert.pem"
    certificate.write_text("another")
    done = service()
    assert done["actions"] == ["reloaded"]
    assert done["reason"] == f"{certificate} changed since the process read it"
    assert systemd.calls() == ["reload thing.service"]
    # The process is as old as before, but has read the file.
    assert service()["changed"] is False


def test_restart_makes_a_reload_needless(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.started(50)
    (systemd.config / "tls" / "cert.pem").write_text("another")
    (systemd.config / "thing.json").write_text("another")
    assert service()["actions"] == ["restarted"]
    assert service()["changed"] is False


def test_a_link_that_points_elsewhere_counts(systemd: Systemd, service: Callable[..., Result]) -> None:
    binary = systemd.home / "binary"
    old, new = systemd.home / "1.0", systemd.home / "1.1"
    for version in (old, new):
        version.write_text("program")
        os.utime(version, (1, 1))
    binary.symlink_to(old)
    systemd.started(0)
    time.sleep(0.05)
    binary.unlink()
    binary.symlink_to(new)
    result = service(restart_on=[str(binary), str(systemd.home / "missing")])
    assert result["reason"].startswith(f"{binary} changed")


def test_what_check_mode_and_removed_files_change(systemd: Systemd, service: Callable[..., Result]) -> None:
    removed = str(systemd.config / "old.json")
    certificate = str(systemd.config / "tls" / "cert.pem")
    foreign = str(systemd.home / "etcetera")
    assert service(changed_paths=[removed, foreign], check=True)["actions"] == ["restarted"]
    assert service(changed_paths=[certificate], check=True)["actions"] == ["reloaded"]
    assert service(changed_paths=[foreign])["changed"] is False
    # The certificate is still there and old, so it was not removed; the other file was.
    assert service(changed_paths=[certificate])["changed"] is False
    assert service(changed_paths=[removed])["reason"].startswith(removed)


def test_member_of_a_quorum_is_left_alone(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.started(50)
    (systemd.config / "thing.json").write_text("another")
    (systemd.config / "tls" / "cert.pem").write_text("another")
    result = service(restart="never")
    assert result["changed"] is False
    assert result["stale"] == [str(systemd.config / "thing.json"), str(systemd.config / "tls" / "cert.pem")]
    systemd.write(ActiveState="inactive")
    assert service(restart="never")["actions"] == ["started"]


def test_unit_that_does_not_exist(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.write(LoadState="not-found", ActiveState="inactive")
    assert service(check=True)["actions"] == ["enabled", "started"]
    assert service()["msg"] == "Unit thing.service does not exist on this node; write its unit file first."


def test_systemd_refuses(systemd: Systemd, service: Callable[..., Result]) -> None:
    systemd.write(refuses=("start",), ActiveState="inactive")
    result = service()
    assert result["failed"]
    assert result["msg"] == (
        "systemctl start thing.service failed for thing.service: Job for thing.service failed.; "
        "last journal lines: starting | no such key."
    )


def test_names_with_a_suffix(systemd: Systemd, run_module: Callable[..., Result]) -> None:
    systemd.write(ActiveState="inactive")
    run_module("node_service", name="thing.socket")
    assert systemd.calls() == ["start thing.socket"]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """An address, and what it is to answer, the last again and again."""
    answers: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/leader", answers
    server.shutdown()
    server.server_close()


def test_waits_until_ready(systemd: Systemd, service: Callable[..., Result], endpoint: Any) -> None:
    url, answers = endpoint
    answers[:] = [(500, b"No cluster leader"), (200, b'""'), (200, b'"10.0.0.1:8300"')]
    ready = {"url": url, "expect": '"[^"]+"', "timeout": 10}
    # Nothing is done, so nothing is asked.
    assert service(ready=ready)["changed"] is False
    assert len(answers) == 3
    systemd.write(ActiveState="inactive")
    assert service(ready=ready)["actions"] == ["started"]
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [((200, b"<html>"), "it answered '<html>'"), ((503, b"no leader"), "HTTP 503 no leader")],
)
def test_is_not_ready_in_time(
    systemd: Systemd, service: Callable[..., Result], endpoint: Any, answer: tuple[int, bytes], words: str
) -> None:
    url, answers = endpoint
    answers[:] = [answer]
    result = service(ready={"url": url, "expect": "leader-1", "timeout": 0, "when": "always"})
    assert f"{url} was not ready within 0 s ({words})" in result["msg"]
    assert "no such key" in result["msg"]


def health(
    *ill: str, tolerance: int = 0, names: tuple[str, ...] = ("one", "two", "three"), new: str = ""
) -> tuple[int, bytes]:
    """What autopilot says of a quorum, with the region in the names as Nomad has it."""
    servers = [{"Name": f"{name}.global", "Healthy": name not in ill, "Voter": name != new} for name in names]
    return (429 if ill else 200), json.dumps({"FailureTolerance": tolerance, "Servers": servers}).encode()


def stale_member(systemd: Systemd, url: str) -> Result:
    systemd.started(50)
    (systemd.config / "thing.json").write_text("another")
    return {"url": url, "member": "one", "header": "X-Token", "token": "secret", "timeout": 0}


@pytest.mark.parametrize(
    "answer",
    [
        health(tolerance=1),
        health("two", tolerance=1, names=("one", "two", "three", "four", "five")),
        # The only one, and one of two.
        health(names=("one",)),
        health(names=("one", "two")),
        # It is this one that is to be mended.
        health("one"),
        health("one", "two"),
        # Nothing to lose, and nothing that is known.
        (500, b"No cluster leader"),
        (403, b"Permission denied"),
        (200, b"<html>"),
        health("two", names=("two", "three")),
    ],
)
def test_restarts_a_member_that_is_not_missed(
    systemd: Systemd, service: Callable[..., Result], endpoint: Any, answer: tuple[int, bytes]
) -> None:
    url, answers = endpoint
    answers[:] = [answer]
    assert service(quorum=stale_member(systemd, url))["actions"] == ["restarted"]


def test_restarts_no_member_that_is_missed(systemd: Systemd, service: Callable[..., Result], endpoint: Any) -> None:
    url, answers = endpoint
    answers[:] = [health("two")]
    quorum = stale_member(systemd, url)
    result = service(quorum=quorum)
    assert result["failed"]
    assert "thing.service was not restarted: two of its quorum is not well, and without this member" in result["msg"]
    assert systemd.calls() == []
    answers[:] = [health(new="three")]
    assert "three of its quorum is not well" in service(quorum=quorum)["msg"]
    # The quorum of two does without none, and waits for the other to be well.
    answers[:] = [health("two", names=("one", "two")), health(names=("one", "two"))]
    assert service(quorum={**quorum, "timeout": 20})["actions"] == ["restarted"]


@pytest.mark.parametrize(
    ("answer", "actions"),
    [(health("one"), ["restarted"]), (health(tolerance=1), []), (health("two"), []), ((500, b"No cluster leader"), [])],
)
def test_the_ill_are_restarted_first(
    systemd: Systemd, service: Callable[..., Result], endpoint: Any, answer: tuple[int, bytes], actions: list[str]
) -> None:
    url, answers = endpoint
    answers[:] = [answer]
    result = service(quorum=stale_member(systemd, url), restart="when_ill")
    assert result["actions"] == actions
    assert bool(result["stale"]) != bool(actions)


def test_nobody_answers(systemd: Systemd, service: Callable[..., Result]) -> None:
    result = service(ready={"url": "http://127.0.0.1:1/", "timeout": 0, "when": "always"})
    assert "Connection refused" in result["msg"]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate and of its key."""
    return write_pair(tmp_path, "first")


def write_pair(directory: Path, name: str) -> tuple[str, str]:
    made = new_authority(name, 1)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_text("# a comment\n" + made["certificate"])
    key.write_text(made["private_key"])
    return str(certificate), str(key)


@pytest.fixture
def tls_port(pair: tuple[str, str]) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A port at which a certificate is presented, and what can be given another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                context.wrap_socket(self.request, server_side=True).close()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], context
        server.shutdown()


def test_waits_for_the_certificate_on_disk(
    systemd: Systemd,
    service: Callable[..., Result],
    endpoint: Any,
    pair: tuple[str, str],
    tls_port: tuple[int, ssl.SSLContext],
    tmp_path: Path,
) -> None:
    url, answers = endpoint
    answers[:] = [(200, b"fine")]
    port, context = tls_port
    ready = {"url": url, "when": "always", "certificate": pair[0], "certificate_address": f"127.0.0.1:{port}"}
    assert "msg" not in service(ready={**ready, "timeout": 0})
    renewed = write_pair(tmp_path, "renewed")
    stale = service(ready={**ready, "certificate": renewed[0], "timeout": 0})
    assert f"it does not present the certificate in {renewed[0]}" in stale["msg"]
    threading.Timer(0.5, context.load_cert_chain, renewed).start()
    assert "msg" not in service(ready={**ready, "certificate": renewed[0], "timeout": 10})
    # A certificate that nobody made yet is not waited for.
    assert "msg" not in service(ready={**ready, "certificate": str(tmp_path / "none.pem"), "timeout": 0})


# What config_tree tells of services, so that node_service can be left out


@pytest.fixture
def outdated(systemd: Systemd, run_module: Callable[..., Result]) -> Callable[..., list[str]]:
    """Whether the unit does not run with what is on disk, once a configuration with this content is written."""

    def run(content: str = "{}", check: bool = False, **options: Any) -> list[str]:
        path = systemd.config / "thing.json"
        service = {"name": "thing", "restart_on": [str(systemd.config)], **options}
        service.setdefault("reload_on", [str(systemd.config / "tls")])
        file = {"path": str(path), "encoded": base64.b64encode(content.encode()).decode(), "mode": "0600"}
        found: list[str] = run_module("config_tree", files=[file], services=[service], check=check)["outdated_services"]
        return found

    return run


def test_what_is_outdated_is_what_would_be_done_something_to(
    systemd: Systemd, service: Callable[..., Result], outdated: Callable[..., list[str]]
) -> None:
    (systemd.config / "thing.json").chmod(0o600)
    systemd.started(50)
    for check in (True, False):
        assert outdated(check=check) == []
    # In check mode the file would be another one.
    assert outdated("[]", check=True) == ["thing"]
    assert outdated() == []
    assert outdated("[]") == ["thing"]
    assert service()["actions"] == ["restarted"]
    assert outdated("[]") == []
    (systemd.config / "tls" / "cert.pem").write_text("another")
    assert outdated("[]") == ["thing"]
    assert service()["actions"] == ["reloaded"]
    assert outdated("[]") == []


@pytest.mark.parametrize(
    ("properties", "options", "expected"),
    [
        ({"ActiveState": "failed"}, {}, ["thing"]),
        ({"ActiveState": "inactive"}, {"started": False}, []),
        ({"UnitFileState": "disabled"}, {}, ["thing"]),
        ({"UnitFileState": "disabled"}, {"enabled": False}, []),
        ({"UnitFileState": "enabled"}, {"enabled": False}, ["thing"]),
        ({"NeedDaemonReload": "yes"}, {}, ["thing"]),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, {}, ["thing"]),
    ],
)
def test_state_of_an_outdated_unit(
    systemd: Systemd,
    outdated: Callable[..., list[str]],
    properties: dict[str, str],
    options: dict[str, bool],
    expected: list[str],
) -> None:
    (systemd.config / "thing.json").chmod(0o600)
    systemd.started(50)
    systemd.write(**properties)
    assert outdated(**options) == expected

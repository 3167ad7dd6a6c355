# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Reach the nodes: SSH with one connection a node, and their HTTPS APIs, through it where those are local."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import IO, Any

from benchmarks.measure.nodes import Node

USER = "debian"


class RemoteError(Exception):
    """A node or an API did not do what it was asked for."""


class Ssh:
    """Connections with the keys, and the options, of the inventory."""

    def __init__(self, state_dir: Path, control: Path) -> None:
        """Sockets go to `control`, whose path must be short."""
        control.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.control = control
        self.forwards: dict[tuple[str, str], Path] = {}
        self.options = [
            *("-F", "none", "-i", str(state_dir / "ssh_key"), "-l", USER),
            *("-o", f"UserKnownHostsFile={state_dir / 'known_hosts'}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *(
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "PreferredAuthentications=publickey",
            ),
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={control}/%h"),
            *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10"),
        ]

    def start(self, node: Node, command: str) -> subprocess.Popen[bytes]:
        """A command whose input and output the caller handles."""
        return subprocess.Popen(
            ["ssh", *self.options, node.address, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, node: Node, script: str, *, limit: float = 300) -> str:
        """Run a shell script as root, given on the standard input so that no secret is on a command line."""
        with self.start(node, "sudo sh -eu") as process:
            try:
                out, err = process.communicate(script.encode(), timeout=limit)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise RemoteError(f"{node.name}: a command took more than {limit:.0f} s.") from error
                raise
        return self.checked(node, process.returncode, out, err)

    @staticmethod
    def checked(node: Node, status: int, out: bytes, err: bytes) -> str:
        """The output, or what went wrong."""
        if status:
            words = (err or out).decode(errors="replace").strip().splitlines() or ["it ended without a word"]
            raise RemoteError(f"{node.name}: {' | '.join(words[-3:])}")
        return out.decode(errors="replace")

    def forward(self, node: Node, target: str) -> Path:
        """A socket here that leads to `host:port` as the node sees it."""
        found = self.forwards.get((node.name, target))
        if found:
            return found
        path = self.control / f"f{len(self.forwards)}-{node.name}"
        # Makes the connection where there is none yet.
        self.run(node, "true")
        result = subprocess.run(
            ["ssh", *self.options, "-O", "forward", "-L", f"{path}:{target}", node.address],
            capture_output=True,
            check=False,
        )
        self.checked(node, result.returncode, result.stdout, result.stderr)
        self.forwards[(node.name, target)] = path
        return path

    def close(self) -> None:
        """End the connections that are still open."""
        close_masters(self.control)
        self.forwards.clear()


def close_masters(directory: Path) -> None:
    """End all SSH connections with a control socket in a directory, so that no measured run finds one open."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_socket():
            subprocess.run(["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={path}", "-"], capture_output=True)
            path.unlink(missing_ok=True)


class _Connection(http.client.HTTPSConnection):
    """HTTPS with a verified certificate over any kind of socket."""

    def __init__(self, place: str | Path, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, timeout=timeout)
        self._place, self._verified = place, context

    def connect(self) -> None:
        if isinstance(self._place, Path):
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(self.timeout)
            plain.connect(str(self._place))
        else:
            address, _, port = self._place.rpartition(":")
            plain = socket.create_connection((address, int(port)), self.timeout)
        self.sock = self._verified.wrap_socket(plain, server_hostname=self.host)


class Api:
    """JSON over HTTPS, over one connection that is kept."""

    def __init__(self, place: str | Path, name: str, ca: str, header: str, token: str) -> None:
        """`place` is a socket's path or `address:port`, `ca` the PEM text of the authority."""
        self.context = ssl.create_default_context(cadata=ca)
        self.place, self.name = place, name
        self.headers = {header: token} if token else {}
        self.connection: _Connection | None = None

    def ask(self, method: str, path: str, body: object = None, *, timeout: float = 10) -> Any:
        """The decoded answer; RemoteError where there is none or it is an error."""
        try:
            if self.connection is None:
                self.connection = _Connection(self.place, self.name, self.context, timeout)
            data = None if body is None else json.dumps(body).encode()
            self.connection.request(method, path if path.startswith("/") else f"/v1/{path}", data, self.headers)
            response = self.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RemoteError(f"{self.name} {path.partition('?')[0]}: {error or type(error).__name__}") from error
        if response.status >= 300:
            words = content[:300].decode(errors="replace").strip()
            raise RemoteError(f"{self.name} {path.partition('?')[0]}: HTTP {response.status} {words}")
        return json.loads(content) if content.strip() else None

    def close(self) -> None:
        """Give the connection up."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close()
        self.connection = None


def https_status(address: str, name: str, ca: str, *, timeout: float = 5) -> int:
    """The status of the page / of a verified HTTPS server."""
    connection = _Connection(f"{address}:443", name, ssl.create_default_context(cadata=ca), timeout)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"https://{name}/ at {address}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def drain(stream: IO[bytes] | None) -> bytes:
    """All that is left in a pipe."""
    return stream.read() if stream else b""

# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The floor: the same federation on the same machines, by as little as parallel SSH and two APIs.

Nothing here looks at what a node has, repairs it, or can be interrupted: that is what the collection does on top.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import secrets as random
import subprocess
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import yaml
from driver.settings import CHECKOUT, Settings

from benchmarks.measure import configuration
from benchmarks.measure.configuration import File, Json
from benchmarks.measure.nodes import Node
from benchmarks.measure.readiness import Access, ready
from benchmarks.measure.remote import Api, RemoteError, Ssh, drain

PATIENCE = 180.0
POLL = 0.1
DAYS = 365


class FloorError(Exception):
    """One sentence."""


def _uuid() -> str:
    return str(uuid.UUID(bytes=random.token_bytes(16), version=4))


def _gossip_key() -> str:
    return base64.b64encode(random.token_bytes(32)).decode()


class Authority:
    """A certificate authority made with openssl; its files are for the controller only."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.name = directory, name
        self.certificate_file, self.key_file = directory / f"{name}.pem", directory / f"{name}.key"
        if not self.certificate_file.exists():
            extensions = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
            self._request(name, extensions, self.key_file, self.certificate_file)
        self.certificate = self.certificate_file.read_text(encoding="ascii")

    def _request(self, common_name: str, extensions: str, key: Path, certificate: Path, *more: str) -> None:
        settings = (
            f"[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={common_name}\n[ext]\n{extensions}"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        with tempfile.NamedTemporaryFile("w", suffix=".cnf", dir=self.directory) as config:
            config.write(settings)
            config.flush()
            command = [
                *("openssl", "req", "-x509", "-config", config.name, "-extensions", "ext", "-days", str(DAYS)),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
                *("-keyout", str(key), "-out", str(certificate), *more),
            ]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise FloorError(f"openssl: {result.stderr.strip()}")

    def issue(self, common_name: str, names: list[str]) -> tuple[str, str]:
        """A key and its certificate."""
        extensions = (
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={','.join(names)}\n"
        )
        with tempfile.TemporaryDirectory(dir=self.directory) as temporary:
            key, certificate = Path(temporary, "key"), Path(temporary, "cert")
            signer = ("-CA", str(self.certificate_file), "-CAkey", str(self.key_file))
            self._request(common_name, extensions, key, certificate, *signer)
            return key.read_text(encoding="ascii"), certificate.read_text(encoding="ascii")


def binaries(cache: Path) -> dict[str, list[Path]]:
    """The cached files of each product, in the versions that the roles install."""
    defaults = yaml.safe_load((CHECKOUT / "roles" / "release" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    architecture = {"aarch64": "arm64"}.get(os.uname().machine, "amd64")
    found = {}
    for product in ("consul", "nomad", "traefik", "cni-plugins"):
        version = defaults[f"release_{product.replace('-', '_')}_version"]
        places = sorted(
            (cache / "binaries" / product).glob(f"{version}-{architecture}-*/manifest.json"),
            key=lambda path: path.stat().st_mtime,
        )
        if not places:
            raise FloorError(f"{product} {version} is not in {cache}: run testbed/binaries.yml first.")
        names = [item["name"] for item in json.loads(places[-1].read_text(encoding="utf-8"))["files"]]
        found[product] = [places[-1].parent / name for name in names]
    return found


class Floor:
    """One federation, brought up, extended or looked at."""

    def __init__(self, settings: Settings, nodes: list[Node], control: Path) -> None:
        """What was made is kept in the state directory, for nodes that come later."""
        self.settings, self.nodes = settings, nodes
        self.directory = settings.state_dir / "floor"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.ledger_file = self.directory / "ledger.json"
        self.ledger: Json = {"secrets": {}, "files": {}}
        if self.ledger_file.exists():
            self.ledger = json.loads(self.ledger_file.read_text(encoding="utf-8"))
        self.new = [node for node in nodes if node.name not in self.ledger["files"]]
        self.first = len(self.new) == len(nodes)
        self.ssh = Ssh(settings.state_dir, control)
        self.registry = configuration.registry(settings.state_dir)
        self.binaries = binaries(settings.cache_dir)
        self.deadline = time.monotonic() + PATIENCE
        self.failed = threading.Event()
        self.sites = {node.site: threading.Event() for node in nodes}
        self.leader = threading.Event()
        self.marks: list[tuple[float, str]] = []
        self.started = time.monotonic()

    def mark(self, words: str) -> None:
        """Note when something was reached."""
        self.marks.append((round(time.monotonic() - self.started, 2), words))

    # What is made beforehand

    def prepare(self) -> None:
        """Authorities and secrets."""
        names = ["nomad", "ingress", *sorted(f"consul-{node.site}" for node in self.nodes if node.is_consul_server)]
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda name: Authority(self.directory, name), names)
            self.authorities = dict(zip(names, made, strict=True))
        known = self.ledger["secrets"]
        nomad = known.setdefault("nomad", {})
        nomad.setdefault("gossip_key", _gossip_key())
        nomad.setdefault("management_token", _uuid())
        sites = known.setdefault("sites", {})
        for node in self.nodes:
            site = sites.setdefault(node.site, {"gossip_key": _gossip_key(), "management_token": _uuid(), "tokens": {}})
            site["ca"] = self.authorities[f"consul-{node.site}"].certificate
            if node.name not in site["tokens"]:
                site["tokens"][node.name] = {purpose: _uuid() for purpose in ("agent", "nomad", "traefik")}
        self.secrets: Json = known

    def keep(self) -> None:
        """Remember what there is now."""
        content = json.dumps(self.ledger)
        descriptor = os.open(self.ledger_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)

    def access(self) -> Access:
        """How to look at it."""
        sites = self.secrets["sites"]
        return Access(
            nomad_ca=self.authorities["nomad"].certificate,
            nomad_token=self.secrets["nomad"]["management_token"],
            ingress_ca=self.authorities["ingress"].certificate,
            consul={name: (site["ca"], site["management_token"]) for name, site in sites.items()},
        )

    # One node

    def files(self, node: Node) -> dict[str, File]:
        """Configuration, keys and certificates."""
        result = configuration.files(node, self.nodes, self.secrets, self.registry)
        for directory, (authority, owner, names) in configuration.certificates(node).items():
            name = f"consul-{node.site}" if authority == "consul" else authority
            key, certificate = self.authorities[name].issue(f"{node.name}.{node.site}.{authority}", names)
            result[f"{directory}/key.pem"] = File(key, 0o600, owner, owner)
            result[f"{directory}/cert.pem"] = File(certificate, 0o644, owner, owner)
            result[f"{directory}/ca.pem"] = File(self.authorities[name].certificate, 0o644, owner, owner)
        return result

    def products(self, node: Node) -> Iterator[tuple[str, Path]]:
        """Binaries of a node: where they go, and where they are here."""
        for product, paths in self.binaries.items():
            if product == "traefik" and not node.is_ingress:
                continue
            for path in paths:
                yield ("/opt/cni/bin/" if product == "cni-plugins" else "/usr/local/bin/") + path.name, path

    def upload(self, node: Node) -> None:
        """Users, packages, and one tar stream with everything else."""
        files = self.files(node)
        script = "sudo sh -euc '\ntest ! -e /etc/consul.d || { echo the node is not fresh >&2; exit 1; }\n"
        for user in ["consul", *(["traefik"] if node.is_ingress else [])]:
            script += (
                f"useradd --system --user-group --shell /usr/sbin/nologin --home-dir /var/lib/{user} --no-create-home "
                f"{user}\n"
            )
        if node.runs_jobs:
            # The daemon starts once its configuration is there.
            script += (
                'printf "#!/bin/sh\\nexit 101\\n" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n'
                "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends docker.io "
                "</dev/null >/run/floor-packages.log 2>&1 & packages=$!\n"
            )
        script += "tar -x -p -f - -C /\n"
        if node.runs_jobs:
            script += (
                "mkdir -p /var/lib/nomad-storage /nomad-storage\n"
                "echo /var/lib/nomad-storage /nomad-storage none bind,private,shared,nofail 0 0 >>/etc/fstab\n"
                "wait $packages || { tail -n 3 /run/floor-packages.log >&2; exit 1; }\n"
                "rm -f /usr/sbin/policy-rc.d\n"
            )
        units = ["consul", "nomad", *(["traefik"] if node.is_ingress else [])]
        script += "systemctl daemon-reload\n"
        script += f"systemctl --quiet enable {' '.join(units)}\n"
        if node.runs_jobs:
            script += "mount /nomad-storage\nsystemctl --quiet enable --now docker\n"
        with self.ssh.start(node, script + "'") as process:
            if process.stdin is None:
                raise AssertionError("the input is always a pipe here")
            # Where the script ends early, its words say more than the broken pipe.
            with contextlib.suppress(BrokenPipeError):
                self._stream(process.stdin, node, files)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            out, err = drain(process.stdout), drain(process.stderr)
            status = process.wait()
        self.ssh.checked(node, status, out, err)
        self.ledger["files"][node.name] = {
            "text": {path: base64.b64encode(_digest(file.content)).decode() for path, file in files.items()},
            "size": {target: path.stat().st_size for target, path in self.products(node)},
        }
        self.mark(f"{node.name} has its files")

    def _stream(self, stream: Any, node: Node, files: dict[str, File]) -> None:
        with tarfile.open(fileobj=stream, mode="w|", bufsize=1024 * 1024, format=tarfile.GNU_FORMAT) as archive:
            for path, entry in configuration.directories(node).items():
                archive.addfile(_entry(path, entry, tarfile.DIRTYPE))
            for path, entry in files.items():
                content = entry.content.encode()
                information = _entry(path, entry, tarfile.REGTYPE)
                information.size = len(content)
                archive.addfile(information, io.BytesIO(content))
            for target, source in self.products(node):
                information = _entry(target, File("", 0o755), tarfile.REGTYPE)
                information.size = source.stat().st_size
                with source.open("rb") as binary:
                    archive.addfile(information, binary)

    def bring_up(self, node: Node) -> None:
        """A node from nothing to its services."""
        self.upload(node)
        site = self.sites[node.site]
        if node.is_consul_server:
            self.ssh.run(node, "systemctl --no-block start consul")
            self.site_acl(node, [other for other in self.new if other.site == node.site])
            site.set()
        else:
            self._wait(site, f"Consul at {node.site}")
            self.ssh.run(node, "systemctl start consul")
        start = ["traefik"] if node.is_ingress else []
        if not node.is_server:
            if start:
                self.ssh.run(node, "systemctl --no-block start traefik")
            self._wait(self.leader, "Nomad's leader")
            start = []
        self.ssh.run(node, f"systemctl --no-block start nomad {' '.join(start)}")
        if node.is_consul_server:
            self._wait(self.leader, "Nomad's leader")
            self.workload_identity(node)
        self.mark(f"{node.name} is started")

    def _wait(self, event: threading.Event, what: str) -> None:
        while not event.wait(POLL):
            if self.failed.is_set():
                raise FloorError("another node failed")
            if time.monotonic() > self.deadline:
                raise FloorError(f"{what} did not come up within {PATIENCE:.0f} s")

    def insist(self, action: Callable[[], Any], wanted: Callable[[Any], bool] = lambda _answer: True) -> Any:
        """Ask again until the answer is the wanted one, since services take a while to answer at all."""
        while True:
            try:
                answer = action()
                if wanted(answer):
                    return answer
                problem = f"the answer was {answer!r}"
            except RemoteError as error:
                problem = str(error)
            if self.failed.is_set():
                raise FloorError("another node failed")
            if time.monotonic() > self.deadline:
                raise FloorError(f"{problem}; waited {PATIENCE:.0f} s")
            time.sleep(POLL)

    # The APIs

    def site_acl(self, server: Node, nodes: list[Node], *, bootstrap: bool = True) -> None:
        """ACLs of a site's Consul."""
        consul = self.access().site_consul(self.ssh, server)
        if bootstrap:
            anonymous = Api(consul.place, "localhost", self.secrets["sites"][server.site]["ca"], "X-Consul-Token", "")
            secret = {"BootstrapSecret": self.secrets["sites"][server.site]["management_token"]}
            self.insist(lambda: anonymous.ask("PUT", "acl/bootstrap", secret))
            anonymous.close()
            for name, rules in configuration.CONSUL_POLICIES.items():
                consul.ask("PUT", "acl/policy", {"Name": name, "Rules": rules})
            consul.ask("PUT", "acl/role", {"Name": "nomad-tasks", "Policies": [{"Name": "nomad-tasks"}]})
        for node in nodes:
            for token in configuration.consul_tokens(node, self.secrets):
                consul.ask("PUT", "acl/token", token)
        consul.close()
        self.mark(f"Consul of {server.site} has its tokens")

    def workload_identity(self, server: Node) -> None:
        """Let Nomad's workloads into a site's Consul, which reads Nomad's keys at once."""
        consul = self.access().site_consul(self.ssh, server)
        method = configuration.auth_method(self.authorities["nomad"].certificate)
        self.insist(lambda: consul.ask("PUT", "acl/auth-method", method))
        for rule in configuration.binding_rules():
            consul.ask("PUT", "acl/binding-rule", rule)
        consul.close()

    def nomad_acl(self) -> None:
        """Wait for Nomad's leader, then bootstrap its ACLs."""
        servers = [node for node in self.nodes if node.is_server]
        for node in servers:
            self._wait(self.sites[node.site], f"Consul at {node.site}")
        nomad = self.access().nomad(servers[0])
        nomad.headers = {}
        self.insist(lambda: nomad.ask("GET", "status/leader"), bool)
        secret = self.secrets["nomad"]["management_token"]
        self.insist(lambda: nomad.ask("POST", "acl/bootstrap", {"BootstrapSecret": secret}))
        self.insist(lambda: nomad.ask("GET", "/.well-known/jwks.json"), lambda answer: bool(answer and answer["keys"]))
        self.leader.set()
        self.mark("Nomad has a leader and its keys")
        nomad.headers = {"X-Nomad-Token": secret}
        namespace = configuration.NOMAD_NAMESPACE
        self.insist(lambda: nomad.ask("POST", f"namespace/{namespace['Name']}", namespace))
        for name, rules in configuration.NOMAD_POLICIES.items():
            nomad.ask("POST", f"acl/policy/{name}", {"Name": name, "Rules": rules})
            nomad.ask("POST", "acl/token", {"Name": name, "Type": "client", "Policies": [name]})
        nomad.ask("POST", "operator/scheduler/configuration", configuration.SCHEDULER)
        nomad.close()
        self.mark("Nomad has its ACLs")
        self.settle()

    def settle(self) -> None:
        """Restart servers, one after the other and the leader last, whose own client is not registered.

        Such a client tried before the leader had its keys, and would try again only after 15 to 30 s.
        """
        servers = [node for node in self.nodes if node.is_server]
        leader = self.insist(lambda: self.access().nomad(servers[0]).ask("GET", "status/leader"), bool)
        for node in sorted(servers, key=lambda node: leader.startswith(f"{node.address}:")):
            other = next((other for other in reversed(servers) if other is not node), node)
            nomad = self.access().nomad(other)
            if node.name in self.insist(lambda nomad=nomad: _registered(nomad)):  # type: ignore[misc]
                continue
            if leader.startswith(f"{node.address}:") and other is not node:
                target = f"{other.address}:4647"
                nomad.ask("PUT", f"operator/raft/transfer-leadership?address={target}")
                self.insist(
                    lambda nomad=nomad: nomad.ask("GET", "status/leader"),  # type: ignore[misc]
                    lambda answer, target=target: bool(answer == target),  # type: ignore[misc]
                )
            self.ssh.run(node, "systemctl restart nomad")
            self.mark(f"{node.name} is started again")
            if other is not node:
                self.insist(
                    lambda nomad=nomad: _registered(nomad),  # type: ignore[misc]
                    lambda names, name=node.name: name in names,  # type: ignore[misc]
                )
            nomad.close()

    # All of it

    def look(self, node: Node) -> None:
        """Compare a node with what it was given, in one round trip."""
        known = self.ledger["files"][node.name]
        sums = "".join(f"{base64.b64decode(digest).hex()}  {path}\n" for path, digest in known["text"].items())
        sizes = "".join(f"{path} {size}\n" for path, size in known["size"].items())
        units = ["consul", "nomad", *(["traefik"] if node.is_ingress else []), *(["docker"] if node.runs_jobs else [])]
        self.ssh.run(
            node,
            f"sha256sum --quiet --check - <<END\n{sums}END\n"
            f'while read -r path size; do test "$(stat -c %s "$path")" = "$size"; done <<END\n{sizes}END\n'
            f"systemctl is-active --quiet {' '.join(units)}\n",
        )

    def run(self) -> Json:
        """Do what is missing, wait for the end condition, and say what took how long."""
        self.prepare()
        self.mark("authorities and secrets are made")
        jobs: list[Callable[[], None]] = []
        if self.first:
            jobs.append(self.nomad_acl)
        else:
            self.leader.set()
            for node in self.nodes:
                added = [other for other in self.new if other.site == node.site]
                if node.is_consul_server and node not in self.new:
                    if added:
                        self.site_acl(node, added, bootstrap=False)
                    self.sites[node.site].set()
        for node in self.nodes:
            action = self.bring_up if node in self.new else self.look
            jobs.append(lambda node=node, action=action: action(node))  # type: ignore[misc]
        try:
            self._parallel(jobs)
            ready(self.access(), self.nodes, self.ssh)
            seconds = time.monotonic() - self.started
            self.mark("the end condition holds")
        finally:
            self.ssh.close()
        self.keep()
        return {"seconds": round(seconds, 2), "new_nodes": len(self.new), "marks": self.marks}

    def _parallel(self, jobs: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(len(jobs)) as pool:
            futures = [pool.submit(self._guarded, job) for job in jobs]
            wait(futures)
        problems = [str(error) for future in futures if (error := future.exception())]
        if problems:
            raise FloorError(next((text for text in problems if text != "another node failed"), problems[0]))

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            self.failed.set()
            raise


def _registered(nomad: Api) -> set[str]:
    return {item["Name"] for item in nomad.ask("GET", "nodes") if item["Status"] == "ready"}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _entry(path: str, like: File, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.uname, entry.gname = kind, like.mode, like.owner, like.group
    entry.mtime = int(time.time())
    return entry
